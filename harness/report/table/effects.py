"""What the methods verifiably did to the weights: in a few words for a row, and one line an artifact for a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from harness.report.language import numbers
from harness.report.language.catalogue import Message
from harness.report.table.model import Row, Table
from harness.results import CellArtifact


def _percent(value: Any) -> str:
    return f"{100 * float(value):.1f}".removesuffix(".0") + " %"


#: What passes record of their effect, in the order in which a row tells it; all else is in the row's details.
HEADLINES: Mapping[str, Callable[[Any], str]] = {
    "layers_removed": str,
    "share_of_parameters_removed": _percent,
    "sparsity": _percent,
    "share_of_groups_in_pattern": _percent,
    "max_distinct_values_per_tensor": str,
    "share_of_weights_quantized": _percent,
    "bits_per_weight": lambda value: numbers.number(float(value)),
}


@dataclass(frozen=True)
class MeasuredArtifact:
    """An artifact, and the rows that it was measured in."""

    row: Row  # the first of them
    artifact: CellArtifact
    runtimes: tuple[str, ...]


def effects(artifact: CellArtifact | None) -> list[Message]:
    """The headlines of what its passes did; where two passes measured the same, the later one knows better."""
    done: dict[str, Any] = {}
    for each in artifact.passes if artifact else ():
        done |= each.effect
    return [Message.of(f"effect.{key}", value=write(done[key])) for key, write in HEADLINES.items() if done.get(key)]


def artifacts(table: Table) -> list[MeasuredArtifact]:
    """Every artifact with passes that a measured row has, once, in the order of the rows."""
    found: dict[str, list[Row]] = {}
    for row in table.rows:
        if row.measured and row.cell.artifact and row.cell.artifact.passes:
            found.setdefault(row.cell.artifact.hash, []).append(row)
    return [
        MeasuredArtifact(rows[0], rows[0].cell.artifact, tuple(dict.fromkeys(row.cell.runtime for row in rows)))
        for rows in found.values()
        if rows[0].cell.artifact
    ]
