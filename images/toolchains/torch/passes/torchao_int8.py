"""INT8 as transformers quantizes while it loads, by torchao; kept in a checkpoint that transformers loads by itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.contracts.artifact import Artifact, Context, ConversionError, Made
from harness.contracts.cards import Form, Parameter, PassCard
from harness.toolchain.checkpoint import WEIGHTS, bits_per_weight, copy_companions, load_model
from harness.toolchain.parity import require_close, sample_inputs, source_logits

CARD = PassCard(
    name="torchao-int8",
    summary="linear layers in INT8 by the quantization built into transformers (TorchAoConfig); all else in FP32",
    accepts=(Form("hf", "fp32"),),
    makes=Form("hf", "torchao-int8"),
    source="https://huggingface.co/docs/transformers/quantization/torchao",
    costs="int8",
    calls=("forward", "generate"),
    modalities=("text",),
    parameters={
        "activations": Parameter(
            "fp32", "int8: quantize them, too, at run time, for each token", choices=("fp32", "int8")
        ),
    },
)


def apply(source: Artifact, out: Path, parameters: Mapping[str, Any], context: Context) -> Made:
    """Quantize every linear layer but a head that is tied to the embedding, with a scale per output channel. Needs no data.

    Raises ConversionError where no layer was quantized, or the written checkpoint, loaded again, answers differently.
    """
    import transformers
    from safetensors import safe_open
    from torchao.quantization import Int8DynamicActivationInt8WeightConfig, Int8WeightOnlyConfig

    kinds = {"fp32": Int8WeightOnlyConfig, "int8": Int8DynamicActivationInt8WeightConfig}
    config = transformers.TorchAoConfig(kinds[parameters["activations"]](version=2))
    auto = getattr(transformers, context.auto_class)
    context.progress(0.1, "quantizing while loading")
    model = auto.from_pretrained(source.path, quantization_config=config, local_files_only=True, dtype="auto").eval()
    weights = sum(parameter.numel() for parameter in model.parameters())
    copy_companions(source, out)
    context.progress(0.6, "writing")
    model.save_pretrained(out, max_shard_size="1TB")  # one file, whatever the size
    with safe_open(out / WEIGHTS, "pt") as file:
        codes = [file.get_slice(name) for name in file.keys() if name.endswith("_weight_qdata")]  # noqa: SIM118  no mapping
    sizes = [rows * columns for rows, columns in (c.get_shape() for c in codes if c.get_dtype() == "I8")]
    if not sizes:
        raise ConversionError("the model has no linear layer to quantize")
    inputs = sample_inputs(out, model.config, context.use, 2)
    difference = require_close(source_logits(model, inputs), source_logits(load_model(out, context.auto_class), inputs))
    effect = {
        "tensors_quantized": len(sizes),
        "share_of_weights_quantized": round(sum(sizes) / weights, 4),
        "bits_per_weight": bits_per_weight(out / WEIGHTS, weights),
        "max_abs_logit_difference": difference,
    }
    return Made([WEIGHTS], effect=effect, extra={"arithmetic": parameters["activations"]})
