"""Round the weights of an ONNX graph to float16 and let its operators work in float16 where the runtime can."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.contracts.artifact import Artifact, Context, ConversionError, Made
from harness.contracts.cards import Form, PassCard
from harness.toolchain.onnx_files import GRAPH, Session, save, size

CARD = PassCard(
    name="fp16",
    summary="store in float16, logits in float32; computes in float16 where the provider has kernels",
    accepts=(Form("onnx", "fp32"),),
    makes=Form("onnx", "fp16"),
    source="https://onnxruntime.ai/docs/performance/model-optimizations/float16.html",
    costs="fp16",
)

CACHE = ("past_key_values.", "present.")  # what the names of key-value caches begin with


def apply(source: Artifact, out: Path, parameters: Mapping[str, Any], context: Context) -> Made:
    """Convert all but the graph's inputs and outputs; key-value caches become float16 too.

    Raises ConversionError where ONNX Runtime does not load the result.
    """
    import numpy as np
    import onnx
    from onnx.numpy_helper import to_array
    from onnxruntime.transformers.float16 import convert_float_to_float16

    model = onnx.load(source.path / GRAPH)
    before = {tensor.name: to_array(tensor) for tensor in model.graph.initializer}
    context.progress(0.3, "converting")
    kept = [value.name for value in (*model.graph.input, *model.graph.output) if not value.name.startswith(CACHE)]
    converted = convert_float_to_float16(model, keep_io_types=kept, disable_shape_infer=True)
    after = {tensor.name: to_array(tensor) for tensor in converted.graph.initializer}
    changed = [name for name, array in after.items() if name in before and array.dtype != before[name].dtype]
    # Single numbers are no weights: the "minus infinity" of attention masks shrinks to what float16 can hold.
    change = max(float(np.abs(after[n].astype(np.float32) - before[n]).max()) for n in changed if before[n].size > 1)
    files = save(converted, out)
    context.progress(0.9, "loading")
    try:
        Session(out)
    except Exception as error:  # ONNX Runtime's exceptions have no common base
        raise ConversionError(f"ONNX Runtime does not load the float16 graph: {error}") from error
    effect = {
        "tensors_changed": len(changed),
        "bits_per_weight": round(8 * size(out) / sum(array.size for array in before.values()), 3),
        "max_abs_weight_change": change,
    }
    return Made(files, effect=effect, extra=dict(source.manifest.extra))
