"""A planner over one machine, as most tests of plans need it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.catalog import Catalog
from harness.contracts.step import MachineName
from harness.matrix.planner import Planner, Site
from harness.matrix.spec import Matrix, PassUse

DEVICES: Mapping[str, str | None] = {"cpu": None, "cuda": "no NVIDIA driver"}
HERE = MachineName("0123456789ab", "here")


def planner(
    matrix: Matrix,
    catalog: Catalog,
    *,
    isolation: str = "container",
    devices: Mapping[str, str | None] = DEVICES,
    gpu: str = "",
    chosen: Mapping[str, Sequence[PassUse] | str] | None = None,
    machine: MachineName = HERE,
) -> Planner:
    """Sources are their own fingerprints, and files are lines of JSON."""
    site = Site(machine, devices, gpu)
    return Planner(matrix, catalog, isolation, [site], str, lambda parsed: ["jsonl"], chosen or {})
