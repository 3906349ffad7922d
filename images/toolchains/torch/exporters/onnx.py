"""hf checkpoint -> ONNX graph: encoders and image models by transformers' exporter, language models by the GenAI builder."""

from __future__ import annotations

from pathlib import Path

from harness.contracts.artifact import Artifact, Context, Made
from harness.contracts.cards import ExporterCard, Form
from harness.toolchain.checkpoint import load_config, load_model
from harness.toolchain.onnx_files import written
from harness.toolchain.parity import require_close, sample_inputs, source_logits

CARD = ExporterCard(
    name="onnx",
    summary="export to an ONNX graph with dynamic batch and sequence",
    accepts=(Form("hf", "fp32"),),
    makes=Form("onnx", "fp32"),
    source="https://huggingface.co/docs/transformers/exporters, https://onnxruntime.ai/docs/genai/howto/build-model.html",
    calls=("forward", "generate"),
    modalities=("text", "image"),
)


def export(source: Artifact, out: Path, context: Context) -> Made:
    """Export, then run both models on the same inputs, at a batch and a length that the export did not see.

    Raises ConversionError where the logits differ by more than rounding.
    """
    import encoder_graph
    from decoder_graph import build, run

    config = load_config(source.path)
    model = load_model(source.path, context.auto_class)
    context.progress(0.1, "exporting")
    if context.use.call == "generate":
        extra = build(source.path, out)
    else:
        encoder_graph.write(model, sample_inputs(source.path, config, context.use, batch=2), out)
        extra = {}
    context.progress(0.8, "comparing")
    unseen = sample_inputs(source.path, config, context.use, batch=3)
    difference = require_close(source_logits(model, unseen), run(out, unseen, extra))
    return Made(written(out), effect={"max_abs_logit_difference": difference}, extra=extra)
