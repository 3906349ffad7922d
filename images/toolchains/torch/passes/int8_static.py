"""Static INT8 in PyTorch: an ExportedProgram with linear layers and convolutions in int8, calibrated on real rows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.contracts.artifact import Artifact, Context, ConversionError, Made
from harness.contracts.cards import Form, Parameter, PassCard
from harness.toolchain.checkpoint import load_config, load_model
from harness.toolchain.data import calibration_rows
from harness.toolchain.parity import sample_inputs
from harness.toolchain.tracing import logits_module, open_dimensions, tensors_of

CARD = PassCard(
    name="int8-static",
    summary="weights and activations in INT8, calibrated, by torchao's PT2E; of transformers the linear layers only",
    accepts=(Form("hf", "fp32"),),
    makes=Form("torch-export", "int8"),
    source="Jacob et al. 2018, Quantization and Training of Neural Networks, https://arxiv.org/abs/1712.05877; "
    "https://docs.pytorch.org/ao/stable/pt2e_quantization/pt2e_quant_ptq.html",
    costs="int8",
    calls=("forward",),
    modalities=("text", "image"),
    parameters={"examples": Parameter(64, "training rows to calibrate on", minimum=1)},
    needs_training_data=True,
)

_FILE = "model.pt2"


def apply(source: Artifact, out: Path, parameters: Mapping[str, Any], context: Context) -> Made:
    """Export, observe ranges on rows of ``context.inputs["calibration"]``, quantize, and export again.

    Weights are symmetric with a scale per output channel, activations asymmetric uint8 with one range a tensor, from
    histograms. The graph takes what the unquantized export takes, at any batch and length. What is reported is read from
    the written file. Raises ConversionError where nothing was quantized, or the file gives no numbers at another shape.
    """
    import torch

    config = load_config(source.path)
    seen, unseen = (sample_inputs(source.path, config, context.use, batch) for batch in (2, 3))
    model = logits_module(load_model(source.path, context.auto_class), list(seen))
    context.progress(0.1, "exporting")
    prepared = _prepared(model, tensors_of(seen), convolutions=context.use.modality == "image")
    rows = calibration_rows(context, parameters["examples"])
    with torch.no_grad():
        for at, row in enumerate(rows):
            prepared(*tensors_of({name: row[name] for name in seen}))
            context.progress(0.2 + 0.5 * at / len(rows), f"calibrating on row {at + 1} of {len(rows)}")
    _save(prepared, tensors_of(seen), out / _FILE)
    context.progress(0.9, "verifying")
    program = torch.export.load(out / _FILE)
    with torch.inference_mode():
        logits = program.module()(*tensors_of(unseen))
        agreement = float((logits.argmax(-1) == model(*tensors_of(unseen)).argmax(-1)).float().mean())
    if not bool(logits.isfinite().all()):
        raise ConversionError("the quantized graph gives logits that are no numbers")
    effect = {"examples": len(rows), **_effect(program, model), "top1_agreement_on_a_sample": round(agreement, 4)}
    return Made([_FILE], effect=effect, extra={"inputs": list(seen)})


def _prepared(model: Any, tensors: tuple[Any, ...], convolutions: bool) -> Any:
    """The exported graph with an observer at every tensor that will be quantized."""
    import torch
    from torchao.quantization.pt2e.quantize_pt2e import prepare_pt2e
    from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

    quantizer = x86.X86InductorQuantizer()
    if convolutions:
        quantizer.set_global(x86.get_default_x86_inductor_quantization_config())
    else:  # normalization, softmax and residual sums in INT8 ruin transformers
        quantizer.set_module_type_qconfig(torch.nn.Linear, x86.get_default_x86_inductor_quantization_config())
    exported = torch.export.export(model, tensors, dynamic_shapes=(open_dimensions(tensors),))
    return prepare_pt2e(exported.module(), quantizer)


def _save(prepared: Any, tensors: tuple[Any, ...], file: Path) -> None:
    """Quantize the observed graph and write it without the fp32 weights that no node reads any more."""
    import torch
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e

    converted = convert_pt2e(prepared)
    read = {str(node.target) for node in converted.graph.nodes if node.op == "get_attr"}
    held = [name for name, _ in (*converted.named_parameters(), *converted.named_buffers())]
    for name in set(held) - read:
        owner, _, attribute = name.rpartition(".")
        delattr(converted.get_submodule(owner), attribute)
    torch.export.save(torch.export.export(converted, tensors, dynamic_shapes=open_dimensions(tensors)), file)


def _effect(program: Any, model: Any) -> dict[str, Any]:
    """What the written file holds in int8."""
    import torch

    held = {**program.state_dict, **program.constants}
    quantized = [t for t in held.values() if isinstance(t, torch.Tensor) and t.dtype == torch.int8]
    if not quantized:
        raise ConversionError("torchao found no linear layer and no convolution that it would quantize")
    share = sum(t.numel() for t in quantized) / sum(p.numel() for p in model.parameters())
    return {"tensors_quantized": len(quantized), "share_of_weights_quantized": round(share, 4)}
