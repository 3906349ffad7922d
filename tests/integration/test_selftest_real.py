"""The self-test for real, in processes of this machine: its program, its records, its memory."""

from __future__ import annotations

from pathlib import Path

from harness.catalog import load_catalog
from harness.engines.host.engine import HostEngine
from harness.runner import selftest
from harness.runner.store import Store


def test_known_memory_is_found_and_the_result_is_kept(tmp_path: Path) -> None:
    """One repeat says nothing of speed: whether its checks pass is up to the machine."""
    store = Store(tmp_path)
    made = selftest.run(load_catalog(), HostEngine(tmp_path), store, repeats=1, seed=0, say=lambda line: None)
    assert len(made.checks) == 8
    assert all(check.passed for check in made.checks if "MiB" in check.name), made.checks
    assert selftest.last(store, made.host, "host") == made
    assert not (tmp_path / "selftest").exists()
