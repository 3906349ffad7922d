"""Fields that CSV and JSON have besides the values of the columns: name -> what a row has, None where nothing was measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from harness.report.table.model import Row

Fields = Mapping[str, Callable[[Row], Any]]


def _of(path: str) -> Callable[[Row], Any]:
    """What stands at a path of attributes below a row; None where any of them is None."""

    def value(row: Row) -> Any:
        found: Any = row
        for name in path.split("."):
            found = None if found is None else getattr(found, name)
        return found

    return value


def _end(path: str, index: int) -> Callable[[Row], Any]:
    """One end of an interval."""
    interval = _of(path)
    return lambda row: found[index] if (found := interval(row)) else None


def _more_quality(row: Row) -> str | None:
    return ";".join(f"{each.metric}={each.value:.9g}" for each in row.cell.more_quality) or None


OUTCOME: Fields = {"status": lambda row: row.cell.status.value, "reason": _of("cell.reason")}
SPEED: Fields = {
    "latency_p90_ms": _of("cell.latency_ms.p90"),
    "latency_p99_ms": _of("cell.latency_ms.p99"),
    "rounds": lambda row: row.cell.latency_ms and len(row.cell.latency_ms.rounds),
    "samples": lambda row: row.cell.latency_ms and sum(len(each.samples_ms) for each in row.cell.latency_ms.rounds),
    "speedup": _of("speed.speedup"),
    "speedup_low": _end("speed.interval", 0),
    "speedup_high": _end("speed.interval", 1),
    "speedup_p_holm": _of("p"),
    "verdict": _of("verdict.value"),
    "first_token_ms": _of("cell.generation.first_token_ms"),
    "prefill_tokens_per_s": _of("cell.generation.prefill_tokens_per_s"),
    "decode_tokens_per_s": _of("cell.generation.decode_tokens_per_s"),
}
MEMORY: Fields = {
    f"ram_{part}": _of(f"cell.memory.{part}")
    for part in ("floor_bytes", "anonymous_bytes", "file_bytes", "container_peak_bytes")
}
QUALITY: Fields = {
    "metric": _of("cell.quality.metric"),
    "quality_examples": _of("cell.quality.examples"),
    "quality_difference": _of("quality.value"),
    "quality_difference_low": _end("quality.interval", 0),
    "quality_difference_high": _end("quality.interval", 1),
    "more_quality": _more_quality,
}
ORIGIN: Fields = {
    "arithmetic": _of("cell.arithmetic"),
    "artifact_format": _of("cell.artifact.format"),
    "artifact_precision": _of("cell.artifact.precision"),
    "artifact_sha256": _of("cell.artifact.hash"),
    "image_reference": _of("cell.image.reference"),
    "image_digest": _of("cell.image.digest"),
    "engine": _of("cell.engine"),
    "threads": _of("cell.threads"),
    "caveats": lambda row: "; ".join(row.cell.caveats) or None,
    "measured_at": _of("cell.measured_at"),
    "command": _of("cell.command"),
}
