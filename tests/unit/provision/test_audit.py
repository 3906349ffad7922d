"""The audit asks for everything that is locked, and lets nothing pass without a reason and an end."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pytest

from harness.catalog import load_catalog
from harness.contracts.loading import load_file

ROOT = Path(__file__).parents[3]
audit = load_file(ROOT / ".ci" / "audit.py", "audit")

FLAW = {"id": "PYSEC-2027-1", "aliases": ["CVE-2027-1"], "fix_versions": ["1.1"], "description": ""}
ANSWER = {
    "dependencies": [
        {"name": "sound", "version": "1.0", "vulns": []},
        {"name": "broken", "version": "1.0", "vulns": [FLAW]},
        {"name": "strange", "skip_reason": "Dependency not found on PyPI"},
    ]
}
DAY = date(2027, 1, 1)


def allowed(until: str, id_: str = "CVE-2027-1") -> list:
    return audit.exceptions(f"exceptions: [{{id: {id_}, package: broken, reason: not reached, until: {until}}}]")


def test_every_lock_file_is_audited() -> None:
    catalog = load_catalog()
    known = [*catalog.images.values(), *catalog.layers.values(), *catalog.wheels.values()]
    assert {each.requirements for each in known} <= set(audit.locks())


@pytest.mark.parametrize("lock", audit.locks(), ids=lambda lock: lock.relative_to(ROOT).as_posix())
def test_every_package_of_a_lock_file_is_asked_for(lock: Path) -> None:
    asked = audit.pinned(lock.read_text("utf-8"))
    assert len(asked) == len(re.findall(r"^[^\s#]", lock.read_text("utf-8"), re.MULTILINE)) > 0
    assert all(re.fullmatch(r"[\w.-]+==[\w.!]+", line) for line in asked)


def test_a_vulnerability_is_told_with_the_version_that_fixes_it() -> None:
    assert audit.told(ANSWER, [], DAY) == ["broken 1.0: PYSEC-2027-1; fixed in 1.1"]


def test_what_could_not_be_checked_is_named() -> None:
    assert audit.unknown(ANSWER) == ["strange: not checked: Dependency not found on PyPI"]


@pytest.mark.parametrize("id_", ["CVE-2027-1", "PYSEC-2027-1"])
def test_an_exception_holds_until_its_end(id_: str) -> None:
    assert audit.told(ANSWER, allowed("2027-01-01", id_), DAY) == []
    ended = "broken 1.0: PYSEC-2027-1; its exception ended on 2026-12-31"
    assert audit.told(ANSWER, allowed("2026-12-31", id_), DAY) == [ended]


def test_an_exception_of_another_vulnerability_does_not_help() -> None:
    assert audit.told(ANSWER, allowed("2027-01-01", "CVE-2027-2"), DAY)


@pytest.mark.parametrize(
    "entry",
    ["{id: X, package: a, until: 2027-01-01}", "{id: X, package: a, reason: ' ', until: 2027-01-01}",
     "{id: X, package: a, reason: why}", "{id: X, package: a, reason: why, until: soon}", "X"],
)  # fmt: skip
def test_an_exception_has_a_reason_and_an_end(entry: str) -> None:
    with pytest.raises(SystemExit, match="needs id, package, reason and until"):
        audit.exceptions(f"exceptions: [{entry}]")


def test_the_exceptions_of_the_repository_are_complete() -> None:
    audit.exceptions(audit.EXCEPTIONS.read_text("utf-8"))
