"""Taking over what a step wrote. Whoever wrote it is not trusted: a bug in a parser, or a pickle, is enough to write anything.

Only plain files and folders are taken: no links, hard links, FIFOs, sockets or devices, no names that are not UTF-8, and no
more than ``Bounds`` allow. Everything is opened without following links, relative to a descriptor of its folder, looked at
through that descriptor, and renamed into a folder of ours through descriptors: no path of this machine is ever resolved
through what a step wrote. Modes and owners are set on what was opened and looked at.
"""

from __future__ import annotations

import io
import os
import secrets
import shutil
import stat
import tarfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.engines.bounds import SETTINGS, Bounds, told

_KINDS: tuple[tuple[Callable[[int], bool], str], ...] = (
    (stat.S_ISLNK, "a link"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISCHR, "a device"),
)
_SHOWN = 80  # characters of a name in a reason


class Refused(Exception):
    """What a step left is not taken over; the message says in one line what was found."""


def take_file(left: Path, name: str, target: Path, limit: int) -> bool:
    """Move the plain file ``name`` of ``left`` to ``target``; False where there is none. Raises Refused."""
    with _folder_of_ours(left) as source, _folder_of_ours(target.parent) as here:
        try:
            found = _look(source, name)
        except FileNotFoundError:
            return False
        with _opened(found):
            seen = _require_plain(found, name)
            if not stat.S_ISREG(seen.st_mode):
                raise Refused(f"the step left a folder where {name} belongs")
            _require_small(name, seen.st_size, limit)
            _move(found, seen, source, name, here, target.name)
    return True


def _require_small(name: str, size: int, limit: int) -> None:
    if size > limit:
        raise Refused(f"{name} has {size:,} bytes, more than the {limit:,} that are read")


def take_tree(left: Path, name: str, target: Path, bounds: Bounds) -> None:
    """Move the folder ``name`` of ``left``, as far as it is there, into the new or empty folder ``target``. Raises Refused.

    Where it is refused nothing of it is in ``target``: it is looked through as a whole before anything is moved.
    """
    target.mkdir(exist_ok=True)
    with _folder_of_ours(left) as source, _folder_of_ours(target) as here:
        try:
            found = _look(source, name)
        except FileNotFoundError:
            return
        with _opened(found):
            if not stat.S_ISDIR(_require_plain(found, name).st_mode):
                raise Refused(f"the step left a file where the folder {name}/ belongs")
            with _entered(found) as folder:
                _survey(folder, name, _Count(bounds), 1)
                _bring(folder, name, here, _Count(bounds), 1)


@dataclass
class _Count:
    """What was seen so far, held against the bounds."""

    bounds: Bounds
    bytes: int = 0
    entries: int = 0

    def add(self, seen: os.stat_result, depth: int) -> None:
        """Count one more file or folder."""
        self.count(seen.st_size if stat.S_ISREG(seen.st_mode) else 0, depth)

    def count(self, size: int, depth: int) -> None:
        """Count one more, of so many bytes. Raises Refused."""
        self.entries += 1
        self.bytes += size
        if self.entries > self.bounds.entries:
            raise Refused(
                f"the step left more than {self.bounds.entries:,} files and folders ({SETTINGS['entries']} is the bound)"
            )
        if self.bytes > self.bounds.bytes:
            raise Refused(f"the step left more than {told('bytes', self.bounds)}")
        if depth > self.bounds.depth:
            raise Refused(f"the step left folders more than {self.bounds.depth} deep in each other")


def _survey(folder: int, path: str, count: _Count, depth: int) -> None:
    """Look through everything; raises Refused for the first thing that cannot be taken."""
    for name, found, seen in _plain_things(folder, path, count, depth):
        if stat.S_ISDIR(seen.st_mode):
            with _entered(found) as below:
                _survey(below, f"{path}/{name}", count, depth + 1)


