"""The plan as a value: what has to run, in which image, on whose output, under which key."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.catalog.closure import Closure
from harness.contracts.step import MachineName, StepDescription
from harness.matrix.expand import MatrixCell
from harness.matrix.spec import Matrix

#: Inputs that a step can do without, should they not come to be.
OPTIONAL = frozenset({"reference"})


@dataclass(frozen=True)
class Step:
    """One container run (or one fetch, on the host)."""

    key: str
    kind: str  # fetch, normalize, prepare, train, compress, export, measure, evaluate
    title: str
    image: str | None  # None: runs in the orchestrator
    spec: Mapping[str, Any]
    inputs: Mapping[str, str]  # input name -> key of the step that makes it
    cpus: int
    memory_bytes: int
    timeout_s: float
    device: str = "cpu"
    seed: int = 0
    code: Closure | None = None  # the files that it runs with; None: runs in the orchestrator
    machine: MachineName | None = None  # the machine that a measurement is for; None: any

    @property
    def measures(self) -> bool:
        """Whether nothing else may work on the machine meanwhile."""
        return self.kind == "measure"


@dataclass(frozen=True)
class PlannedCell:
    """A cell and its steps, or why it has none."""

    cell: MatrixCell
    task: str
    artifact: str | None = None
    rounds: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()  # rounds that are measured only where the others were noisy or differ much
    evaluation: str | None = None
    reference: str | None = None  # the evaluation that kept the outputs which this cell's are compared with
    status: str | None = None  # ``unsupported`` or ``skipped``
    reason: str | None = None

    @property
    def leaves(self) -> tuple[str, ...]:
        """Keys of the steps that this row is read from."""
        return (*self.rounds, *([self.evaluation] if self.evaluation else []))


@dataclass(frozen=True)
class Plan:
    """All steps, each after its inputs, and all cells in the order of the file."""

    matrix: Matrix
    steps: Mapping[str, Step]
    cells: Sequence[PlannedCell]
    picked: frozenset[str]  # ids of the cells to run; the report shows the others as far as they were measured before
    overhead: tuple[str, ...] = ()

    @property
    def wanted(self) -> list[PlannedCell]:
        """The picked cells."""
        return [planned for planned in self.cells if planned.cell.id in self.picked]

    def upstream(self, keys: Iterable[str]) -> set[str]:
        """The keys and all that they are made from."""
        found: set[str] = set()
        pending = list(keys)
        while pending:
            key = pending.pop()
            if key not in found:
                found.add(key)
                pending.extend(self.steps[key].inputs.values())
        return found

    def images(self, keys: Iterable[str]) -> list[str]:
        """Images that these steps need, in the order in which they are needed: toolchains run first."""
        names = dict.fromkeys(image for key in keys if (image := self.steps[key].image))
        return sorted(names, key=lambda name: not name.startswith("toolchains/"))


def describe(step: Step) -> StepDescription:
    """The content of ``step.json``."""
    # Several evaluations run side by side, and their time is not measured.
    threads = 1 if step.kind == "evaluate" else step.cpus
    return StepDescription(step.kind, dict(step.spec), step.seed, threads, step.machine)
