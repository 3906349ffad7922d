"""What a step on another machine left comes as an archive, of which plain files and folders of a bounded size are unpacked."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from harness.engines.bounds import Bounds
from harness.engines.takeover import Refused, take_archive

BOUNDS = Bounds(bytes=10_000, entries=100, depth=8, status_bytes=1000)


def archive(*members: tuple[str, bytes, int]) -> list[bytes]:
    """A tar archive of members, each with its type and size, in chunks that end anywhere."""
    spool = io.BytesIO()
    with tarfile.open(fileobj=spool, mode="w") as made:
        for name, kind, size in members:
            member = tarfile.TarInfo(name)
            member.type, member.size, member.linkname = kind, size, "/etc/passwd"
            made.addfile(member, io.BytesIO(bytes(size)))
    return [spool.getvalue()[at : at + 999] for at in range(0, len(spool.getvalue()), 999)]


def test_an_archive_of_plain_files_and_folders_is_unpacked(tmp_path: Path) -> None:
    chunks = archive(
        ("out", tarfile.DIRTYPE, 0), ("out/a", tarfile.DIRTYPE, 0), ("out/a/weights", tarfile.REGTYPE, 2000)
    )
    take_archive(chunks, "out", tmp_path, BOUNDS)
    (file,) = (path for path in tmp_path.rglob("*") if path.is_file())
    assert (file, file.read_bytes()) == (tmp_path / "out" / "a" / "weights", bytes(2000))


@pytest.mark.parametrize(
    ("name", "kind", "size", "reason"),
    [
        ("status.json", tarfile.REGTYPE, 1001, "1,001 bytes, more than the 1,000"),
        ("status.json/x", tarfile.REGTYPE, 10_001, "MATRIX_OUTPUT_BYTES is the bound"),
        ("status.json", tarfile.SYMTYPE, 0, "a link"),
        ("status.json/x", tarfile.LNKTYPE, 0, "a hard link"),
        ("status.json", tarfile.FIFOTYPE, 0, "something that is no file"),
        ("status.json/../x", tarfile.REGTYPE, 1, "a name that lies elsewhere"),
        ("/status.json", tarfile.REGTYPE, 1, "a name that lies elsewhere"),
        ("/".join(["status.json", *"ddddddddd"]), tarfile.DIRTYPE, 0, "more than 8 deep"),
    ],
)
def test_a_hostile_archive_is_refused_before_anything_of_it_is_unpacked(
    name: str, kind: bytes, size: int, reason: str, tmp_path: Path
) -> None:
    with pytest.raises(Refused, match=reason):
        take_archive(archive((name, kind, size)), "status.json", tmp_path, BOUNDS)
    assert not list(tmp_path.iterdir())
