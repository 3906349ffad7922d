"""hf checkpoint -> OpenVINO IR by transformers' exporter; language models with their key-value cache inside the graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from harness.contracts.adapter import Array
from harness.contracts.artifact import Artifact, Context, ConversionError, Made
from harness.contracts.cards import ExporterCard, Form
from harness.toolchain.checkpoint import load_config, load_model
from harness.toolchain.parity import TOLERANCE, require_close, sample_inputs, source_logits

CARD = ExporterCard(
    name="openvino",
    summary="export to OpenVINO IR with dynamic batch and sequence; language models as one stateful graph",
    accepts=(Form("hf", "fp32"), Form("hf", "bf16")),
    makes=Form("openvino", "{precision}"),
    source="https://huggingface.co/docs/transformers/exporters, https://docs.openvino.ai/2026/openvino-workflow/"
    "running-inference/inference-request/stateful-models.html",
    calls=("forward", "generate"),
    modalities=("text", "image"),
)

FILES = ["model.xml", "model.bin"]
#: Batch normalization is folded into the weights before convolutions, so that those are rounded to 16 bits once more.
TOLERANCES = {"fp32": TOLERANCE, "bf16": 2**-5}
SETTINGS = {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32"}


def export(source: Artifact, out: Path, context: Context) -> Made:
    """Trace the model in fp32, then store the weights in the precision that they had: model.xml and model.bin.

    A language model takes ``input_ids`` [batch, tokens], ``attention_mask`` [batch, all tokens so far], ``logits_to_keep``
    [positions among the new tokens that get logits] and ``beam_idx`` [batch] (which row's cache each row goes on with).
    Raises ConversionError where the logits differ from the checkpoint's by more than rounding, cached steps included.
    """
    from weights import library

    openvino = library()
    config = load_config(source.path)
    model = load_model(source.path, context.auto_class).float()  # exact: 16 bits fit into 32
    seen, unseen = (sample_inputs(source.path, config, context.use, batch) for batch in (2, 3))
    generates = context.use.call == "generate"
    context.progress(0.1, "tracing")
    graph = _trace(model, seen, generates)
    context.progress(0.7, "writing")
    if source.form.precision == "bf16":
        _store_as_bf16(graph)
    openvino.save_model(graph, out / "model.xml", compress_to_fp16=False)
    context.progress(0.8, "comparing")
    compiled = openvino.Core().compile_model(out / "model.xml", "CPU", SETTINGS)
    actual = _in_two_steps(compiled, unseen["input_ids"]) if generates else compiled(_known(compiled, unseen))["logits"]
    difference = require_close(source_logits(model, unseen), actual, TOLERANCES[source.form.precision])
    effect: dict[str, Any] = {"max_abs_logit_difference": difference}
    if generates:
        effect["layers_with_fused_cache"] = _fused_layers(compiled, config.num_hidden_layers)
    return Made(FILES, effect=effect)


def _trace(model: Any, inputs: dict[str, Array], generates: bool) -> Any:
    import torch
    from transformers.exporters.exporter_openvino import OpenVINOConfig, OpenVINOExporter

    tensors: dict[str, Any] = {name: torch.from_numpy(array) for name, array in inputs.items()}
    if not generates:
        return OpenVINOExporter().export(model, tensors, OpenVINOConfig(dynamic=True)).program
    # Traced in the middle of a sequence, so that one graph does for a prefill (nothing cached) and for every later step.
    past, new = tensors["input_ids"][:, :5], tensors["input_ids"][:, 5:8]
    with torch.inference_mode():
        cache = model(past, use_cache=True).past_key_values
    step = {
        "input_ids": new,
        "attention_mask": torch.ones(len(new), past.shape[1] + new.shape[1], dtype=torch.int64),
        "past_key_values": cache,
        "logits_to_keep": torch.tensor([0, 2]),
    }
    graph = OpenVINOExporter().export(model, step, OpenVINOConfig(dynamic=True, stateful=True)).program
    _let_attention_fuse(graph)
    return graph


def _let_attention_fuse(graph: Any) -> None:
    """Undo a rewrite of the exporter that keeps the CPU plugin from fusing grouped-query attention with its cache.

    The exporter turns the broadcast that repeats keys and values from bidirectional to numpy rules, with a Select in front; the
    plugin's pattern (StatefulSDPAFusion) knows the former only. Unfused, every step copies the whole cache.
    """
    import openvino.opset14 as operators

    for attention in graph.get_ordered_ops():
        if attention.get_type_name() != "ScaledDotProductAttention":
            continue
        for port in (1, 2):  # keys, values
            repeat = attention.input_value(port).get_node()
            broadcast = repeat.input_value(0).get_node() if repeat.get_type_name() == "Reshape" else repeat
            if broadcast.get_type_name() != "Broadcast":
                continue
            shape = broadcast.input_value(1).get_node()
            if shape.get_type_name() == "Select":
                both = operators.broadcast(
                    broadcast.input_value(0), shape.input_value(1), broadcast_spec="BIDIRECTIONAL"
                )
                broadcast.output(0).replace(both.output(0))
    graph.validate_nodes_and_infer_types()


def _store_as_bf16(graph: Any) -> None:
    """Store matrices as BF16, converted to fp32 where they are used. ``save_model`` offers the same for FP16 only."""
    import openvino
    import openvino.opset14 as operators

    for node in graph.get_ordered_ops():
        if node.get_type_name() != "Constant" or node.get_element_type() != openvino.Type.f32 or len(node.shape) < 2:
            continue
        users = node.output(0).get_target_inputs()
        stored = operators.convert(operators.constant(node.data, openvino.Type.bf16), "f32")
        for user in users:
            user.replace_source_output(stored.output(0))


def _known(compiled: Any, inputs: dict[str, Array]) -> dict[str, Array]:
    """The inputs that the graph asks for: a model with one kind of segment loses ``token_type_ids``."""
    names = {name for port in compiled.inputs for name in port.get_names()}
    return {name: array for name, array in inputs.items() if name in names}


def _in_two_steps(compiled: Any, ids: Array) -> Array:
    """All logits: of the first half in one step, of the rest one token at a time on top of the cache."""
    request = compiled.create_infer_request()
    half, total = ids.shape[1] // 2, ids.shape[1]
    logits = []
    for start, end in [(0, half), *((i, i + 1) for i in range(half, total))]:
        feed = {
            "input_ids": ids[:, start:end],
            "attention_mask": np.ones((len(ids), end), np.int64),
            "logits_to_keep": np.arange(end - start),
            "beam_idx": np.arange(len(ids), dtype=np.int32),
        }
        logits.append(request.infer(feed)["logits"].copy())
    return np.concatenate(logits, axis=1)


def _fused_layers(compiled: Any, layers: int) -> int:
    """How many layers run as one attention operator that owns its cache; ConversionError unless all do."""
    operators = compiled.get_runtime_model().get_ordered_ops()
    kinds = [operator.get_rt_info()["layerType"].astype(str) for operator in operators]
    fused = kinds.count("ScaledDotProductAttention")
    if fused != layers:
        raise ConversionError(f"OpenVINO fuses the attention of {fused} of {layers} layers with its key-value cache")
    return fused
