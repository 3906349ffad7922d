"""llama.cpp through the low-level bindings of llama-cpp-python: token ids in, logits out, its own tokenizer unused."""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from harness.cards import Form, RuntimeCard
from harness.worker.adapter import Array, Arrays, Unsupported

#: What llama.cpp quantizes to without an importance matrix, from 8 bits a weight down.
QUANTIZED = (
    *("q8_0", "q6_k", "q5_k_m", "q5_k_s", "q5_1", "q5_0"),
    *("q4_k_m", "q4_k_s", "q4_1", "q4_0", "iq4_nl", "iq4_xs"),
    *("q3_k_l", "q3_k_m", "q3_k_s", "iq3_m", "iq3_s", "q2_k"),
)

CARDS = (
    RuntimeCard(
        name="llamacpp",
        summary="llama.cpp, CPU kernels chosen at run time, memory-mapped weights, flash attention",
        loads=tuple(Form("gguf", precision) for precision in ("fp32", "fp16", "bf16", *QUANTIZED)),
        devices=("cpu",),
        source="https://github.com/ggml-org/llama.cpp/blob/master/include/llama.h",
        tasks=("text-generation",),
        distributions=("llama-cpp-python", "numpy"),
    ),
)

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


class Adapter:
    """One model, and the context (key-value cache and buffers) that the latest call needed."""

    def __init__(self, device: str, threads: int, mode: str) -> None:
        import llama_cpp

        logging.getLogger("llama-cpp-python").setLevel(logging.WARNING)  # why a file is refused, not what is in it
        llama_cpp.llama_backend_init()
        self.llama, self.threads = llama_cpp, threads
        self.context: Any = None
        self.shape = _Shape(0, 0, all_logits=False)

    def load(self, artifact: Path, manifest: Mapping[str, Any]) -> None:
        """Map the one GGUF file into memory. Raises Unsupported where llama.cpp refuses it."""
        (name,) = manifest["weights"]
        settings = self.llama.llama_model_default_params()
        settings.load_mode = self.llama.LLAMA_LOAD_MODE_MMAP
        self.model = self.llama.llama_model_load_from_file(str(artifact / name).encode(), settings)
        if not self.model:
            raise Unsupported(f"llama.cpp does not load {name}; the log says why")
        self.vocabulary = self.llama.llama_vocab_n_tokens(self.llama.llama_model_get_vocab(self.model))

    def run(self, inputs: Arrays) -> dict[str, Array]:
        """All positions in one call on an empty cache."""
        ids = inputs["input_ids"]
        self._start(_Shape(*ids.shape, all_logits=True))
        return {"logits": self._decode(ids, wanted=np.ones_like(ids)).reshape(*ids.shape, self.vocabulary)}

    def prefill(self, input_ids: npt.NDArray[np.int64]) -> Array:
        """Fill an empty cache; only the last position goes through the language-model head."""
        self._start(_Shape(*input_ids.shape, all_logits=False))
        wanted = np.zeros_like(input_ids)
        wanted[:, -1] = 1
        return self._decode(input_ids, wanted)

    def decode(self, token_ids: npt.NDArray[np.int64]) -> Array:
        """One token on top of the cache, which grows where it is full."""
        if self.length == self.shape.capacity:
            self._grow()
        return self._decode(token_ids[:, None], wanted=np.ones_like(token_ids))

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
        settings.flash_attn_type = self.llama.LLAMA_FLASH_ATTN_TYPE_ENABLED
        # llama.cpp's default is a float16 cache. An fp32 row keeps fp32 throughout, as it does in every other runtime.
        full = self._file_type() == self.llama.LLAMA_FTYPE_ALL_F32
        settings.type_k = settings.type_v = self.llama.GGML_TYPE_F32 if full else self.llama.GGML_TYPE_F16
        self.context = self.llama.llama_init_from_model(self.model, settings)
        if not self.context:
            raise Unsupported(f"llama.cpp makes no context of {tokens} tokens for this model; the log says why")
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

    def _decode(self, ids: npt.NDArray[np.int64], wanted: npt.NDArray[np.int64]) -> Array:
        """Append ``ids`` [sequences, tokens]; the logits [wanted positions, vocabulary], sequence by sequence."""
        count, (sequences, tokens) = ids.size, ids.shape
        places = np.arange(self.length, self.length + tokens, dtype=np.int32)
        columns = {
            "token": ids.ravel().astype(np.int32),
            "pos": np.tile(places, sequences),
            "n_seq_id": np.ones(count, np.int32),
            "logits": wanted.ravel().astype(np.int8),
        }
        owners = np.repeat(np.arange(sequences, dtype=np.int32), tokens)
        pointers = owners.ctypes.data + np.arange(count, dtype=np.uintp) * owners.itemsize
        batch = self.llama.llama_batch(n_tokens=count)
        fields = dict(self.llama.llama_batch._fields_)
        for name, column in (*columns.items(), ("seq_id", pointers)):
            setattr(batch, name, ctypes.cast(column.ctypes.data, fields[name]))
        code = self.llama.llama_decode(self.context, batch)
        if code:
            raise RuntimeError(f"llama_decode failed with code {code}")
        self.length += tokens
        logits = self.llama.llama_get_logits(self.context)
        return np.ctypeslib.as_array(logits, (int(wanted.sum()), self.vocabulary)).copy()
