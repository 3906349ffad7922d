"""What the weights of an artifact come to when they are compressed: what a download costs.

Zeros of pruning and repeats of clustering take their full width in most formats, and nearly none in a compressed file.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.collect import derived
from harness.runner.store import Entry

LEVEL = 3  # zstd's own default


@dataclass(frozen=True)
class Compressed:
    """The value in ``zstd.json``."""

    bytes: int


def zstd_bytes(entry: Entry, artifact: str) -> int:
    """Bytes of an artifact's weight files after ``zstd -3``, one by one; ``artifact`` is the hash of the artifact."""

    def compress() -> Compressed:
        return Compressed(sum(_compressed(entry, name) for name in entry.manifest.weights))

    return derived.once(entry, "zstd.json", Compressed, f"zstd -{LEVEL} {artifact}", compress).bytes


def _compressed(entry: Entry, name: str) -> int:
    import zstandard

    stream, total = zstandard.ZstdCompressor(level=LEVEL, threads=-1).compressobj(), 0
    with (entry.out / name).open("rb") as file:
        while chunk := file.read(2**22):
            total += len(stream.compress(chunk))
    return total + len(stream.flush())
