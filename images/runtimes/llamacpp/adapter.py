"""llama.cpp through the low-level bindings of llama-cpp-python: token ids in, logits out, its own tokenizer unused."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from harness.contracts.adapter import Array, Arrays, Unsupported
from harness.contracts.artifact import Manifest
from harness.contracts.cards import Form, RuntimeCard

#: What llama.cpp quantizes to without an importance matrix, from 8 bits a weight down.
QUANTIZED = (
    *("q8_0", "q6_k", "q5_k_m", "q5_k_s", "q5_1", "q5_0"),
    *("q4_k_m", "q4_k_s", "q4_1", "q4_0", "iq4_nl", "iq4_xs"),
    *("q3_k_l", "q3_k_m", "q3_k_s", "iq3_m", "iq3_s", "q2_k"),
)

CARDS = (
    RuntimeCard(
        name="llamacpp",
        summary="llama.cpp, CPU kernels chosen at run time, memory-mapped weights",
        loads=tuple(Form("gguf", precision) for precision in ("mixed", "fp32", "fp16", "bf16", *QUANTIZED)),
        devices=("cpu",),
        source="https://github.com/ggml-org/llama.cpp/blob/master/include/llama.h",
        calls=("generate",),
        modalities=("text",),
        distributions=("llama-cpp-python", "numpy"),
    ),
)

WARNING, ERROR = 3, 4  # of ggml_log_level
BLOCK = 256  # llama.cpp rounds the cache of a sequence up to this many positions
MICRO_BATCH = 512  # llama.cpp's default: the most tokens that go through the graph at once


class _Shape(NamedTuple):
    """What a context was made for."""

    sequences: int
    capacity: int  # positions of each sequence
    all_logits: bool  # of every position, else of one a sequence

    def holds(self, wanted: _Shape) -> bool:
        """Whether a context of this shape serves the wanted one with the same buffers for logits."""
        alike = (self.sequences, self.all_logits) == (wanted.sequences, wanted.all_logits)
        return alike and self.capacity >= wanted.capacity


class _Batch(NamedTuple):
    """llama.cpp's description of a call, and the arrays that it points to, sequence by sequence."""

    native: Any  # llama_batch
    tokens: npt.NDArray[np.int32]  # [sequences, tokens], to be filled
    positions: npt.NDArray[np.int32]  # likewise
    outputs: int  # positions whose logits come out
    owned: tuple[Array, ...]  # what else is pointed to

    @classmethod
    def make(cls, llama: Any, sequences: int, tokens: int, every: bool) -> _Batch:
        """An empty batch; logits of every position, or of the last one of each sequence."""
        shape = sequences, tokens
        ids, positions = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
        wanted = np.full(shape, every, np.int8)
        wanted[:, -1] = 1
        counts = np.ones(shape, np.int32)
        owners: npt.NDArray[np.int32] = np.repeat(np.arange(sequences, dtype=np.int32), tokens)
        pointers = owners.ctypes.data + np.arange(owners.size, dtype=np.uintp) * owners.itemsize
        native = llama.llama_batch(n_tokens=owners.size)
        columns: dict[str, Array] = {
            "token": ids,
            "pos": positions,
            "n_seq_id": counts,
            "seq_id": pointers,
            "logits": wanted,
        }
        fields = dict(llama.llama_batch._fields_)
        for name, column in columns.items():
            setattr(native, name, ctypes.cast(column.ctypes.data, fields[name]))
        return cls(native, ids, positions, int(wanted.sum()), (wanted, counts, owners, pointers))


