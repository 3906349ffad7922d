"""One fine-tuning loop for every pass that trains: distillation, movement pruning, recovery after pruning, QAT.

A method plugs in by its loss and by a hook after each step. Examples are the prepared train split of the step, the input
``calibration``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from harness.contracts.adapter import Array
from harness.contracts.artifact import Context, ConversionError
from harness.contracts.prepared import IGNORED
from harness.toolchain.data import training_examples

Tensor: TypeAlias = Any
Batch: TypeAlias = dict[str, Tensor]  # keyword arguments of a transformers model, ``labels`` among them
Loss: TypeAlias = Callable[[Any, Batch], Tensor]  # model, batch -> scalar
AfterStep: TypeAlias = Callable[[int, int], None]  # steps done, steps in all

#: A batch's examples are chosen among so many batches' worth of shuffled ones, then sorted by length.
_BUCKET_BATCHES = 16


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train: AdamW, its learning rate warmed up linearly, then annealed linearly to nothing.

    Sources: Loshchilov & Hutter 2019 (AdamW), Smith & Topin 2018 (one cycle).
    """

    epochs: float  # passes over the examples; half a pass is 0.5
    batch: int
    rate: float  # the peak
    weight_decay: float = 0.01
    warmup: float = 0.1  # share of all steps
    clip: float = 1.0  # largest norm of the gradient
    max_steps: int = 0  # 0: as many as the epochs take


@dataclass(frozen=True)
class Trained:
    """What a run came to."""

    steps: int
    loss: float  # mean over the last tenth of all steps


class Examples:
    """Labelled examples, in memory as they were prepared: nothing is padded before it is batched."""

    def __init__(self, items: Sequence[Mapping[str, Array]]) -> None:
        self.items = items

    @classmethod
    def of(cls, context: Context, limit: int = 0) -> Examples:
        """The train split of the step, or ``limit`` of its examples chosen by the seed.

        Raises ConversionError where the step was given no training data.
        """
        items = training_examples(context)
        if 0 < limit < len(items):
            chosen = np.random.default_rng(context.seed).choice(len(items), limit, replace=False)
            items = [items[at] for at in chosen]
        return cls(items)

    def __len__(self) -> int:
        return len(self.items)

    def batches(self, size: int, order: np.random.Generator) -> Iterator[Batch]:
        """One epoch of shuffled batches; examples of like length go together, so that little is padded."""
        shuffled = order.permutation(len(self.items))
        for bucket in np.split(shuffled, range(size * _BUCKET_BATCHES, len(shuffled), size * _BUCKET_BATCHES)):
            by_length = sorted(bucket, key=lambda at: _length(self.items[at]))
            groups = [by_length[start : start + size] for start in range(0, len(by_length), size)]
            for at in order.permutation(len(groups)):
                yield collate([self.items[example] for example in groups[at]])


def collate(items: Sequence[Mapping[str, Array]]) -> Batch:
    """Examples as one batch of tensors: token sequences are padded on the right and get an ``attention_mask``."""
    import torch

    batch = {name: _stacked([item[name] for item in items], IGNORED if name == "labels" else 0) for name in items[0]}
    if "input_ids" in batch:
        batch["attention_mask"] = _stacked([np.ones_like(item["input_ids"]) for item in items], 0)
    return {name: torch.from_numpy(values) for name, values in batch.items()}


def labelled_loss(model: Any, batch: Batch) -> Tensor:
    """The loss of the labels, as the model itself defines it."""
    return model(**batch).loss


def freeze_embeddings(model: Any) -> None:
    """Leave token embeddings as they are: half of a small encoder's weights, and of the optimizer's time.

    Does nothing to a model without them; a head that is tied to them is frozen with them.
    """
    import torch

    for module in model.modules():
        if isinstance(module, torch.nn.Embedding):
            module.requires_grad_(False)


def finetune(
    model: Any,
    examples: Examples,
    schedule: Schedule,
    context: Context,
    loss: Loss = labelled_loss,
    after_step: AfterStep | None = None,
    groups: Iterable[Mapping[str, Any]] | None = None,
    span: tuple[float, float] = (0.0, 1.0),
) -> Trained:
    """Train ``model`` in place and leave it in evaluation mode; the order of examples and dropout follow the seed.

    ``groups`` are parameter groups as torch's optimizers take them, each with its own peak ``lr`` where it has one; without
    them, all parameters that require a gradient. ``span`` is the part of the pass's progress that training takes.
    Raises ConversionError where the loss stops being a number.
    """
    import torch

    torch.manual_seed(context.seed)
    order = np.random.default_rng(context.seed)
    steps = _steps(len(examples), schedule)
    chosen = list(groups) if groups else [{"params": [p for p in model.parameters() if p.requires_grad]}]
    optimizer = torch.optim.AdamW(chosen, lr=schedule.rate, weight_decay=schedule.weight_decay)
    trained = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    peaks = [group["lr"] for group in optimizer.param_groups]
    annealing = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, peaks, total_steps=steps, pct_start=schedule.warmup, anneal_strategy="linear", cycle_momentum=False
    )
    losses: list[float] = []
    model.train()
    for batch in _endless(examples, schedule.batch, order, steps):
        value = loss(model, batch)
        losses.append(value.item())
        if not math.isfinite(losses[-1]):
            raise ConversionError(f"training diverged at step {len(losses)} of {steps}: lower the learning rate")
        optimizer.zero_grad()
        value.backward()
        torch.nn.utils.clip_grad_norm_(trained, schedule.clip)
        optimizer.step()
        annealing.step()
        if after_step:
            after_step(len(losses), steps)
        done = span[0] + (span[1] - span[0]) * len(losses) / steps
        context.progress(done, f"step {len(losses)} of {steps}, loss {losses[-1]:.3f}")
    model.eval()
    return Trained(steps, float(np.mean(losses[-max(1, steps // 10) :])))


def _steps(examples: int, schedule: Schedule) -> int:
    if not examples:
        raise ConversionError("the train split has no examples")
    steps = max(1, round(schedule.epochs * math.ceil(examples / schedule.batch)))
    return min(steps, schedule.max_steps) if schedule.max_steps else steps


def _endless(examples: Examples, size: int, order: np.random.Generator, steps: int) -> Iterator[Batch]:
    """``steps`` batches, epoch after epoch."""
    left = steps
    while left:
        for batch in examples.batches(size, order):
            yield batch
            left -= 1
            if not left:
                return


def _length(item: Mapping[str, Array]) -> int:
    return len(item["input_ids"]) if "input_ids" in item else 0


def _stacked(arrays: Sequence[Array], padding: int) -> Array:
    """Arrays of one rank as one, the shorter ones filled up at the end of their first axis."""
    longest = max((array.shape[0] for array in arrays if array.ndim), default=0)
    if all(array.ndim == 0 or array.shape[0] == longest for array in arrays):
        return np.stack(arrays)
    return np.stack([np.pad(array, (0, longest - len(array)), constant_values=padding) for array in arrays])