def _bring(folder: int, path: str, target: int, count: _Count, depth: int) -> None:
    """Move everything, looked at once more on the way: whoever still runs may change it in between."""
    for name, found, seen in _plain_things(folder, path, count, depth):
        if stat.S_ISREG(seen.st_mode):
            _move(found, seen, folder, name, target, name)
            continue
        os.mkdir(name, 0o755, dir_fd=target)
        with _entered(found) as below, _opened(os.open(name, _DIRECTORY, dir_fd=target)) as here:
            os.fchmod(here, 0o755)
            _bring(below, f"{path}/{name}", here, count, depth + 1)


def _plain_things(folder: int, path: str, count: _Count, depth: int) -> Iterator[tuple[str, int, os.stat_result]]:
    """Everything in a folder that may be taken, counted: its name, a descriptor until the next, and what that showed."""
    for name in _names(folder, path, count):
        try:
            found = _look(folder, name)
        except FileNotFoundError:
            raise Refused(f"{_shown(name)} was changed while it was taken over") from None
        with _opened(found):
            seen = _require_plain(found, f"{path}/{name}")
            count.add(seen, depth)
            yield name, found, seen


def _names(folder: int, path: str, count: _Count) -> list[str]:
    """The names in a folder, as many as may still come; raises Refused for one that is not UTF-8."""
    names: list[str] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            _require_utf8(f"{path}/{entry.name}")
            names.append(entry.name)
            if len(names) + count.entries > count.bounds.entries:
                break  # the next that is counted is one too many
    return sorted(names) if len(names) + count.entries <= count.bounds.entries else names


def take_archive(chunks: Iterable[bytes], name: str, left: Path, bounds: Bounds) -> None:
    """Unpack ``name`` from a tar archive that an engine made of it into ``left``. Raises Refused.

    Only plain files and folders are unpacked, each into a folder that was made here, so that nothing is followed.
    """
    count = _Count(bounds)
    with tarfile.open(fileobj=_Chunks(chunks), mode="r|") as archive:
        for member in archive:
            parts = member.name.split("/")
            if parts[0] != name or not all(parts) or {".", ".."} & set(parts):
                raise Refused(f"the step left a name that lies elsewhere: {_shown(member.name)}")
            _require_utf8(member.name)
            if not (member.isreg() or member.isdir()):
                kind = "a link" if member.issym() else "a hard link" if member.islnk() else "something that is no file"
                raise Refused(f"the step left {kind}: {_shown(member.name)}")
            count.count(member.size if member.isreg() else 0, len(parts) - 1)
            if len(parts) == 1:  # the status; a tree has folders at its root
                _require_small(name, member.size, bounds.status_bytes)
            target = left.joinpath(*parts)
            if member.isdir():
                target.mkdir()
                continue
            content = archive.extractfile(member)
            assert content is not None
            with target.open("xb") as file:
                shutil.copyfileobj(content, file)


