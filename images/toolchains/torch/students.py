"""Students of a teacher: the same architecture with fewer layers, or, for convolutional stages, fewer blocks and channels."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from layers import evenly_spaced, shortened, stack

from harness.contracts.artifact import ConversionError

_CHANNELS = 8  # widths are whole multiples of this: what vector units and grouped convolutions like


def is_transformer(model: Any) -> bool:
    """Whether the model is one stack of alike layers."""
    return getattr(model.config, "num_hidden_layers", None) is not None


def shallower(teacher: Any, layers: int, copy: bool) -> Any:
    """A student with so many of the teacher's transformer layers; 0 means half of them.

    With ``copy``, all but the dropped layers starts out as the teacher's, its layers evenly spaced ones, the first and the
    last among them (DistilBERT, Sanh et al. 2019); else the student is initialized at random.
    Raises ConversionError where the student would not be smaller.
    """
    depth = teacher.config.num_hidden_layers
    layers = layers or depth // 2
    if not 0 < layers < depth:
        raise ConversionError(f"the teacher has {depth} layers: student_layers must be 1 to {depth - 1}, not {layers}")
    kept = evenly_spaced(depth, layers)
    student = type(teacher)(shortened(teacher.config, kept))
    if copy:
        prefix, _ = stack(teacher)
        state = teacher.state_dict()
        for to, at in enumerate(kept):
            moved = {k: v for k, v in teacher.state_dict().items() if k.startswith(f"{prefix}.{at}.")}
            state |= {k.replace(f"{prefix}.{at}.", f"{prefix}.{to}.", 1): v for k, v in moved.items()}
        wanted = student.state_dict()
        student.load_state_dict({name: tensor for name, tensor in state.items() if name in wanted})
    return student


def narrower(teacher: Any, depth: int, width: float) -> Any:
    """A student with at most ``depth`` blocks a stage and ``width`` of the teacher's channels, initialized at random.

    Raises ConversionError where the architecture is not made of stages, or the student would not be smaller.
    """
    config = deepcopy(teacher.config)
    if not (hasattr(config, "hidden_sizes") and hasattr(config, "depths")):
        raise ConversionError(
            f"a student of {config.model_type} cannot be built: distill knows transformers, and networks whose "
            "configuration has hidden_sizes and depths (ResNet, ConvNeXt)"
        )
    config.hidden_sizes = [_narrowed(size, width) for size in config.hidden_sizes]
    if hasattr(config, "embedding_size"):
        config.embedding_size = _narrowed(config.embedding_size, width)
    config.depths = [min(blocks, depth) for blocks in config.depths]
    student = type(teacher)(config)
    if parameters(student) >= parameters(teacher):
        raise ConversionError("the student is no smaller than its teacher: lower student_width or student_depth")
    return student


def blocks(model: Any) -> int:
    """Transformer layers, or residual blocks of all stages."""
    return int(model.config.num_hidden_layers if is_transformer(model) else sum(model.config.depths))


def parameters(model: Any) -> int:
    """How many numbers the model has learnt; those that are tied count once."""
    return sum(parameter.numel() for parameter in model.parameters())


def _narrowed(channels: int, width: float) -> int:
    return max(_CHANNELS, round(channels * width / _CHANNELS) * _CHANNELS)
