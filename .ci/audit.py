"""Asks the package index for known vulnerabilities of everything that a lock file installs. Run by ``nox -s audit``.

Exit codes: 0 none, 1 some, or an exception that has ended, 3 the index could not be asked. Packages that the index does not
know, such as builds of an index of their own, are named.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import yaml

from harness.provision.requirements import entries

ROOT = Path(__file__).parents[1]
EXCEPTIONS = Path(__file__).with_name("audit.yaml")
AUDIT = ("pip-audit", "--progress-spinner", "off", "--format", "json", "--no-deps", "--disable-pip", "--requirement")


@dataclass(frozen=True)
class Allowed:
    """A known vulnerability that an image may have until a day."""

    id: str
    package: str
    reason: str
    until: date


@dataclass(frozen=True)
class Found:
    """A known vulnerability of a locked package; ``ids`` are all names that it goes by."""

    package: str
    version: str
    ids: tuple[str, ...]
    fixed_in: tuple[str, ...]


def main() -> int:
    """Ask for every lock file and tell what was found; the exit code."""
    allowed, today = exceptions(EXCEPTIONS.read_text("utf-8")), datetime.now(UTC).date()
    code = 0
    for lock in locks():
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
            file.write("\n".join(pinned(lock.read_text("utf-8"))))
            file.flush()
            done = subprocess.run([*AUDIT, file.name], capture_output=True, text=True, check=False)
        name = lock.relative_to(ROOT)
        try:
            answer = json.loads(done.stdout)
        except ValueError:
            last = (done.stderr.strip().splitlines() or ["pip-audit said nothing"])[-1]
            print(f"{name}: could not be checked, because the index's vulnerability service did not answer: {last}")
            return 3
        problems = told(answer, allowed, today)
        print(f"{name}: {len(answer['dependencies'])} packages, {len(problems) or 'no'} known vulnerabilities")
        print("".join(f"  {line}\n" for line in [*problems, *unknown(answer)]), end="")
        code = max(code, int(bool(problems)))
    return code


def locks() -> list[Path]:
    """Every lock file of the repository."""
    return sorted((ROOT / "images").rglob("requirements*.txt"))


def pinned(lock: str) -> list[str]:
    """``name==version`` of every package; the index knows ``2.13.0+cpu`` as 2.13.0."""
    return [entry.split()[0].partition("+")[0] for entry in entries(lock)]


def exceptions(text: str) -> list[Allowed]:
    """The exceptions in a text of YAML. Raises SystemExit for one without a reason or an end."""
    found = []
    for entry in yaml.safe_load(text)["exceptions"]:
        complete = isinstance(entry, dict) and entry.keys() == {"id", "package", "reason", "until"}
        if not complete or not isinstance(entry["until"], date) or not str(entry["reason"]).strip():
            raise SystemExit(f"{EXCEPTIONS.name}: {entry}: needs id, package, reason and until (a date)")
        found.append(Allowed(**entry))
    return found


def findings(answer: Mapping[str, Any]) -> list[Found]:
    """What pip-audit found."""
    return [
        Found(each["name"], each["version"], (flaw["id"], *flaw["aliases"]), tuple(flaw["fix_versions"]))
        for each in answer["dependencies"]
        for flaw in each.get("vulns", ())
    ]


def told(answer: Mapping[str, Any], allowed: Iterable[Allowed], today: date) -> list[str]:
    """One line for each vulnerability that no exception allows today."""
    may = {(each.package, each.id): each for each in allowed}
    lines = []
    for found in findings(answer):
        exception = next((may[found.package, id_] for id_ in found.ids if (found.package, id_) in may), None)
        if exception is None:
            cure = f"fixed in {', '.join(found.fixed_in)}" if found.fixed_in else "no version fixes it yet"
            lines.append(f"{found.package} {found.version}: {found.ids[0]}; {cure}")
        elif exception.until < today:
            lines.append(f"{found.package} {found.version}: {found.ids[0]}; its exception ended on {exception.until}")
    return lines


def unknown(answer: Mapping[str, Any]) -> Sequence[str]:
    """One line for each package that could not be checked."""
    skipped = (each for each in answer["dependencies"] if "skip_reason" in each)
    return [f"{each['name']}: not checked: {each['skip_reason']}" for each in skipped]


if __name__ == "__main__":
    sys.exit(main())
