"""Values that take long to compute from a finished step, kept beside its receipt: the next run reads them.

A kept value names what it was computed from and holds a hash of itself. One of something else, or a damaged one, is computed
again, so that losing a file costs time and nothing more.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable
from typing import Any, TypeVar

from harness.contracts import values
from harness.contracts.files import write_json
from harness.runner.store import Entry

T = TypeVar("T")


def once(entry: Entry, name: str, cls: type[T], source: str, compute: Callable[[], T]) -> T:
    """The value of type ``cls``, a dataclass, in the file ``name`` of an entry, computed and kept where it is not there.

    ``source`` tells what the value depends on besides our code, which is part of the entry's key.
    """
    file = entry.path / name
    try:
        kept = values.read_object(file)
        if kept.get("source") == source and kept.get("sha256") == _check(source, kept.get("value")):
            return values.parse(cls, kept["value"], name)
    except values.Damaged:
        pass
    found = compute()
    data = values.dump(found)
    with contextlib.suppress(OSError):  # a folder in its place, or a full disk: computed again next time
        write_json(file, {"source": source, "value": data, "sha256": _check(source, data)})
    return found


def _check(source: str, value: Any) -> str | None:
    try:
        return hashlib.sha256(json.dumps([source, value], sort_keys=True).encode()).hexdigest()
    except RecursionError:
        return None
