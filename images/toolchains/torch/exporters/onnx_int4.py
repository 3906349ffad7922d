"""4-bit checkpoint -> ONNX graph whose products are MatMulNBits: the codes and scales of the checkpoint, not rounded anew."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from harness.contracts.artifact import Artifact, Context, ConversionError, Made
from harness.contracts.cards import ExporterCard, Form
from harness.toolchain.checkpoint import WEIGHTS, copy_companions, load_model
from harness.toolchain.grouped import FORM, Grouped, read
from harness.toolchain.onnx_files import GRAPH, save
from harness.toolchain.parity import require_close, sample_inputs, source_logits

CARD = ExporterCard(
    name="onnx-int4",
    summary="export a 4-bit language model to an ONNX graph with MatMulNBits, activations in INT8",
    accepts=(FORM,),
    makes=Form("onnx", "int4"),
    source="https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.MatMulNBits",
    calls=("generate",),
    modalities=("text",),
)

#: accuracy_level of MatMulNBits: activations stay float32, or are quantized to INT8 in blocks, which is the fast way.
EXACT, FAST = 1, 4
#: Layers that GenAI's builder joins into one product, in this order along the outputs.
JOINED = {"qkv_proj": ("q_proj", "k_proj", "v_proj")}
PRODUCT = re.compile(r"/model/layers\.(\d+)/(attn|mlp)/(\w+)/MatMul")
BLOCKS = {"attn": "self_attn", "mlp": "mlp"}


def export(source: Artifact, out: Path, context: Context) -> Made:
    """Build the graph from the expanded weights, then put the 4-bit numbers in the place of every matrix.

    Compared with the expanded checkpoint while activations are float32. Raises ConversionError where logits differ by more
    than rounding, or a layer is not found in the graph.
    """
    import onnx
    from decoder_graph import build, run
    from transformers import AutoConfig

    (file,) = source.weights
    layers, others = read(file)
    with TemporaryDirectory(dir=out) as scratch:
        expanded = Path(scratch, "checkpoint")
        _write_expanded(source, expanded, layers, others)
        context.progress(0.1, "building the graph")
        extra = build(expanded, Path(scratch))
        graph = onnx.load(Path(scratch, GRAPH))
        model = load_model(expanded, context.auto_class)
        config = AutoConfig.from_pretrained(expanded, local_files_only=True)
        inputs = sample_inputs(expanded, config, context.use, batch=3)
        expected = source_logits(model, inputs)
    context.progress(0.6, "packing")
    replaced = _replace(graph.graph, layers)
    _save(graph, out, EXACT)
    context.progress(0.8, "comparing")
    difference = require_close(expected, run(out, inputs, extra))
    files = _save(graph, out, FAST)
    by_activations = float(abs(expected - run(out, inputs, extra)).max())
    effect = {"products_in_int4": replaced, "max_abs_logit_difference": difference}
    effect["max_abs_logit_difference_with_int8_activations"] = by_activations
    return Made(files, effect, extra=extra)


def _write_expanded(source: Artifact, folder: Path, layers: Mapping[str, Grouped], others: Mapping[str, Any]) -> None:
    """The same model as an ordinary float32 checkpoint."""
    from safetensors.torch import save_file

    folder.mkdir()
    copy_companions(source, folder)
    config = json.loads((folder / "config.json").read_text("utf-8"))
    del config["quantization_config"]
    (folder / "config.json").write_text(json.dumps(config | {"dtype": "float32"}), "utf-8")
    expanded = {f"{name}.weight": layer.dequantized() for name, layer in layers.items()}
    save_file({name: t.float() for name, t in others.items()} | expanded, folder / WEIGHTS, {"format": "pt"})


def _replace(graph: Any, layers: Mapping[str, Grouped]) -> int:
    """Put MatMulNBits in the place of every product that belongs to ``layers``; returns the number of products.

    Raises ConversionError where a layer has no product.
    """
    left = dict(layers)
    dropped: set[str] = set()
    count = 0
    for node in graph.node:
        found = PRODUCT.fullmatch(node.name) if node.op_type == "MatMul" else None
        if not found:
            continue
        number, block, name = found.groups()
        prefix = f"model.layers.{number}.{BLOCKS[block]}"
        names = [f"{prefix}.{part}" for part in JOINED.get(name, (name,))]
        if not left.keys() >= set(names):
            raise ConversionError(f"the graph's product {node.name} belongs to no layer in 4 bits")
        dropped.add(node.input[1])
        _to_nbits(graph, node, [left.pop(part) for part in names])
        count += 1
    if left:
        raise ConversionError(f"the graph has no product for {next(iter(left))}: this architecture is not supported")
    kept = [tensor for tensor in graph.initializer if tensor.name not in dropped]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    return count


def _to_nbits(graph: Any, node: Any, parts: Sequence[Grouped]) -> None:
    """Turn a MatMul into MatMulNBits; ``parts`` follow each other along the outputs.

    Operands: codes uint8 [out, groups, group / 2] and zero points uint8 [out, ceil(groups / 2)], two in a byte, the first in
    the low bits; scales float32 [out, groups].
    """
    import numpy as np
    from onnx import helper, numpy_helper

    codes, zeros, scales = (
        np.concatenate([getattr(part, field).numpy() for part in parts]) for field in ("codes", "zeros", "scales")
    )
    outputs, inputs = codes.shape
    group = inputs // scales.shape[1]
    operands = {
        "codes": _pairs(codes).reshape(outputs, -1, group // 2),
        "scales": scales.astype(np.float32),
        "zeros": _pairs(np.pad(zeros, ((0, 0), (0, zeros.shape[1] % 2)))),
    }
    names = [f"{node.name}.{operand}" for operand in operands]
    graph.initializer.extend(
        numpy_helper.from_array(array, name) for name, array in zip(names, operands.values(), strict=True)
    )
    shape = {"K": inputs, "N": outputs, "bits": 4, "block_size": group, "accuracy_level": EXACT}
    made = helper.make_node(
        "MatMulNBits", [node.input[0], *names], list(node.output), node.name, domain="com.microsoft", **shape
    )
    node.CopyFrom(made)


def _pairs(codes: Any) -> Any:
    """[n, 2 m] -> [n, m]: two codes in a byte, the first in the low bits."""
    return codes[:, ::2] | codes[:, 1::2] << 4


def _save(model: Any, out: Path, accuracy: int) -> list[str]:
    """Write the graph and its weights with activations as ``accuracy`` says; returns the names of the files."""
    import onnx

    for node in model.graph.node:
        if node.op_type == "MatMulNBits":
            for attribute in node.attribute:
                if attribute.name == "accuracy_level":
                    attribute.i = accuracy
    copy = onnx.ModelProto()
    copy.CopyFrom(model)  # saving moves the weights out of what is saved
    return save(copy, out)
