"""Quantization-aware training: fine-tune with the rounding of INT8 in every product, then write the integer graph."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.contracts.adapter import Array
from harness.contracts.artifact import Artifact, Context, ConversionError, Made
from harness.contracts.cards import Form, Parameter, PassCard
from harness.toolchain.checkpoint import load_model
from harness.toolchain.data import calibration_rows
from harness.toolchain.onnx_files import GRAPH, Session, size, written
from harness.toolchain.parity import sample_inputs, source_logits

CARD = PassCard(
    name="qat",
    summary="fine-tuned with the rounding of INT8 weights and activations, by PyTorch and torchao; an ONNX graph in INT8",
    accepts=(Form("hf", "fp32"),),
    makes=Form("onnx", "int8-static"),
    source="Jacob et al. 2018, Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference, "
    "https://arxiv.org/abs/1712.05877; https://docs.pytorch.org/ao/stable/pt2e_quantization/pt2e_quant_qat.html",
    costs="int8",
    calls=("forward",),
    modalities=("text", "image"),
    parameters={
        "epochs": Parameter(0.0, "passes over the training data; 0: 1, of a CNN 2", minimum=0),
        "batch": Parameter(32, "examples a step", minimum=1),
        "learning_rate": Parameter(0.0, "its peak; 0: 0.00002, of a CNN 0.0001", minimum=0, maximum=1),
        "frozen_share": Parameter(
            0.3, "share of all steps, the last ones, in which the ranges of activations stay", minimum=0.01, maximum=1
        ),
    },
    needs_training_data=True,
)

#: Epochs, and a learning rate of a tenth of what trained the model: rounding is made up for by small changes.
_DEFAULTS = {"image": (2.0, 1e-4)}
_OTHERS = (1.0, 2e-5)
_COMPARED = 64  # training examples on which PyTorch and ONNX Runtime are compared
_LEAST_AGREEMENT = 0.98


def apply(source: Artifact, out: Path, parameters: Mapping[str, Any], context: Context) -> Made:
    """Train the rounded model, store its weights in int8, export it, and compare the file with what was trained.

    Raises ConversionError where ONNX Runtime chooses another class than the trained model at more than 2 % of all
    positions: sums of integers are rounded in another order, so that single logits may differ by a step.
    """
    import encoder_graph
    import torch
    from fake_quantization import fake_quantize, fold_norms, freeze_ranges, to_integers
    from training import Examples, Schedule, finetune, freeze_embeddings

    examples = Examples.of(context)
    model = load_model(source.path, context.auto_class)
    seen = sample_inputs(source.path, model.config, context.use, batch=2)
    tensors = {name: torch.from_numpy(array) for name, array in seen.items()}
    weights = sum(parameter.numel() for parameter in model.parameters())
    freeze_embeddings(model)
    norms = fold_norms(model, tensors)
    layers = fake_quantize(model, tensors)
    epochs, rate = _DEFAULTS.get(context.use.modality, _OTHERS)
    schedule = Schedule(parameters["epochs"] or epochs, parameters["batch"], parameters["learning_rate"] or rate)

    def settle(done: int, steps: int) -> None:
        if done == round((1 - parameters["frozen_share"]) * steps):
            freeze_ranges(model)

    trained = finetune(model, examples, schedule, context, after_step=settle, span=(0.05, 0.8))
    freeze_ranges(model)
    compared = calibration_rows(context, _COMPARED)  # of shapes that the export does not see
    expected = [source_logits(model, inputs) for inputs in compared]
    to_integers(model)
    context.progress(0.85, "exporting")
    encoder_graph.write(model, seen, out)
    context.progress(0.95, "comparing")
    effect = {"training_steps": trained.steps, "loss": round(trained.loss, 4), "norms_folded": norms}
    effect |= _effect(out, layers, weights) | _parity(out, compared, expected)
    return Made(written(out), effect=effect, extra={})


def _parity(out: Path, compared: list[dict[str, Array]], expected: list[Array]) -> dict[str, Any]:
    """How ONNX Runtime's answers differ from the trained model's."""
    import numpy as np

    session, agreed, differences = Session(out), [], []
    for inputs, logits in zip(compared, expected, strict=True):
        answer = session.logits(inputs)
        agreed.append((answer.argmax(-1) == logits.argmax(-1)).ravel())
        differences.append(np.abs(answer - logits).ravel())
    agreement, all_differences = float(np.concatenate(agreed).mean()), np.concatenate(differences)
    if not agreement >= _LEAST_AGREEMENT:
        raise ConversionError(
            f"the written graph chooses the trained model's class at only {agreement:.1%} of positions"
        )
    return {
        "top1_agreement_with_trained": round(agreement, 4),
        "mean_abs_logit_difference": round(float(all_differences.mean()), 5),
        "max_abs_logit_difference": round(float(all_differences.max()), 5),
    }


def _effect(out: Path, layers: int, weights: int) -> dict[str, Any]:
    """What was quantized, counted in the written graph; raises ConversionError unless weight and activation of all were."""
    import math

    import onnx

    graph = onnx.load(out / GRAPH, load_external_data=False).graph
    stored = {tensor.name: tensor for tensor in graph.initializer}
    origin = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "DequantizeLinear"}
    products = [node for node in graph.node if node.op_type in ("Conv", "MatMul", "Gemm")]
    whole = [node for node in products if node.input[0] in origin and origin.get(node.input[1]) in stored]
    if len(whole) != layers:
        raise ConversionError(f"only {len(whole)} of {layers} layers are products of integers in the written graph")
    integers = [stored[origin[node.input[1]]] for node in whole]
    return {
        "tensors_quantized": len(integers),
        "activations_quantized": len({origin[node.input[0]] for node in whole}),
        "share_of_weights_quantized": round(sum(math.prod(tensor.dims) for tensor in integers) / weights, 4),
        "bits_per_weight": round(8 * size(out) / weights, 3),
    }
