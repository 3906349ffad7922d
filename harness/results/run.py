"""The result record: what one run of a matrix came to, as published in ``reports/results.json``.

A run may hold the rows of several machines. What tasks call their metrics and the fields of their workloads stands here too, so
that whoever draws the results need not know any task.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from harness.results.cell import Cell, Count, Number, Record, Round

SCHEMA_VERSION = "2.0"


class RunGpu(Record):
    """A graphics card."""

    name: str
    uuid: str | None = None
    memory_bytes: Count | None = None
    driver: str | None = None


class RunMachine(Record):
    """Where cells were measured. Only cells of one machine are compared in speed and memory."""

    id: str
    name: str = Field(description="for people")
    cpu: str
    cpu_count: Count = Field(description="hardware threads")
    cores: Count | None = Field(None, description="physical cores; null where not known")
    cpu_flags: list[str] = Field(description="the instruction sets that matter here")
    memory_bytes: Count
    gpu: list[RunGpu] = Field(default_factory=list)
    system: str
    kernel: str
    governor: str | None = None


class MetricFacts(Record):
    """What a task says of one of its metrics."""

    higher_is_better: bool
    unit: str = ""
    words: dict[str, str] = Field(default_factory=dict, description="what it is called, by language")


class FieldFacts(Record):
    """What a task says of one field of its workload."""

    letter: str = Field(description="stands for the field in a cell's id")
    words: dict[str, str] = Field(
        default_factory=dict,
        description="by language: what it is called, or a phrase in which `{value}` stands for its value",
    )


class TaskFacts(Record):
    """What a task says of itself."""

    words: dict[str, str] = Field(default_factory=dict, description="what it is called, by language")


class Environment(Record):
    """The software of the run that collected the results."""

    engine: str
    engine_version: str | None = None
    engine_reason: str = Field(description="why this engine was taken")
    harness_version: str
    source_revision: str | None = None


class Overhead(Record):
    """What the harness itself costs, measured with the `null` runtime on the collecting machine."""

    per_call_us: Number
    rounds: Count


class Check(Record):
    """One line of the self-test: what was known, what was found."""

    name: str
    wanted: str
    found: str
    passed: bool


class SelfTest(Record):
    """What `harness selftest` found on the collecting machine."""

    created_at: str
    host: str
    engine: str
    checks: list[Check]


class Results(Record):
    """A whole run."""

    schema_version: str = SCHEMA_VERSION
    title: str
    created_at: str
    language: Literal["en", "ru"] = "en"
    baseline: dict[str, str] = Field(description="the row that ratios are taken against: `method` and `runtime`")
    machines: dict[str, RunMachine] = Field(
        description="by id: those that cells were measured on, and the collecting one"
    )
    environment: Environment
    tasks: dict[str, TaskFacts] = Field(default_factory=dict, description="by a task's name")
    metrics: dict[str, MetricFacts] = Field(default_factory=dict, description="by a metric's name")
    workload_fields: dict[str, FieldFacts] = Field(default_factory=dict, description="by a field's name")
    overhead: Overhead | None = None
    selftest: SelfTest | None = Field(None, description="the last one of this machine and engine")
    seed: Count = Field(description="of the shuffled order of rounds")
    matrix: str = Field(description="the matrix file, as it was")
    cells: list[Cell]

    @model_validator(mode="after")
    def _machines_are_known(self) -> Results:
        for cell in self.cells:
            if cell.machine is not None and cell.machine not in self.machines:
                raise ValueError(f"cell {cell.id}: its machine {cell.machine!r} is not among machines")
        return self

    @property
    def rounds(self) -> list[Round]:
        """Of all cells."""
        return [each for cell in self.cells if cell.latency_ms for each in cell.latency_ms.rounds]

    @property
    def noisy_rounds(self) -> list[Round]:
        """Those of ``rounds`` that something disturbed, left out or not."""
        return [each for each in self.rounds if each.noisy]
