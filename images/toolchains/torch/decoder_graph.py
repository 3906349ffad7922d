"""ONNX graphs of language models by ONNX Runtime GenAI's builder: with a key-value cache, attention fused, one graph."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from harness.contracts.adapter import Array
from harness.toolchain.onnx_files import GRAPH, Session


def build(path: Path, out: Path) -> dict[str, Any]:
    """Build the graph with its fused attention; returns what the adapter must know of the cache."""
    builder = [sys.executable, "-m", "onnxruntime_genai.models.builder", "-p", "fp32", "-e", "cpu"]
    with TemporaryDirectory() as cache:
        subprocess.run([*builder, "-i", path, "-o", out, "-c", cache], check=True)
    decoder = json.loads((out / "genai_config.json").read_text("utf-8"))["model"]["decoder"]
    _limit_logits(out / GRAPH)
    return {"key_value_heads": decoder["num_key_value_heads"], "head_size": decoder["head_size"]}


def run(out: Path, inputs: Mapping[str, Array], extra: Mapping[str, Any]) -> Array:
    """What the exported graph answers; a language model with an empty cache, at all positions."""
    session, feed = Session(out), dict(inputs)
    for name in session.inputs:
        if name.startswith("past_key_values."):
            shape = (len(feed["input_ids"]), extra["key_value_heads"], 0, extra["head_size"])
            feed[name] = np.zeros(shape, np.float32)
        elif name == "attention_mask":
            feed.setdefault(name, np.ones_like(feed["input_ids"]))
        elif name == "logits_to_keep":
            feed[name] = np.zeros(1, np.int64)
    return session.logits(feed)


def _limit_logits(file: Path) -> None:
    """Add the input ``logits_to_keep`` [1]: only so many last positions go through the head, 0 means all.

    The same meaning as the parameter of that name in transformers; without it a prefill would multiply every position by
    the whole vocabulary. Weights are in the external data file and stay untouched.
    """
    import onnx
    from onnx import TensorProto, helper

    model = onnx.load(file, load_external_data=False)
    graph = model.graph
    (head,) = (node for node in graph.node if "logits" in node.output)
    constants = {"keep_end": np.iinfo(np.int64).max, "keep_axis": 1}
    graph.initializer.extend(helper.make_tensor(k, TensorProto.INT64, [1], [v]) for k, v in constants.items())
    graph.input.append(helper.make_tensor_value_info("logits_to_keep", TensorProto.INT64, [1]))
    position = list(graph.node).index(head)
    graph.node.insert(position, helper.make_node("Neg", ["logits_to_keep"], ["keep_start"], "keep_start"))
    kept = helper.make_node("Slice", [head.input[0], "keep_start", *constants], ["kept"], "keep_last_positions")
    graph.node.insert(position + 1, kept)
    head.input[0] = "kept"
    for output in graph.output:
        if output.name == "logits":
            output.type.tensor_type.shape.dim[1].dim_param = "logits_length"
    onnx.save(model, file)
