"""From the store to the result record: every planned cell becomes a row, whatever became of it."""

from __future__ import annotations

import math
import statistics
import traceback
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, TypeAlias

from harness import __version__, tasks
from harness.catalog import Catalog, places
from harness.collect import derived, fidelity, numbers, zstd
from harness.contracts import machine
from harness.contracts.cards import TOLERANCES, Form
from harness.contracts.files import hash_of
from harness.contracts.record import Evaluation, Measurement
from harness.contracts.values import dump
from harness.engines.contract import Engine
from harness.matrix.plan import Plan, PlannedCell
from harness.results import (
    Cell,
    CellArtifact,
    CellImage,
    Environment,
    Fidelity,
    FieldFacts,
    MetricFacts,
    Overhead,
    PassRecord,
    Phase,
    Quality,
    Results,
    RunGpu,
    RunMachine,
    SearchRecord,
    Status,
    TaskFacts,
)
from harness.runner import rounds, selftest
from harness.runner.stages import Failure
from harness.runner.store import Entry, Store

Interval: TypeAlias = tuple[float, float]


@dataclass(frozen=True)
class Changes:
    """The value in ``changes.json``, beside an evaluation: the interval of each metric's change, by its name."""

    intervals: Mapping[str, Interval | None]


@dataclass(frozen=True)
class Collector:
    """Reads what the steps of a plan left in the store."""

    plan: Plan
    catalog: Catalog
    engine: Engine
    engine_reason: str
    store: Store
    failures: Mapping[str, Failure]
    here: machine.Machine  # the one that collects
    searches: Mapping[str, SearchRecord] = field(default_factory=dict)  # by cell
    _machines: dict[str, machine.Machine] = field(default_factory=dict)  # those that cells were measured on

    def results(self, matrix_text: str) -> Results:
        """The record of the whole run."""
        matrix = self.plan.matrix
        cells = [self._row(planned) for planned in self.plan.cells]
        return Results(
            title=matrix.report.title,
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            language=matrix.report.language,
            baseline=matrix.report.baseline.model_dump(),
            machines={found.id: _machine(found) for found in (self.here, *self._machines.values())},
            environment=Environment(
                engine=self.engine.name,
                engine_version=self.engine.version,
                engine_reason=self.engine_reason,
                harness_version=__version__,
                source_revision=places.revision(),
            ),
            **_words({model.task for model in matrix.models}),
            overhead=self._overhead(),
            selftest=selftest.last(self.store, self.here.id, self.engine.name),
            seed=matrix.measure.seed,
            matrix=matrix_text,
            cells=cells,
        )

    def _overhead(self) -> Overhead | None:
        records = [self._measurement(key) for key in self.plan.overhead]
        found = [record for record in records if record]
        if not found:
            return None
        medians = [statistics.median(record.latency.nanoseconds) for record in found]
        # One sample of generation is a whole request: a prefill and one decode per generated token.
        per_call = statistics.median(medians) / found[0].calls_per_sample
        return Overhead(per_call_us=per_call / 1e3, rounds=len(found))

    @cached_property
    def _judge(self) -> rounds.Judge:
        return rounds.judge(self.plan, self.store)

    @cached_property
    def _paced(self) -> dict[tuple[Any, ...], bool]:
        """Of each group whether all its cells have enough rounds at the quiet pace."""
        found: dict[tuple[Any, ...], bool] = {}
        for planned in self.plan.cells:
            records = rounds.measured(planned, self.store)
            enough = not records or self._judge.enough(records, len(planned.rounds))
            found[_group(planned)] = found.get(_group(planned), True) and enough
        return found

    # --- rows --------------------------------------------------------------------------------------------------------

    def _row(self, planned: PlannedCell) -> Cell:
        """The cell's row; what goes wrong here costs this row alone, and is told in it."""
        cell = planned.cell
        base: dict[str, Any] = {
            "id": cell.id,
            "model": cell.model,
            "task": planned.task,
            "method": cell.method,
            "runtime": cell.runtime,
            "device": cell.device,
            "workload": dict(cell.workload),
            "search": self.searches.get(cell.id),
        }
        try:
            return self._cell(planned, base)
        except Exception as error:
            reason = f"its results could not be read: {type(error).__name__}: {' '.join(str(error).split())[:300]}"
            return Cell(**base, status=Status.CRASHED, reason=reason, log_tail=traceback.format_exc())

    def _cell(self, planned: PlannedCell, base: Mapping[str, Any]) -> Cell:
        if planned.status:
            return Cell(**base, status=Status(planned.status), reason=planned.reason)
        if refused := self._refused(planned):
            return Cell(**base, status=Status.UNSUPPORTED, reason=refused, artifact=self._artifact(planned))
        entries = [entry for key in (*planned.rounds, *planned.extra) if (entry := self.store.find(key))]
        measured = self._measured(planned, entries) if entries else {}
        if failure := self._failure(planned):
            # What was measured before something failed is shown, but the row is not `ok`.
            tail = failure.log_tail
            return Cell(**base, **measured, status=failure.status, reason=failure.reason, log_tail=tail)
        if any(self.store.find(key) is None for key in planned.leaves):
            why = "not picked in this run, and not measured before"
            return Cell(**base, **measured, status=Status.SKIPPED, reason=why)
        if diverged := self._diverged(planned, measured):
            return Cell(**base, **measured, status=Status.DIVERGED, reason=diverged)
        return Cell(**base, **measured, status=Status.OK)

    def _diverged(self, planned: PlannedCell, measured: Mapping[str, Any]) -> str | None:
        """Why the cell computes something else than the original, beyond what its method may cost."""
        ours, theirs = self._evaluation(planned.evaluation), self._evaluation(planned.reference)
        if not measured.get("fidelity") or ours is None or theirs is None or ours.fidelity is None:
            return None
        metric = tasks.card(planned.task).metrics[0]
        name = measured["fidelity"].tolerance
        return fidelity.problem(name, ours.fidelity, ours.metrics[0], theirs.metrics[0], metric)

    def _refused(self, planned: PlannedCell) -> str | None:
        """Why the runtime did not take the model, as it said when it was asked to load or to run it."""
        entries = [entry for key in planned.leaves if (entry := self.store.find(key))]
        return next((entry.record.unsupported for entry in entries if entry.record.unsupported), None)

    def _failure(self, planned: PlannedCell) -> Failure | None:
        for key in (planned.artifact, *planned.leaves):
            if key and key in self.failures:
                return self.failures[key]
        return None

    def _measured(self, planned: PlannedCell, entries: Sequence[Entry]) -> dict[str, Any]:
        pairs = [(entry, record) for entry in entries if (record := entry.record.measurement)]
        everything = [record for _, record in pairs]
        receipts = [entry.receipt for entry, _ in pairs]
        counts = self._judge.counted(everything, len(planned.rounds), self._paced[_group(planned)])
        records = [record for record, counted in zip(everything, counts, strict=True) if counted]
        first, receipt = records[0], receipts[0]
        self._machines.setdefault(first.machine.id, first.machine)
        memory = numbers.memory([record.memory for record in records])
        vram = [record.vram.peak_bytes for record in records]
        image = self.catalog.image_of(self.catalog.runtimes[planned.cell.runtime], planned.cell.device)
        caveats = [*self.engine.caveats]
        if noisy := [why for record in records if (why := self._judge.noise(record))]:
            caveats.append(f"{len(noisy)} of {len(records)} rounds noisy: {noisy[0]}")
        return {
            "machine": first.machine.id,
            "weights_bytes": first.weights_bytes,
            "latency_ms": numbers.latency(everything, counts, self._judge),
            "generation": numbers.generation(records, dict(planned.cell.workload)),
            "ram_bytes": memory.peak_rss_bytes,
            "memory": memory,
            "vram_bytes": None if None in vram else numbers.middle(vram),
            "vram_reason": first.vram.reason,
            **numbers.energy(planned.cell.device, everything, receipts),
            **self._quality(planned),
            **self._fidelity(planned),
            "arithmetic": first.arithmetic,
            "phases": self._conversion(planned) | numbers.phases(records),
            "artifact": self._artifact(planned),
            "image": CellImage(
                name=image.name,
                reference=receipt.reference or "",
                digest=receipt.digest,
                source_hash=receipt.environment_hash or "",
            ),
            "versions": dict(pairs[0][0].status.versions),
            "threads": self.plan.matrix.limits.cpus,
            "engine": receipt.engine,
            "caveats": caveats,
            "command": f"harness artifact '{planned.cell.id}' && {receipt.by_hand}",
            "measured_at": first.measured_at,
        }

    def _conversion(self, planned: PlannedCell) -> dict[str, Phase]:
        """What it took to make the artifact of the source model, with the steps that other cells share; none if none."""
        keys = self.plan.upstream([planned.artifact] if planned.artifact else [])
        steps = [key for key in keys if self.plan.steps[key].kind in ("compress", "export")]
        told = [entry.status for key in steps if (entry := self.store.find(key))]
        if not told:
            return {}
        peaks = [status.peak_rss_bytes for status in told if status.peak_rss_bytes is not None]
        seconds = math.fsum(
            status.seconds for status in told
        )  # the same in whatever order, because the steps are a set
        return {"convert": Phase(seconds=seconds, peak_rss_bytes=max(peaks, default=None))}

    def _quality(self, planned: PlannedCell) -> dict[str, Any]:
        """The cell's fields on quality: the main metric, and the others."""
        record, reference = self._evaluation(planned.evaluation), self._evaluation(planned.reference)
        if record is None:
            return {"quality_reason": "not evaluated"}
        if planned.evaluation == planned.reference or (reference and not _pairs(record, reference)):
            reference = None
        changes = self._changes(planned) if reference else {}
        main, *more = (
            _score(planned.task, record, reference, number, changes) for number in range(len(record.metrics))
        )
        return {"quality": main, "more_quality": more}

    def _changes(self, planned: PlannedCell) -> Mapping[str, Interval | None]:
        """The 95 % interval of each metric's change against the reference: a bootstrap that is computed once.

        The code that computes it is part of the key of an evaluation.
        """
        ours, theirs = (self.store.find(key) if key else None for key in (planned.evaluation, planned.reference))
        assert ours
        assert theirs
        source = " ".join(hash_of(entry.files) for entry in (ours, theirs))

        def compute() -> Changes:
            found, other = ours.record.evaluation, theirs.record.evaluation
            assert found
            assert other
            names = [metric.name for metric in found.metrics]
            return Changes({n: tasks.change_interval(planned.task, n, found.tallies, other.tallies) for n in names})

        return derived.once(ours, "changes.json", Changes, source, compute).intervals

    def _fidelity(self, planned: PlannedCell) -> dict[str, Any]:
        """The cell's fields on fidelity."""
        if planned.reference is None:
            return {"fidelity_reason": "there is no FP32 PyTorch model to compare with"}
        if planned.evaluation == planned.reference:
            return {"fidelity_reason": "all others are compared with this one"}
        record, artifact = self._evaluation(planned.evaluation), self._artifact(planned)
        if record is None or artifact is None:
            return {"fidelity_reason": "not evaluated"}
        if record.fidelity is None:
            return {"fidelity_reason": "the original could not be evaluated on FP32 PyTorch"}
        stored = fidelity.cost_of(Form(artifact.format, artifact.precision))
        bound = fidelity.tolerance([stored, *(each.costs or TOLERANCES[-1] for each in artifact.passes)])
        return {"fidelity": Fidelity(**dump(record.fidelity), tolerance=bound)}

    def _measurement(self, key: str) -> Measurement | None:
        entry = self.store.find(key)
        return entry.record.measurement if entry else None

    def _evaluation(self, key: str | None) -> Evaluation | None:
        """What an evaluation found; None where it did not run, or the runtime did not take the model."""
        entry = self.store.find(key) if key else None
        return entry.record.evaluation if entry else None

    def _artifact(self, planned: PlannedCell) -> CellArtifact | None:
        entry = self.store.find(planned.artifact) if planned.artifact else None
        if entry is None:
            return None
        manifest, found = entry.manifest, hash_of(entry.files)
        return CellArtifact(
            hash=found,
            format=manifest.format,
            precision=manifest.precision,
            passes=[PassRecord(**dump(applied)) for applied in manifest.passes],
            provenance=manifest.provenance,
            zstd_bytes=zstd.zstd_bytes(entry, found),
        )


