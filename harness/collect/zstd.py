"""What the weights of an artifact come to when they are compressed: what a download costs.

Zeros of pruning and repeats of clustering take their full width in most formats, and nearly none in a compressed file.
"""

from __future__ import annotations

from harness.runner.store import Entry, read_json, write_json

LEVEL = 3  # zstd's own default


def zstd_bytes(entry: Entry) -> int:
    """Bytes of an artifact's weight files after ``zstd -3``, one by one; computed once, then kept beside its receipt."""
    kept = entry.path / "zstd.json"
    if not kept.exists():
        import zstandard

        total = 0
        for name in entry.manifest["weights"]:
            stream = zstandard.ZstdCompressor(level=LEVEL, threads=-1).compressobj()
            with (entry.out / name).open("rb") as file:
                while chunk := file.read(2**22):
                    total += len(stream.compress(chunk))
            total += len(stream.flush())
        write_json(kept, {"level": LEVEL, "bytes": total})
    return int(read_json(kept)["bytes"])
