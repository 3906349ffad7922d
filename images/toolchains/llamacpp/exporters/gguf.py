"""hf checkpoint -> GGUF file of the same precision, by llama.cpp's own converter."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from ggml import WEIGHTS

from harness.contracts.adapter import Array
from harness.contracts.artifact import Artifact, Context, ConversionError, Made
from harness.contracts.cards import ExporterCard, Form
from harness.toolchain.checkpoint import load_config, load_model
from harness.toolchain.parity import require_close, sample_inputs, source_logits

CARD = ExporterCard(
    name="gguf",
    summary="write a GGUF file for llama.cpp, tokenizer included; norms and biases stay fp32",
    accepts=(Form("hf", "fp32"), Form("hf", "fp16"), Form("hf", "bf16")),
    makes=Form("gguf", "{precision}"),
    source="https://github.com/ggml-org/llama.cpp/blob/master/convert_hf_to_gguf.py",
    calls=("generate",),
    modalities=("text",),
)

TYPES = {"fp32": "f32", "fp16": "f16", "bf16": "bf16"}

#: Largest difference of two logits, relative to the largest: llama.cpp rounds activations to the type of the weights.
TOLERANCES = {"fp32": 1e-3, "fp16": 1e-2, "bf16": 5e-2}


def export(source: Artifact, out: Path, context: Context) -> Made:
    """Convert, then compare llama.cpp's logits with those of the checkpoint's own values in fp32 arithmetic.

    Raises ConversionError where the converter knows neither architecture nor tokenizer, or the logits differ by more than
    rounding.
    """

    precision = source.form.precision
    context.progress(0.0, "converting")
    _convert(source.path, out / WEIGHTS, TYPES[precision])
    context.progress(0.6, "comparing")
    config = load_config(source.path)
    ids = sample_inputs(source.path, config, context.use, batch=3)["input_ids"]
    expected = source_logits(load_model(source.path, context.auto_class).float(), {"input_ids": ids})
    difference = require_close(expected, _logits(out / WEIGHTS, ids, context.threads), TOLERANCES[precision])
    return Made([WEIGHTS], effect={"max_abs_logit_difference": difference, "tensors_by_type": _types(out / WEIGHTS)})


def _convert(checkpoint: Path, file: Path, kind: str) -> None:
    import llama_cpp

    converter = Path(llama_cpp.__file__).parent / "convert" / "convert_hf_to_gguf.py"
    command: list[str | Path] = [sys.executable, converter, checkpoint, "--outfile", file, "--outtype", kind]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    print(done.stdout, end="", flush=True)
    if done.returncode:
        lines = done.stdout.strip().splitlines() or ["no message"]
        raise ConversionError(f"llama.cpp's converter does not take this checkpoint: {lines[-1].strip()}")


def _logits(file: Path, ids: Array, threads: int) -> Array:
    """llama.cpp's logits of every position, [batch, tokens, vocabulary]; one sequence after the other, fp32 cache."""
    import llama_cpp
    import numpy as np

    options: dict[str, Any] = {"type_k": llama_cpp.GGML_TYPE_F32, "type_v": llama_cpp.GGML_TYPE_F32, "verbose": False}
    options |= {"n_ctx": ids.shape[1], "n_threads": threads, "n_threads_batch": threads, "logits_all": True}
    model = llama_cpp.Llama(str(file), **options)
    rows = []
    for row in ids:
        model.reset()
        model.eval(row.tolist())
        rows.append(model.scores[: len(row)].copy())
    model.close()
    return np.stack(rows)


def _types(file: Path) -> dict[str, int]:
    from gguf import GGUFReader

    return dict(Counter(tensor.tensor_type.name for tensor in GGUFReader(file).tensors).most_common())
