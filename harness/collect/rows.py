"""From the store to the result record: every planned cell becomes a row, whatever became of it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from harness import __version__, stats, tasks
from harness.catalog import Catalog, places
from harness.collect import fidelity, zstd
from harness.contracts import machine
from harness.engines import Engine
from harness.matrix.plan import Plan, PlannedCell
from harness.results import (
    Artifact,
    Cell,
    Environment,
    Fidelity,
    Generation,
    Image,
    Latency,
    Memory,
    Noise,
    Overhead,
    PassRecord,
    Phase,
    Quality,
    Results,
    Round,
    SearchRecord,
    Status,
)
from harness.runner import rounds, selftest
from harness.runner.stages import Failure
from harness.runner.store import Entry, Store, hash_of


@dataclass(frozen=True)
class Collector:
    """Reads what the steps of a plan left in the store."""

    plan: Plan
    catalog: Catalog
    engine: Engine
    engine_reason: str
    store: Store
    failures: Mapping[str, Failure]
    searches: Mapping[str, SearchRecord] = field(default_factory=dict)  # by cell

    def results(self, matrix_text: str) -> Results:
        """The record of the whole run."""
        matrix, here = self.plan.matrix, machine.describe()
        return Results(
            title=matrix.report.title,
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            language=matrix.report.language,
            baseline=matrix.report.baseline.model_dump(),
            environment=Environment(
                **here,
                engine=self.engine.name,
                engine_version=self.engine.version,
                engine_reason=self.engine_reason,
                harness_version=__version__,
                source_revision=places.revision(),
            ),
            overhead=self._overhead(),
            selftest=selftest.last(self.store, here["host"], self.engine.name),
            seed=matrix.measure.seed,
            matrix=matrix_text,
            cells=[self._cell(planned) for planned in self.plan.cells],
        )

    def _overhead(self) -> Overhead | None:
        records = [entry.record() for key in self.plan.overhead if (entry := self.store.find(key))]
        if not records:
            return None
        medians = [statistics.median(record["latency"]["nanoseconds"]) for record in records]
        # One sample of text generation is a whole request: a prefill and one decode per generated token.
        per_call = statistics.median(medians) / records[0]["calls_per_sample"]
        return Overhead(per_call_us=per_call / 1e3, rounds=len(records))

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

    def _cell(self, planned: PlannedCell) -> Cell:
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
        if not measured.get("fidelity") or not (reference := self._record(planned.reference)):
            return None
        score = self._record(planned.evaluation)
        assert score is not None
        return fidelity.problem(measured["fidelity"].tolerance, score["fidelity"], score, reference)

    def _refused(self, planned: PlannedCell) -> str | None:
        """Why the runtime did not take the model, as it said when it was asked to load or to run it."""
        records = [entry.record() for key in planned.leaves if (entry := self.store.find(key))]
        return next((str(record["unsupported"]) for record in records if "unsupported" in record), None)

    def _failure(self, planned: PlannedCell) -> Failure | None:
        for key in (planned.artifact, *planned.leaves):
            if key and key in self.failures:
                return self.failures[key]
        return None

    def _measured(self, planned: PlannedCell, entries: Sequence[Entry]) -> dict[str, Any]:
        everything = [entry.record() for entry in entries]
        counts = self._judge.counted(everything, len(planned.rounds), self._paced[_group(planned)])
        records = [record for record, counted in zip(everything, counts, strict=True) if counted]
        first, receipt = records[0], entries[0].receipt
        memory = _memory([record["memory"] for record in records])
        vram = [record["vram"]["peak_bytes"] for record in records]
        image = self.catalog.image_of(self.catalog.runtimes[planned.cell.runtime], planned.cell.device)
        caveats = [*self.engine.caveats]
        if noisy := [why for record in records if (why := self._judge.noise(record))]:
            caveats.append(f"{len(noisy)} of {len(records)} rounds noisy: {noisy[0]}")
        return {
            "weights_bytes": first["weights_bytes"],
            "latency_ms": _latency(everything, counts, self._judge),
            "generation": _generation(records, dict(planned.cell.workload)),
            "ram_bytes": memory.peak_rss_bytes,
            "memory": memory,
            "vram_bytes": None if None in vram else round(statistics.median(vram)),
            "vram_reason": first["vram"]["reason"],
            **_energy(planned.cell.device, everything, entries),
            "quality": self._quality(planned),
            **self._fidelity(planned),
            "arithmetic": first["arithmetic"],
            "phases": self._conversion(planned) | _phases([record["phases"] for record in records]),
            "artifact": self._artifact(planned),
            "image": Image(
                name=image.name,
                reference=receipt["reference"],
                digest=receipt["digest"],
                source_hash=receipt["source_hash"],
            ),
            "versions": entries[0].status["versions"],
            "threads": self.plan.matrix.limits.cpus,
            "engine": receipt["engine"],
            "caveats": caveats,
            "command": f"harness artifact '{planned.cell.id}' && {receipt['by_hand']}",
            "measured_at": first["measured_at"],
        }

    def _conversion(self, planned: PlannedCell) -> dict[str, Phase]:
        """What it took to make the artifact of the source model, with the steps that other cells share; none if none."""
        keys = self.plan.upstream([planned.artifact] if planned.artifact else [])
        steps = [key for key in keys if self.plan.steps[key].kind in ("compress", "export")]
        told = [entry.status for key in steps if (entry := self.store.find(key))]
        if not told:
            return {}
        peaks = [status["peak_rss_bytes"] for status in told if "peak_rss_bytes" in status]
        seconds = math.fsum(status["seconds"] for status in told)  # the same in whatever order, for the steps are a set
        return {"convert": Phase(seconds=seconds, peak_rss_bytes=max(peaks, default=None))}

    def _quality(self, planned: PlannedCell) -> Quality | None:
        record, reference = self._record(planned.evaluation), self._record(planned.reference)
        if record is None:
            return None
        score = {name: record[name] for name in ("metric", "value", "interval", "examples", "higher_is_better")}
        if reference is None or planned.evaluation == planned.reference:
            return Quality(**score)
        interval = tasks.change_interval(planned.task, record["tallies"], reference["tallies"])
        return Quality(**score, change=record["value"] - reference["value"], change_interval=interval)

    def _fidelity(self, planned: PlannedCell) -> dict[str, Any]:
        """The cell's fields on fidelity."""
        if planned.reference is None:
            return {"fidelity_reason": "there is no FP32 PyTorch model to compare with"}
        if planned.evaluation == planned.reference:
            return {"fidelity_reason": "all others are compared with this one"}
        record, artifact = self._record(planned.evaluation), self._artifact(planned)
        if record is None or artifact is None:
            return {"fidelity_reason": "not evaluated"}
        if record["fidelity"] is None:
            return {"fidelity_reason": "the original could not be evaluated on FP32 PyTorch"}
        return {"fidelity": Fidelity(**record["fidelity"], tolerance=fidelity.tolerance(artifact.passes))}

    def _record(self, key: str | None) -> dict[str, Any] | None:
        """What an evaluation found; None where it did not run, or the runtime did not take the model."""
        entry = self.store.find(key) if key else None
        record = entry.record() if entry else {"unsupported": None}
        return None if "unsupported" in record else record

    def _artifact(self, planned: PlannedCell) -> Artifact | None:
        entry = self.store.find(planned.artifact) if planned.artifact else None
        if entry is None:
            return None
        manifest = entry.manifest
        return Artifact(
            hash=hash_of(entry.receipt["files"]),
            format=manifest["format"],
            precision=manifest["precision"],
            passes=[PassRecord(**record) for record in manifest["passes"]],
            provenance=manifest["provenance"],
            zstd_bytes=zstd.zstd_bytes(entry),
        )


