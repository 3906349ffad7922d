"""ONNX graphs on disk: ``model.onnx``, and its weights in a file beside it where there are any to keep apart."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.contracts.adapter import Array

GRAPH, DATA = "model.onnx", "model.onnx.data"


def save(model: Any, out: Path) -> list[str]:
    """Write a graph and its weights; returns the names of the files."""
    import onnx

    (out / DATA).unlink(missing_ok=True)  # else weights are appended to those of an earlier graph
    onnx.save(model, out / GRAPH, save_as_external_data=True, all_tensors_to_one_file=True, location=DATA)
    return written(out)


def written(out: Path) -> list[str]:
    """The names of the files in a folder that hold a graph: a small one keeps its weights inside."""
    return [name for name in (GRAPH, DATA) if (out / name).exists()]


def size(out: Path) -> int:
    """Bytes of a graph and its weights."""
    return sum((out / name).stat().st_size for name in written(out))


class Session:
    """A graph in ONNX Runtime, on the CPU."""

    def __init__(self, out: Path) -> None:
        import onnxruntime

        self.session = onnxruntime.InferenceSession(out / GRAPH, providers=["CPUExecutionProvider"])
        self.inputs = [value.name for value in self.session.get_inputs()]

    def logits(self, feed: Mapping[str, Array]) -> Array:
        """What the graph answers; inputs that it has no name for are left out."""
        (logits,) = self.session.run(["logits"], {name: feed[name] for name in self.inputs})
        answer: Array = logits
        return answer
