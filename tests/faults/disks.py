"""Small file systems of the tests' own."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.faults.rig import until


@dataclass(frozen=True)
class Disk:
    """A file system, and the file that holds it; the tmpfs has none."""

    mounted: Path
    image: Path | None = None

    def fill(self, leave_bytes: int = 0) -> Path:
        """Take all space but that; the file that takes it."""
        filler = self.mounted / "filler"
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            free = os.statvfs(self.mounted)
            os.posix_fallocate(file.fileno(), 0, max(1, free.f_bfree * free.f_frsize - leave_bytes - 2**22))
            file.seek(0, os.SEEK_END)
            while (free := os.statvfs(self.mounted)).f_bfree * free.f_frsize > leave_bytes:
                file.write(bytes(min(4096, free.f_bfree * free.f_frsize - leave_bytes)))
        return filler

    def become_read_only(self) -> None:
        """As after an error of the device, also while files are open for writing."""
        assert self.image is not None
        device = Path(self._device()).name
        Path(f"/sys/fs/ext4/{device}/trigger_fs_error").write_text("a test")
        until(self._refuses, "a read-only file system")

    def become_writable(self) -> None:
        """Mount it again, checked."""
        assert self.image is not None
        run("umount", str(self.mounted))
        subprocess.run(["e2fsck", "-fy", str(self.image)], capture_output=True, check=False)  # 1: it was mended
        run("mount", "-o", "loop,errors=remount-ro", str(self.image), str(self.mounted))

    def break_writes(self) -> None:
        """The device fails from now on: there is no room for what it is stored in."""
        assert self.image is not None
        with contextlib.suppress(OSError), (self.image.parent / "filler").open("wb", buffering=0) as file:
            while True:
                file.write(bytes(2**16))

    def _refuses(self) -> bool:
        try:
            (self.mounted / "probe").touch()
        except OSError as error:
            return error.errno == errno.EROFS
        return False

    def _device(self) -> str:
        words = ["findmnt", "--noheadings", "--output", "SOURCE", str(self.mounted)]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()

    def unmount(self) -> None:
        """Also where something still has it open."""
        run("umount", "--lazy", str(self.mounted), check=False)


def run(*words: str, check: bool = True) -> int:
    """A command; its exit code."""
    return subprocess.run(words, capture_output=True, check=check).returncode


@contextlib.contextmanager
def disk(folder: Path, kind: str, megabytes: int) -> Iterator[Disk]:
    """A ``tmpfs`` or an ``ext4`` in a file."""
    mounted, under = folder / "disk", folder / "under"
    mounted.mkdir()
    if kind == "tmpfs":
        run("mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(mounted))
        made = Disk(mounted)
    else:
        under.mkdir()
        image = under / "image"
        run("mount", "-t", "tmpfs", "-o", f"size={megabytes + 8}m", "tmpfs", str(under))  # the room of the device
        with image.open("wb") as file:
            file.truncate(megabytes * 2**20)
        run("mkfs.ext4", "-q", "-F", "-m", "0", str(image))
        run("mount", "-o", "loop,errors=remount-ro", str(image), str(mounted))
        made = Disk(mounted, image)
    mounted.chmod(0o755)
    try:
        yield made
    finally:
        made.unmount()
        run("umount", "--lazy", str(under), check=False)
