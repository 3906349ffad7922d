"""What the weights of an artifact come to when they are compressed: what a download costs.

Zeros of pruning and repeats of clustering take their full width in most formats, and nearly none in a compressed file.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.contracts import values
from harness.contracts.files import write_json
from harness.runner.store import Entry

LEVEL = 3  # zstd's own default


@dataclass(frozen=True)
class Compressed:
    """The content of ``zstd.json``."""

    level: int
    bytes: int
    artifact: str  # hash of what was compressed


def zstd_bytes(entry: Entry, artifact: str) -> int:
    """Bytes of an artifact's weight files after ``zstd -3``, one by one; computed once, then kept beside its receipt.

    ``artifact`` is the hash of the artifact; what was kept of another, or is damaged, is computed again.
    """
    kept = entry.path / "zstd.json"
    try:
        found = values.read(Compressed, kept)
        if (found.level, found.artifact) == (LEVEL, artifact):
            return found.bytes
    except values.Damaged:
        pass
    total = sum(_compressed(entry, name) for name in entry.manifest.weights)
    write_json(kept, values.dump(Compressed(LEVEL, total, artifact)))
    return total


def _compressed(entry: Entry, name: str) -> int:
    import zstandard

    stream, total = zstandard.ZstdCompressor(level=LEVEL, threads=-1).compressobj(), 0
    with (entry.out / name).open("rb") as file:
        while chunk := file.read(2**22):
            total += len(stream.compress(chunk))
    return total + len(stream.flush())