class _Chunks(io.RawIOBase):
    """A stream over chunks."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            try:
                self._rest = memoryview(next(self._chunks))
            except StopIteration:
                return 0
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size


def _require_utf8(path: str) -> None:
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        raise Refused(f"the step left a name that is not UTF-8: {_shown(path)}") from None


# --- descriptors -------------------------------------------------------------------------------------------------------

#: Opens the thing itself, whatever it is: nothing is read, no device is started, no FIFO waits for its other end.
_THING = getattr(os, "O_PATH", os.O_RDONLY | os.O_NONBLOCK) | os.O_NOFOLLOW | os.O_CLOEXEC
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def _look(folder: int, name: str) -> int:
    """A descriptor of what is called so in a folder. Raises FileNotFoundError, or Refused."""
    try:
        return os.open(name, _THING, dir_fd=folder)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Refused(f"the step left something that cannot be opened: {_shown(name)} ({error.strerror})") from None


def _require_plain(found: int, path: str) -> os.stat_result:
    seen = os.fstat(found)
    for is_kind, words in _KINDS:
        if is_kind(seen.st_mode):
            raise Refused(f"the step left {words}: {_shown(path)}")
    if stat.S_ISREG(seen.st_mode) and seen.st_nlink != 1:
        raise Refused(f"the step left a file that has another name too (a hard link): {_shown(path)}")
    return seen


def _move(found: int, seen: os.stat_result, source: int, name: str, target: int, new: str) -> None:
    """Rename what was looked at, make it ours, and see that it is still the same and only one."""
    _make_ours(found, 0o644)
    os.rename(name, new, src_dir_fd=source, dst_dir_fd=target)
    moved = os.stat(new, dir_fd=target, follow_symlinks=False)
    if (moved.st_dev, moved.st_ino, moved.st_nlink) != (seen.st_dev, seen.st_ino, 1):
        os.unlink(new, dir_fd=target)
        raise Refused(f"{_shown(name)} was changed while it was taken over")


def _make_ours(found: int, mode: int) -> None:
    """Owner and mode of what a descriptor stands for; never of a path."""
    handle = _handle(found)
    if os.geteuid() == 0:
        os.chown(handle, os.geteuid(), os.getegid())
    os.chmod(handle, mode)  # noqa: PTH101 (it may be a descriptor)


def _handle(found: int) -> str | int:
    """What chmod and open take for a descriptor that was opened by O_PATH: proc(5), /proc/self/fd."""
    return f"/proc/self/fd/{found}" if hasattr(os, "O_PATH") else found


@contextmanager
def _entered(found: int) -> Iterator[int]:
    """A descriptor by which a folder can be read, whatever mode its writer gave it."""
    _make_ours(found, 0o755)
    handle = _handle(found)
    if isinstance(handle, int):
        yield handle
        return
    with _opened(os.open(handle, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)) as folder:
        yield folder


@contextmanager
def _opened(descriptor: int) -> Iterator[int]:
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _folder_of_ours(path: Path) -> Iterator[int]:
    with _opened(os.open(path, _DIRECTORY)) as folder:
        yield folder


def _shown(path: str) -> str:
    """A name that a step chose, fit for one line: what is not printable is escaped."""
    text = ascii(path)[1:-1]
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


# --- removing ----------------------------------------------------------------------------------------------------------


def remove(folder: Path) -> None:
    """Remove a folder that a step could write to, however deep it is; nothing outside it is touched. Raises OSError.

    Folders are flattened: each is moved up beside the others before it is emptied, so that no path grows long.
    """
    try:
        top = os.open(folder, _DIRECTORY)
    except FileNotFoundError:
        return
    with _opened(top):
        waiting = _Flat(top)
        waiting.empty(top)
        while waiting.names:
            name = waiting.names.pop()
            found = os.open(name, _THING, dir_fd=top)
            with _opened(found), _entered(found) as below:
                waiting.empty(below)
            os.rmdir(name, dir_fd=top)
    folder.rmdir()


@dataclass
class _Flat:
    """The folders that wait in ``top``, each under a number."""

    top: int
    names: list[str] = field(default_factory=list)
    count: int = 0
    mark: str = field(default_factory=lambda: secrets.token_hex(8))  # of no folder that is there already

    def empty(self, folder: int) -> None:
        """Unlink what is no folder, and move folders to ``top``."""
        with os.scandir(folder) as entries:
            found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
        for name, is_folder in found:
            if not is_folder:
                os.unlink(name, dir_fd=folder)
                continue
            thing = os.open(name, _THING, dir_fd=folder)
            with _opened(thing):
                _make_ours(thing, 0o700)  # a folder that moves has its own entry for its parent changed
            self.count += 1
            new = f".removing-{self.mark}-{self.count}"
            os.rename(name, new, src_dir_fd=folder, dst_dir_fd=self.top)
            self.names.append(new)
