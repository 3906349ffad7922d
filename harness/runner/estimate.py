"""How long steps will take and what they will need on disk: from this store's own history, else from what images say."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median

from harness.matrix.plan import Step
from harness.runner.store import Store

#: Seconds and megabytes of a step of which nothing is known yet, by kind; measured on two cores with the default matrix.
_DEFAULTS = {
    "fetch": (20, 100),
    "normalize": (20, 300),
    "prepare": (10, 1),
    "train": (120, 90),
    "compress": (15, 150),
    "export": (40, 300),
    "measure": (8, 0),
    "evaluate": (25, 0),
}


@dataclass(frozen=True)
class Durations:
    """The median duration of finished steps by kind and image."""

    seconds: dict[tuple[str, str | None], float] = field(default_factory=dict)

    @classmethod
    def of(cls, store: Store) -> Durations:
        """Read the receipts of a store."""
        found: dict[tuple[str, str | None], list[float]] = defaultdict(list)
        for receipt in store.receipts():
            found[receipt.kind, receipt.image].append(receipt.seconds)
        return cls({kind: median(seconds) for kind, seconds in found.items()})

    def estimate(self, step: Step) -> tuple[float, bool]:
        """Seconds, and whether they come from history."""
        seen = self.seconds.get((step.kind, step.image))
        return (seen, True) if seen is not None else (float(_DEFAULTS[step.kind][0]), False)

    def total(self, steps: Iterable[Step]) -> float:
        """Seconds of all steps."""
        return sum(self.estimate(step)[0] for step in steps)


def disk_mb(steps: Iterable[Step]) -> int:
    """Megabytes that these steps will add to the store."""
    return sum(_DEFAULTS[step.kind][1] for step in steps)