def _score(
    task: str, ours: Evaluation, theirs: Evaluation | None, number: int, changes: Mapping[str, Interval | None]
) -> Quality:
    """One metric of an evaluation, and its change against the reference's with its interval."""
    found, metric = ours.metrics[number], tasks.card(task).metric(ours.metrics[number].name)
    score = Quality(
        metric=found.name,
        value=found.value,
        interval=found.interval,
        examples=ours.examples,
        higher_is_better=metric.higher_is_better,
    )
    if theirs is None:
        return score
    change = found.value - theirs.metrics[number].value
    return score.model_copy(update={"change": change, "change_interval": changes[found.name]})


def _pairs(ours: Evaluation, theirs: Evaluation) -> bool:
    """Whether both scored the same examples by the same metrics; a container may say anything."""
    same_names = [metric.name for metric in ours.metrics] == [metric.name for metric in theirs.metrics]
    return same_names and ours.examples == theirs.examples and len(ours.tallies[0]) == len(theirs.tallies[0])


def _group(planned: PlannedCell) -> tuple[Any, ...]:
    """What cells that are compared with each other have in common."""
    return planned.cell.model, planned.cell.device, planned.cell.workload


def _machine(found: machine.Machine) -> RunMachine:
    facts = dump(found)
    gpu = [RunGpu(**{name: each[name] for name in RunGpu.model_fields}) for each in facts.pop("gpus")]
    return RunMachine(**facts, gpu=gpu)


def _words(names: Iterable[str]) -> dict[str, Any]:
    """What these tasks call themselves, their metrics and the fields of their workloads."""
    cards = [tasks.card(name) for name in sorted(names)]
    return {
        "tasks": {card.name: TaskFacts(words=dict(card.words)) for card in cards},
        "metrics": {
            metric.name: MetricFacts(
                higher_is_better=metric.higher_is_better, unit=metric.unit, words=dict(metric.words)
            )
            for card in cards
            for metric in card.metrics
        },
        "workload_fields": {
            name: FieldFacts(letter=field.letter, words=dict(field.words))
            for card in cards
            for name, field in card.fields.items()
        },
    }
