"""The run as data files: JSON with everything, CSV with one flat line a cell."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from typing import Any

from harness.report.table.model import Row, Table, zstd_bytes
from harness.results import Results

#: A list of nothing but numbers, over several lines. Inside JSON strings a line break is always escaped, so none is touched.
_NUMBERS = re.compile(r"\[\n[\d\s.,eE+-]+\]")


def as_json(results: Results) -> str:
    """The whole record, lists of numbers on one line each; ``harness.results.json_schema()`` describes it."""
    return _NUMBERS.sub(lambda found: "".join(found[0].split()), results.model_dump_json(indent=1)) + "\n"


def as_csv(table: Table, columns: Sequence[str] | None = None) -> str:
    """One line a cell with all its fields, or only ``columns``; what was not measured is empty. RFC 4180."""
    lines = [{column: _inert(value) for column, value in fields(row).items()} for row in table.rows]
    names = columns or (list(lines[0]) if lines else ["id"])
    out = io.StringIO()
    writer = csv.DictWriter(out, names, extrasaction="ignore", lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(lines)
    return out.getvalue()


def fields(row: Row) -> dict[str, Any]:
    """A cell's values on one level, units in the names of columns; what was not measured is None."""
    return dict(pair for part in (_identity, _speed, _memory, _quality, _origin) for pair in part(row))


def _inert(value: Any) -> Any:
    """Text that a spreadsheet would run as a formula gets an apostrophe (OWASP, CSV injection)."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


def _identity(row: Row) -> list[tuple[str, Any]]:
    cell = row.cell
    names = ("id", "model", "task", "method", "runtime", "device")
    workload = ";".join(f"{key}={value}" for key, value in cell.workload.items())
    status = [("workload", workload), ("status", cell.status.value), ("reason", cell.reason)]
    return [
        *((name, getattr(cell, name)) for name in names),
        *status,
        ("weights_bytes", cell.weights_bytes),
        ("weights_zstd_bytes", zstd_bytes(cell)),
    ]


def _speed(row: Row) -> list[tuple[str, Any]]:
    latency, speed, generation = row.cell.latency_ms, row.speed, row.cell.generation
    low, high = latency.interval if latency and latency.interval else (None, None)
    slow, fast = speed.interval if speed and speed.interval else (None, None)
    return [
        ("latency_p50_ms", latency and latency.p50),
        ("latency_low_ms", low),
        ("latency_high_ms", high),
        ("latency_p90_ms", latency and latency.p90),
        ("latency_p99_ms", latency and latency.p99),
        ("rounds", latency and len(latency.rounds)),
        ("samples", latency and sum(len(each.samples_ms) for each in latency.rounds)),
        ("speedup", speed and speed.speedup),
        ("speedup_low", slow),
        ("speedup_high", fast),
        ("speedup_p_holm", row.p),
        ("verdict", row.verdict and row.verdict.value),
        ("first_token_ms", generation and generation.first_token_ms),
        ("prefill_tokens_per_s", generation and generation.prefill_tokens_per_s),
        ("decode_tokens_per_s", generation and generation.decode_tokens_per_s),
    ]


def _memory(row: Row) -> list[tuple[str, Any]]:
    memory = row.cell.memory
    parts = ("floor_bytes", "anonymous_bytes", "file_bytes", "container_peak_bytes")
    split = [(f"ram_{part}", memory and getattr(memory, part)) for part in parts]
    return [("ram_bytes", row.cell.ram_bytes), *split, ("vram_bytes", row.cell.vram_bytes)]


def _quality(row: Row) -> list[tuple[str, Any]]:
    quality, difference = row.cell.quality, row.quality
    low, high = quality.interval if quality and quality.interval else (None, None)
    less, more = difference.interval if difference and difference.interval else (None, None)
    return [
        ("metric", quality and quality.metric),
        ("quality", quality and quality.value),
        ("quality_low", low),
        ("quality_high", high),
        ("quality_examples", quality and quality.examples),
        ("quality_difference", difference and difference.value),
        ("quality_difference_low", less),
        ("quality_difference_high", more),
    ]


def _origin(row: Row) -> list[tuple[str, Any]]:
    cell = row.cell
    return [
        ("arithmetic", cell.arithmetic),
        ("artifact_format", cell.artifact and cell.artifact.format),
        ("artifact_precision", cell.artifact and cell.artifact.precision),
        ("artifact_sha256", cell.artifact and cell.artifact.hash),
        ("image_reference", cell.image and cell.image.reference),
        ("image_digest", cell.image and cell.image.digest),
        ("engine", cell.engine),
        ("threads", cell.threads),
        ("caveats", "; ".join(cell.caveats) or None),
        ("measured_at", cell.measured_at),
        ("command", cell.command),
    ]