class Adapter:
    """One model, and the context (key-value cache and buffers) that the latest call needed."""

    def __init__(self, device: str, threads: int, mode: str) -> None:
        import llama_cpp

        self.llama, self.threads = llama_cpp, threads
        self.log = llama_cpp.llama_log_callback(self._note)  # kept: llama.cpp calls it as long as it lives
        self.complaint = ""
        llama_cpp.llama_log_set(self.log, None)
        llama_cpp.llama_backend_init()
        self.context: Any = None
        self.batches: dict[tuple[int, int, bool], _Batch] = {}
        self.shape = _Shape(0, 0, all_logits=False)

    def load(self, artifact: Path, manifest: Manifest) -> None:
        """Map the one GGUF file into memory. Raises Unsupported where llama.cpp refuses it."""
        (name,) = manifest.weights
        settings = self.llama.llama_model_default_params()
        settings.load_mode = self.llama.LLAMA_LOAD_MODE_MMAP
        self.model = self.llama.llama_model_load_from_file(str(artifact / name).encode(), settings)
        if not self.model:
            raise Unsupported(f"llama.cpp does not load {name}: {self.complaint}")
        self.vocabulary = self.llama.llama_vocab_n_tokens(self.llama.llama_model_get_vocab(self.model))

    def run(self, inputs: Arrays) -> dict[str, Array]:
        """All positions in one call on an empty cache."""
        ids = inputs["input_ids"]
        sequences, tokens = ids.shape
        self._start(_Shape(sequences, tokens, all_logits=True))
        return {"logits": self._decode(ids, every=True).reshape(*ids.shape, self.vocabulary)}

    def prefill(self, input_ids: npt.NDArray[np.int64]) -> Array:
        """Fill an empty cache; only the last position goes through the language-model head."""
        sequences, tokens = input_ids.shape
        self._start(_Shape(sequences, tokens, all_logits=False))
        return self._decode(input_ids, every=False)

    def decode(self, token_ids: npt.NDArray[np.int64]) -> Array:
        """One token on top of the cache, which grows where it is full."""
        if self.length == self.shape.capacity:
            self._grow()
        return self._decode(token_ids[:, None], every=False)

    def precision(self) -> str:
        """What the operands of the matrix products are; llama.cpp rounds activations to suit the weights.

        To float16 and bfloat16 beside weights of that type, and to 8-bit blocks beside quantized ones, which are
        multiplied as integers. A file's type is that of most of its weights, as llama.cpp tells it.
        """
        unquantized = {
            self.llama.LLAMA_FTYPE_ALL_F32: "fp32",
            self.llama.LLAMA_FTYPE_MOSTLY_F16: "fp16",
            self.llama.LLAMA_FTYPE_MOSTLY_BF16: "bf16",
        }
        return unquantized.get(self._file_type(), "int8")

    def close(self) -> None:
        """Free the context and the model."""
        self._drop_context()
        self.llama.llama_model_free(self.model)

    def _note(self, level: int, text: bytes, _: Any) -> None:
        """Pass warnings and errors on, and keep the first error; the bindings' own log confuses the levels."""
        line = text.decode("utf-8", "replace")
        if level in (WARNING, ERROR):
            sys.stderr.write(line)
        if level == ERROR:
            self.complaint = self.complaint or line.strip()

    def _file_type(self) -> int:
        told: int = self.llama.llama_model_ftype(self.model)
        return told & ~int(self.llama.LLAMA_FTYPE_GUESSED)

    def _start(self, wanted: _Shape) -> None:
        """Begin new sequences, in the context at hand where they fit."""
        if not self.shape.holds(wanted):
            self._drop_context()
            self._make_context(wanted)
        self.llama.llama_memory_clear(self.llama.llama_get_memory(self.context), False)
        self.length = 0

    def _make_context(self, wanted: _Shape) -> None:
        """Room for no more than is wanted: what a deployment would give is not known here, and memory is measured."""
        capacity = -(-wanted.capacity // BLOCK) * BLOCK
        tokens = wanted.sequences * capacity
        settings = self.llama.llama_context_default_params()
        settings.n_ctx = settings.n_batch = tokens
        settings.n_ubatch = min(tokens, MICRO_BATCH)
        settings.n_seq_max = wanted.sequences
        settings.n_outputs_max = tokens if wanted.all_logits else wanted.sequences
        settings.n_threads = settings.n_threads_batch = self.threads
        # By default llama.cpp keeps the cache in float16, to which flash attention rounds on CPUs in any case. An fp32 row
        # keeps fp32 throughout, as in every other runtime: logits then differ by 1e-4 from PyTorch's, not by 0.1.
        full = self._file_type() == self.llama.LLAMA_FTYPE_ALL_F32
        settings.flash_attn_type = (
            self.llama.LLAMA_FLASH_ATTN_TYPE_DISABLED if full else self.llama.LLAMA_FLASH_ATTN_TYPE_ENABLED
        )
        settings.type_k = settings.type_v = self.llama.GGML_TYPE_F32 if full else self.llama.GGML_TYPE_F16
        self.context = self.llama.llama_init_from_model(self.model, settings)
        if not self.context:
            raise Unsupported(f"llama.cpp makes no context of {tokens} tokens for this model: {self.complaint}")
        self.shape = _Shape(wanted.sequences, capacity, wanted.all_logits)

    def _drop_context(self) -> None:
        if self.context:
            self.llama.llama_free(self.context)
        self.context, self.shape = None, _Shape(0, 0, all_logits=False)

    def _grow(self) -> None:
        """Move the sequences to a context with twice the room; later requests keep it."""
        old, shape = self.context, self.shape
        self._make_context(_Shape(shape.sequences, 2 * shape.capacity, shape.all_logits))
        for sequence in range(shape.sequences):
            size = self.llama.llama_state_seq_get_size(old, sequence)
            state = (ctypes.c_uint8 * size)()
            self.llama.llama_state_seq_get_data(old, state, size, sequence)
            if not self.llama.llama_state_seq_set_data(self.context, state, size, sequence):
                raise RuntimeError("llama.cpp did not take over the key-value cache")
        self.llama.llama_free(old)

    def _decode(self, ids: npt.NDArray[np.int64], every: bool) -> Array:
        """Append ``ids`` [sequences, tokens]; the logits [positions, vocabulary] of every position, or of the last ones."""
        sequences, tokens = ids.shape
        batch = self._batch(sequences, tokens, every)
        batch.tokens[:] = ids
        batch.positions[:] = np.arange(self.length, self.length + tokens)
        code = self.llama.llama_decode(self.context, batch.native)
        if code:
            raise RuntimeError(f"llama_decode failed with code {code}")
        self.length += tokens
        logits = self.llama.llama_get_logits(self.context)
        return np.ctypeslib.as_array(logits, (batch.outputs, self.vocabulary)).copy()

    def _batch(self, sequences: int, tokens: int, every: bool) -> _Batch:
        """A batch to fill, made once for each shape: what is left of a call in Python belongs to no one's tokens per second."""
        key = sequences, tokens, every
        if key not in self.batches:
            self.batches[key] = _Batch.make(self.llama, *key)
        return self.batches[key]
