"""Graphs traced from a transformers model: a function of tensors, in order, that returns the logits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from harness.contracts.adapter import Array
from harness.contracts.artifact import Artifact, Context, Made
from harness.toolchain.checkpoint import load_config, load_model
from harness.toolchain.parity import require_close, sample_inputs

Graph: TypeAlias = Callable[..., Any]


def traced(source: Artifact, context: Context, file: str, trace: Callable[[Any, tuple[Any, ...]], Graph]) -> Made:
    """Make ``file`` by ``trace(model, tensors)``, which writes it and returns it as loaded again.

    ``model`` takes its inputs by position; ``extra["inputs"]`` of the artifact names them in order. Both are run at a batch and
    a length that ``trace`` did not see: ConversionError where the logits differ by more than rounding.
    """
    import torch

    config = load_config(source.path)
    seen, unseen = (sample_inputs(source.path, config, context.use, batch) for batch in (2, 3))
    model = logits_module(load_model(source.path, context.auto_class), list(seen))
    context.progress(0.2, "tracing")
    graph = trace(model, tensors_of(seen))
    context.progress(0.8, "comparing")
    with torch.inference_mode():
        expected, actual = (callee(*tensors_of(unseen)).numpy() for callee in (model, graph))
    effect = {"max_abs_logit_difference": require_close(expected, actual)}
    return Made([file], effect=effect, extra={"inputs": list(seen)})


def logits_module(model: Any, names: list[str]) -> Any:
    """A module from positional inputs to logits; pixels and logits are float32 whatever the model computes in."""
    import torch

    class Logits(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *tensors: Any) -> Any:
            cast = [t.to(model.dtype) if t.is_floating_point() else t for t in tensors]
            return self.model(**dict(zip(names, cast, strict=True))).logits.float()

    return Logits().eval().requires_grad_(False)


def open_dimensions(tensors: tuple[Any, ...]) -> tuple[dict[int, Any], ...]:
    """The dimensions that torch.export leaves open: batch and length of token ids; batch, height and width of pixels.

    DYNAMIC fails where the model fixes a dimension. Height and width are AUTO, because vision transformers fix them.
    """
    from torch.export import Dim

    pixels = {0: Dim.DYNAMIC, 2: Dim.AUTO, 3: Dim.AUTO}
    return tuple({0: Dim.DYNAMIC, 1: Dim.DYNAMIC} if tensor.dim() == 2 else pixels for tensor in tensors)


def tensors_of(inputs: dict[str, Array]) -> tuple[Any, ...]:
    """The inputs by position, in their own order."""
    import torch

    return tuple(torch.from_numpy(array) for array in inputs.values())