def _group(planned: PlannedCell) -> tuple[Any, ...]:
    """What cells that are compared with each other have in common."""
    return planned.cell.model, planned.cell.device, planned.cell.workload


def _latency(records: Sequence[Mapping[str, Any]], counts: Sequence[bool], judge: rounds.Judge) -> Latency:
    found = []
    for record, counted in zip(records, counts, strict=True):
        samples = [ns / 1e6 for ns in record["latency"]["nanoseconds"]]
        found.append(
            Round(
                samples_ms=samples,
                every=record["latency"]["every"],
                median_ms=statistics.median(samples),
                ended_by=record["latency"]["ended_by"],
                warmup_calls=record["latency"]["warmup_calls"],
                noisy=judge.noise(record),
                pace_us=[pace / 1e3 for pace in record["latency"]["pace_ns"]],
                noise=Noise(**record["noise"]),
                counts=counted,
            )
        )
    everything = [sample for round_ in found if round_.counts for sample in round_.samples_ms]
    medians = [round_.median_ms for round_ in found if round_.counts]
    return Latency(
        p50=stats.geometric_mean(medians),
        p90=stats.percentile(everything, 90),
        p99=stats.percentile(everything, 99),
        interval=stats.round_interval(medians),
        rounds=found,
    )


def _generation(records: Sequence[Mapping[str, Any]], workload: Mapping[str, int]) -> Generation | None:
    if not records[0]["generation"]:
        return None
    prefill = [ns / 1e9 for record in records for ns in record["generation"]["prefill_ns"]]
    decode = [ns / 1e9 for record in records for ns in record["generation"]["decode_ns"]]
    return Generation(
        first_token_ms=statistics.median(prefill) * 1e3,
        prefill_tokens_per_s=workload["batch"] * workload["prompt_tokens"] / statistics.median(prefill),
        decode_tokens_per_s=workload["batch"] * workload["generated_tokens"] / statistics.median(decode),
    )


def _memory(records: Sequence[Mapping[str, int | None]]) -> Memory:
    return Memory(**{name: _middle(record[name] for record in records) for name in Memory.model_fields})


def _energy(device: str, records: Sequence[Mapping[str, Any]], entries: Sequence[Entry]) -> dict[str, Any]:
    """Joules of one call, the median over rounds: warm-up and samples are the same work."""
    told = [(entry.receipt.get("package_energy") or {}) for entry in entries]
    if device == "cpu":
        joules, reason = [each.get("joules") for each in told], told[0].get("reason")
    else:
        joules, reason = [record["gpu_energy_j"] for record in records], "the GPU does not tell its energy"
    per_call = [j / record["steady_calls"] for j, record in zip(joules, records, strict=True) if j is not None]
    if not per_call:
        return {"energy_reason": reason or "not measured"}
    return {"energy_j": statistics.median(per_call)}


def _middle(values: Iterable[int | None]) -> int | None:
    """The median of what was measured, or None where nothing was."""
    known = [value for value in values if value is not None]
    return round(statistics.median(known)) if known else None


def _phases(records: Sequence[Mapping[str, Mapping[str, Any]]]) -> dict[str, Phase]:
    return {
        name: Phase(
            seconds=statistics.median(record[name]["seconds"] for record in records),
            peak_rss_bytes=_middle(record[name]["peak_rss_bytes"] for record in records),
        )
        for name in records[0]
    }
