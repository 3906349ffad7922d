"""``auto``: choose the passes of a cell by measuring combinations of them, within budgets.

What is tried next is up to Optuna: every combination where they all fit into the trials, else the multi-objective
tree-structured Parzen estimator (Ozaki et al., 2022) with the budgets as constraints. The search is seeded, and every trial
is an ordinary cell whose steps are cached: a run that was stopped goes through the same trials again and measures only what
is missing.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from harness.matrix.spec import PassUse, Search, SearchedPass
from harness.results import Cell, SearchRecord, SearchTrial, Status

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.trial import FrozenTrial

#: Latencies of single rounds that are nearer than this do not tell two trials apart: the smaller weights decide.
TIE = 0.03

NONE = "none"

Passes = tuple[PassUse, ...]
MeasurePasses = Callable[[Passes], Cell]


@dataclass(frozen=True)
class Choice:
    """What a search came to: the passes of a cell, or why there are none."""

    passes: Passes | None
    record: SearchRecord


class _NotMeasured(Exception):
    """A combination that could not be made or measured, as Optuna is told."""


@dataclass(frozen=True)
class _Tried:
    """A combination and its cell."""

    passes: Passes
    cell: Cell
    drop: float | None  # relative loss of quality against the original
    excess: Mapping[str, float]  # by budget, relative: above 0 is outside

    @property
    def within(self) -> bool:
        return bool(self.excess) and max(self.excess.values()) <= 0

    @property
    def latency(self) -> float:
        assert self.cell.latency_ms
        return self.cell.latency_ms.p50

    @property
    def weights(self) -> int:
        return self.cell.weights_bytes or 0


def search(space: Search, seed: int, measure: MeasurePasses) -> Choice:
    """Try up to ``space.trials`` combinations, the original first, and choose the fastest that keeps all budgets.

    ``measure`` returns the cell of a combination; one that cannot be made or measured comes back with its status and is no
    candidate. Nothing is chosen where no trial keeps the budgets.
    """
    slots = [[option for each in step for option in _options(each)] for step in space.choices]
    tried: dict[str, _Tried] = {}

    def objective(trial: Trial) -> tuple[float, float, float]:
        passes = tuple(filter(None, (_suggest(trial, index, slot) for index, slot in enumerate(slots))))
        name = describe(passes)
        if name not in tried:
            original = next(iter(tried.values())).cell if tried else None
            tried[name] = _tried(passes, measure(passes), original, space)
        outcome = tried[name]
        trial.set_user_attr("passes", name)
        if outcome.drop is None:
            raise _NotMeasured
        for budget, excess in outcome.excess.items():
            trial.set_constraint(budget, excess)
        return outcome.latency, float(outcome.weights), outcome.drop

    def stop_when_full(study: Study, trial: FrozenTrial) -> None:
        if len(tried) == space.trials:
            study.stop()

    study = _study(math.prod(1 + len(slot) for slot in slots), space, seed)
    study.enqueue_trial({_slot(index): NONE for index in range(len(slots))})
    # An optimizer may ask for a combination again, which costs nothing; hence the wider bound.
    study.optimize(objective, n_trials=4 * space.trials, catch=(_NotMeasured,), callbacks=[stop_when_full])
    return _choose(space, list(tried.values()), _front(study, tried))


def describe(passes: Sequence[PassUse]) -> str:
    """``magnitude sparsity=0.5 + int8-dynamic``; ``original`` for none."""
    words = (" ".join([use.name, *(f"{k}={v}" for k, v in use.parameters.items())]) for use in passes)
    return " + ".join(words) or "original"


def _options(each: SearchedPass) -> list[PassUse]:
    values = [value if isinstance(value, list) else [value] for value in each.parameters.values()]
    return [
        PassUse(name=each.name, parameters=dict(zip(each.parameters, drawn, strict=True))) for drawn in product(*values)
    ]


def _slot(index: int) -> str:
    return f"step {index + 1}"


def _suggest(trial: Trial, index: int, slot: Sequence[PassUse]) -> PassUse | None:
    by_name = {describe([use]): use for use in slot}
    return by_name.get(trial.suggest_categorical(_slot(index), [NONE, *by_name]))


def _study(combinations: int, space: Search, seed: int) -> Study:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.CRITICAL)  # what could not be measured is told by the run itself
    if combinations <= space.trials:
        with warnings.catch_warnings(category=optuna.exceptions.ExperimentalWarning, action="ignore"):
            sampler: optuna.samplers.BaseSampler = optuna.samplers.BruteForceSampler(seed=seed)
    else:
        sampler = optuna.samplers.TPESampler(seed=seed)
    return optuna.create_study(directions=["minimize"] * 3, sampler=sampler)


def _tried(passes: Passes, cell: Cell, original: Cell | None, space: Search) -> _Tried:
    if cell.status is not Status.OK or not cell.latency_ms or not cell.quality:
        return _Tried(passes, cell, None, {})
    reference = (original or cell).quality
    if reference is None or not reference.value:
        return _Tried(passes, cell, None, {})
    loss = (reference.value - cell.quality.value) * (1 if cell.quality.higher_is_better else -1)
    drop = loss / abs(reference.value)
    excess = {"quality_drop": drop - space.quality_drop}
    if space.latency_ms is not None:
        excess["latency_ms"] = cell.latency_ms.p50 / space.latency_ms - 1
    if space.weights_mb is not None:
        excess["weights_mb"] = (cell.weights_bytes or 0) / 1e6 / space.weights_mb - 1
    return _Tried(passes, cell, drop, excess)


def _front(study: Study, tried: Mapping[str, _Tried]) -> list[_Tried]:
    """The trials within the budgets that no other trial beats in latency, size and quality at once."""
    best: list[FrozenTrial] = study.best_trials
    names = {trial.user_attrs["passes"] for trial in best}
    return [each for name, each in tried.items() if each.within and name in names]


def _choose(space: Search, tried: list[_Tried], front: list[_Tried]) -> Choice:
    chosen = None
    if front:
        fastest = min(each.latency for each in front)
        chosen = min((e for e in front if e.latency <= fastest * (1 + TIE)), key=lambda e: (e.weights, e.latency))
    trials = [
        SearchTrial(
            passes=describe(each.passes),
            status=each.cell.status,
            latency_ms=each.latency if each.cell.latency_ms else None,
            weights_bytes=each.cell.weights_bytes,
            quality=each.cell.quality.value if each.cell.quality else None,
            quality_drop=each.drop,
            within=each.within,
            front=each in front,
            chosen=each is chosen,
        )
        for each in tried
    ]
    budgets = space.model_dump(include={"quality_drop", "latency_ms", "weights_mb"}, exclude_none=True)
    reason = _reason(tried, front, chosen, budgets)
    return Choice(chosen.passes if chosen else None, SearchRecord(budgets=budgets, reason=reason, trials=trials))


def _reason(tried: list[_Tried], front: list[_Tried], chosen: _Tried | None, budgets: dict[str, float]) -> str:
    within = ", ".join(f"{name} <= {value:g}" for name, value in budgets.items())
    original = tried[0]
    if chosen is None:
        measured = [each for each in tried if each.drop is not None]
        if not measured:
            return f"none of {len(tried)} combinations could be measured; the original: {original.cell.reason}"
        nearest = min(measured, key=lambda each: max(each.excess.values()))
        return f"none of {len(tried)} combinations keeps {within}; the nearest is {describe(nearest.passes)}"
    told = f"{describe(chosen.passes)}: the fastest of {len(front)} on the front, of {len(tried)} tried within {within}"
    if chosen is original or original.drop is None:
        return told
    return f"{told}; {original.latency / chosen.latency:.2f} times the original's speed, quality {-(chosen.drop or 0):+.2%}"
