"""How good inputs are spoiled: as bytes, and as the values that their JSON holds."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

Path: TypeAlias = tuple[str | int, ...]

ANYWHERE = st.integers(0, 2**32 - 1)  # a place, taken modulo the length
PIECES = (
    b"",
    b"\0",
    b"\xff",
    b"\x80",
    b"\r\n",
    b"\xef\xbb\xbf",
    b"9" * 5000,
    b"-1",
    b"1e999",
    b"\x1b[2J",
    b"\xe2\x80\xae",
)

#: What stands in a text for what ``json.dumps`` cannot write; the parser meets the JSON behind it.
_RAW = {
    "@@many-digits": "9" * 5000,
    "@@overflow": "1e999",
    "@@nan": "NaN",
    "@@endless": "-Infinity",
    "@@surrogate": '"\\ud800"',
    "@@deep": "[" * 3000 + "]" * 3000,
}
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, -(10**30), 10**400, 0.0, -0.5, 1e308, "", "x", "NaN", "Infinity",
    "\x1b[31m", "\u202e", "../../etc/passwd", "=1+1", "a" * 10_000, [], {}, [[]], [None], {"": None}, [0] * 50, *_RAW,
)  # fmt: skip


def mutated(seeds: Sequence[bytes], pieces: Sequence[bytes] = ()) -> SearchStrategy[bytes]:
    """One of the seeds with one to six cuts, in whose places lie ``pieces`` or random bytes, or what was cut twice."""
    piece = st.sampled_from((*PIECES, *pieces)) | st.binary(max_size=8) | st.none()
    cut = st.tuples(ANYWHERE, st.integers(0, 12) | ANYWHERE, piece)
    return st.builds(_cut, st.sampled_from(seeds), st.lists(cut, min_size=1, max_size=6))


def _cut(seed: bytes, cuts: Sequence[tuple[int, int, bytes | None]]) -> bytes:
    for place, length, piece in cuts:
        at = place % (len(seed) + 1)
        length = length if length <= 12 else length % (len(seed) - at + 1)
        taken = seed[at : at + length]
        seed = seed[:at] + (taken * 2 if piece is None else piece) + seed[at + length :]
    return seed


def mutated_json(seeds: Sequence[Any], values: Sequence[Any] = ()) -> SearchStrategy[bytes]:
    """JSON of one of the seeds. One to four values become others, mostly of the same type, or go, move or come twice."""
    change = st.tuples(ANYWHERE, st.sampled_from(_CHANGES), st.sampled_from((*VALUES, *values)), ANYWHERE)
    frozen = [json.dumps(seed) for seed in seeds]
    return st.builds(_changed, st.sampled_from(frozen), st.lists(change, min_size=1, max_size=4))


_CHANGES = (*["nudge"] * 8, "empty", "replace", "replace", "remove", "double", "swap", "wrap", "rename", "add")


def _changed(seed: str, changes: Sequence[tuple[int, str, Any, int]]) -> bytes:
    data = [json.loads(seed)]  # in a list, so that the whole has a place as well
    for place, change, value, other in changes:
        paths = list(_paths(data))
        if paths:
            _change(data, paths[place % len(paths)], change, json.loads(json.dumps(value)), paths[other % len(paths)])
    text = json.dumps(data[0] if data else None, ensure_ascii=False)
    for mark, raw in _RAW.items():
        text = text.replace(f'"{mark}"', raw)
    return text.encode("utf-8", "surrogatepass")


def _paths(value: Any, path: Path = ()) -> Iterator[Path]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in items:
        yield (*path, key)
        yield from _paths(part, (*path, key))


def _change(data: Any, path: Path, change: str, value: Any, other: Path) -> None:
    holder, key = _at(data, path[:-1]), path[-1]
    match change:
        case "replace":
            holder[key] = value
        case "nudge":  # the type stays, so that what reads it later meets it as well
            holder[key] = _nudged(holder[key], value, len(other))
        case "empty" if isinstance(holder[key], (dict, list)):
            holder[key].clear()
        case "remove":
            del holder[key]
        case "double" if isinstance(holder, list):
            holder.insert(key, holder[key])
        case "swap":
            holder[key] = json.loads(json.dumps(_at(data, other)))
        case "wrap":
            holder[key] = [holder[key]]
        case "rename" if isinstance(holder, dict):
            holder[str(value)[:40]] = holder.pop(key)
        case _:
            if isinstance(holder[key], list):
                holder[key].append(value)
            elif isinstance(holder[key], dict):
                holder[key]["new"] = value


def _nudged(now: Any, value: Any, chance: int) -> Any:
    if isinstance(now, bool):
        return not now
    if isinstance(now, (int, float)):
        known = isinstance(value, (int, float)) and not isinstance(value, bool)
        return type(now)(value) if known and abs(value) < 1e300 else (0, -now, now * 2, now + 1, now // 3)[chance % 5]
    if isinstance(now, str):
        return value if isinstance(value, str) and value not in _RAW else now[: len(now) // 2]
    return now[: chance - 1] if isinstance(now, list) else now


def _at(data: Any, path: Path) -> Any:
    for part in path:
        data = data[part]
    return data
