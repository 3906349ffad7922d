"""A planner over one machine, as most tests of plans need it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.catalog import Catalog
from harness.contracts.step import MachineName
from harness.matrix import source
from harness.matrix.planner import Planner, Site
from harness.matrix.spec import Matrix, Model, PassUse

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
    sites: Sequence[Site] = (),
) -> Planner:
    """Sources are their own fingerprints, and files are lines of JSON."""
    return Planner(
        matrix,
        catalog,
        isolation,
        sites or [Site(machine, devices, gpu)],
        str,
        _guess,
        lambda parsed: ["jsonl"],
        chosen or {},
    )


def _guess(model: Model) -> source.Contents:
    return source.guess(source.parse(model.source))
