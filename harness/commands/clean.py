"""Free what earlier runs left on the disk; say how much."""

from __future__ import annotations

import re
from pathlib import Path

from harness.commands import up_to_date
from harness.engines import registry
from harness.engines.contract import Freed
from harness.errors import EnvironmentProblem, UsageError
from harness.runner.store import Store, remove, size_of

_DOWNLOADS = ("wheels", "contexts", "logs", up_to_date.FOLDER)
_ENVIRONMENTS = ("envs", "code", "uv-cache")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def parse_age(text: str) -> float:
    """Seconds of ``14d``, ``6h``, ``90s``; raises UsageError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", text.strip())
    if not match:
        raise UsageError(f"--older-than {text!r} is not a duration", "write a number and a unit, such as 6h, 14d or 2w")
    return float(match[1]) * _UNITS[match[2]]


def clean(work: Path, older_than_s: float, *, with_images: bool, dry_run: bool) -> Freed:
    """Remove steps not used within ``older_than_s`` seconds, and downloads; counts and bytes by kind.

    Wheels and build contexts are only caches of downloads: they go when nothing newer is asked to stay. Environments and
    Docker images go with ``with_images``.
    """
    store = Store(work)
    lock = store.lock()
    try:
        freed: Freed = {"steps": {"count": 0, "bytes": 0}}
        for path, size in store.old_entries(older_than_s):
            freed["steps"]["count"] += 1
            freed["steps"]["bytes"] += size
            if not dry_run:
                store.remove(path)
        if older_than_s == 0:
            seen: set[tuple[int, int]] = set()  # environments are hard links into uv's cache
            for name in (*_DOWNLOADS, *(_ENVIRONMENTS if with_images else ())):
                freed[name] = _folder(work / name, dry_run, seen)
        if with_images:
            for card in registry.cards().values():
                freed |= card.clean(dry_run)
    finally:
        lock.release()
    return freed


def _folder(folder: Path, dry_run: bool, seen: set[tuple[int, int]]) -> dict[str, int]:
    if not folder.is_dir():
        return {"count": 0, "bytes": 0}
    found = {"count": sum(1 for _ in folder.iterdir()), "bytes": size_of(folder, seen)}
    if not dry_run:
        _remove(folder)
    return found


def _remove(path: Path) -> None:
    try:
        remove(path)
    except OSError as error:
        raise EnvironmentProblem(
            f"{path} cannot be removed: {error.strerror}", "make it yours, or remove it by hand"
        ) from None


def text(freed: Freed, dry_run: bool) -> str:
    """The outcome for people."""
    verb = "would free" if dry_run else "freed"
    lines = [
        f"{verb} {found['bytes'] / 1e6:,.0f} MB: {found['count']} {kind}"
        for kind, found in freed.items()
        if found["count"]
    ]
    return "\n".join(lines) or "nothing to free"
