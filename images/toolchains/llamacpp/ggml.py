"""Quantization by llama.cpp, and what it came to: shared by the passes of this image."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from harness.contracts.artifact import Artifact, Context, ConversionError, Made

#: Name -> llama_ftype: every type that llama.cpp quantizes a dense model to without an importance matrix.
FILE_TYPES = {
    **{"Q8_0": 7, "Q6_K": 18, "Q5_K_M": 17, "Q5_K_S": 16, "Q5_1": 9, "Q5_0": 8},
    **{"Q4_K_M": 15, "Q4_K_S": 14, "Q4_1": 3, "Q4_0": 2, "IQ4_NL": 25, "IQ4_XS": 30},
    **{"Q3_K_L": 13, "Q3_K_M": 12, "Q3_K_S": 11, "IQ3_M": 27, "IQ3_S": 26, "Q2_K": 10},
}

WEIGHTS = "model.gguf"
BLOCKS_OF_32 = ("Q8_0", "Q5_1", "Q5_0", "Q4_1", "Q4_0", "IQ4_NL")  # the other formats have blocks of 256 weights


def quantize(source: Artifact, out: Path, kind: str, context: Context) -> Made:
    """Quantize the matrices of a GGUF file to ``kind``; norms and biases stay as they are. Raises ConversionError.

    Formats with blocks of 256 weights need rows that are a multiple of it. llama.cpp stores other matrices in a format with
    blocks of 32 and the next larger size: the effect tells how many, and what the mix comes to.
    """
    import llama_cpp

    settings = llama_cpp.llama_model_quantize_default_params()
    settings.ftype = FILE_TYPES[kind]
    settings.nthread = context.threads
    (file,) = source.weights
    context.progress(0.0, f"quantizing to {kind}")
    code = llama_cpp.llama_model_quantize(str(file).encode(), str(out / WEIGHTS).encode(), settings)
    if code:
        raise ConversionError(f"llama.cpp does not quantize this model to {kind}; the log says why")
    context.progress(0.7, "verifying")
    return Made([WEIGHTS], effect=_effect(file, out / WEIGHTS, kind))


def _effect(before: Path, after: Path, wanted: str) -> dict[str, Any]:
    """What became of the weights, counted in the written file; raises ConversionError where nothing was quantized."""
    import numpy as np
    from gguf import GGUFReader
    from gguf.constants import GGML_QUANT_SIZES
    from gguf.quants import dequantize

    original = {tensor.name: tensor for tensor in GGUFReader(before).tensors}
    tensors: Counter[str] = Counter()
    weights: Counter[str] = Counter()
    fallbacks, largest_change = 0, 0.0
    for tensor in GGUFReader(after).tensors:
        kind, source = tensor.tensor_type, original[tensor.name]
        if kind == source.tensor_type:
            continue
        tensors[kind.name] += 1
        weights[kind.name] += int(tensor.n_elements)
        fallbacks += int(wanted not in BLOCKS_OF_32 and GGML_QUANT_SIZES[kind][0] < 256)
        change = dequantize(tensor.data, kind) - dequantize(source.data, source.tensor_type)
        largest_change = max(largest_change, float(np.abs(change).max()))
    if not tensors:
        raise ConversionError("llama.cpp found no matrix to quantize in this model")
    total = sum(int(tensor.n_elements) for tensor in original.values())
    return {
        "tensors_changed": tensors.total(),
        "tensors_by_type": dict(tensors.most_common()),
        "tensors_fallen_back": fallbacks,
        "share_of_weights_quantized": round(weights.total() / total, 4),
        "share_of_weights_by_type": {name: round(count / total, 4) for name, count in weights.most_common()},
        "bits_per_weight": round(8 * after.stat().st_size / total, 3),
        "max_abs_weight_change": largest_change,
    }
