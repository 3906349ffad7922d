"""Intake: which files may come in from outside, and the safe ways to hash, name and copy them."""

from __future__ import annotations

import difflib
import errno
import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath

from harness.errors import SourceError

#: What one model or data set may come to; ``limits.source`` of a matrix sets another size.
MAX_BYTES = 100 * 2**30
MAX_FILES = 100_000

#: Files that hold weights and nothing that runs.
WEIGHTS = frozenset({".safetensors", ".gguf", ".onnx"})
#: Files that can run code when they are loaded: pickles, archives of pickles, Python itself, native libraries.
UNSAFE = frozenset(
    {".bin", ".ckpt", ".dill", ".dll", ".joblib", ".mar", ".pickle", ".pkl", ".pt", ".pth", ".py", ".pyc", ".so"}
)
#: Pickled weights as transformers and peft name them, and how the same are called in safetensors.
_PICKLED = re.compile(r"(pytorch_model(-\d{5}-of-\d{5})?|adapter_model)\.bin")
_TWINS = {
    "pytorch_model": re.compile(r"model(-.*)?\.safetensors"),
    "adapter_model": re.compile(r"adapter_model\.safetensors"),
}


def sift(names: Iterable[str], source: str, *, trust: bool) -> tuple[list[str], list[str]]:
    """Part names into those that may be taken and those that are left out because they could run code.

    The pickled weights of a checkpoint or an adapter are taken where it has none in safetensors: torch reads them as tensors
    alone (``weights_only``), in a step without a network.

    Raises SourceError where a model would be left without weights, or nothing would be left at all.
    """
    everything = sorted(names)
    pickles = _needed_pickles(everything)
    kept = [name for name in everything if trust or _suffix(name) not in UNSAFE or name in pickles]
    left_out = sorted(set(everything) - set(kept))
    is_model = any(PurePosixPath(name).name == "config.json" for name in kept)
    if left_out and (not kept or (is_model and not any(_is_weights(name) for name in kept))):
        raise SourceError(
            f"{source}: {_some(left_out)} can run code when loaded (a pickle or Python), and no safetensors are beside",
            "choose a source with *.safetensors, or set `trust: true` in the model's entry if you trust its author",
        )
    if not everything:
        raise SourceError(f"{source}: holds no files", "check the path")
    return kept, left_out


def _needed_pickles(names: Sequence[str]) -> set[str]:
    """The pickled weights that nothing in safetensors stands for."""
    files = [PurePosixPath(name).name for name in names]
    needed = {kind for kind, twin in _TWINS.items() if not any(map(twin.fullmatch, files))}
    found = ((name, _PICKLED.fullmatch(file)) for name, file in zip(names, files, strict=True))
    return {name for name, match in found if match and match[1].partition("-")[0] in needed}


def _is_weights(name: str) -> bool:
    return _suffix(name) in WEIGHTS or bool(_PICKLED.fullmatch(PurePosixPath(name).name))


def require_inside(name: str, source: str) -> None:
    """Raise SourceError for a name that would be written outside the folder it is meant for, or that can't be kept."""
    if not name.isprintable():
        raise SourceError(f"{source}: the name {name[:80]!r} can't be kept", "do not use this source")
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or PureWindowsPath(name).drive:
        raise SourceError(
            f"{source}: unsafe entry {name!r}: it would write outside its folder",
            "do not use this source: no honest tool makes one like it",
        )


def tell_left_out(source: str, left_out: list[str], say: Callable[[str], None]) -> list[str]:
    """Say which files were left out; the notes for the provenance."""
    if not left_out:
        return []
    note = f"{source}: left out {_some(left_out)}, which can run code; `trust: true` takes it"
    say(note)
    return [note]


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def files_below(path: Path, most: int = MAX_BYTES) -> dict[str, Path]:
    """Relative name -> file, for a file or all files below a folder but hidden ones.

    Raises SourceError for a link that leaves the folder, for what is no plain file, for a name that is not UTF-8, and where
    all files together come to more than ``most`` bytes. Nothing is opened to find out.
    """
    if path.is_file():
        found = {path.name: path}
    elif path.is_dir():
        found = dict(sorted(_walk(path, _allowed_roots(path))))
    else:
        raise SourceError(f"{path}: neither a file nor a folder", "name a plain file, or a folder of plain files")
    require_small(str(path), total(found.values()), most)
    return found


def total(files: Iterable[Path]) -> int:
    """Bytes of files, as they would be read: holes of sparse files count."""
    return sum(file.stat().st_size for file in files)


def require_small(source: str, size: int, most: int) -> None:
    """Raise SourceError where the ``size`` bytes of a source are more than ``most``."""
    if size > most:
        problem = f"{source}: {size_told(size)}, which is more than the {size_told(most)} that a source may have"
        raise SourceError(problem, "is this the right source? if so, raise `limits: {source: ...}` in the matrix")


def size_told(size: int) -> str:
    """A size in the unit that suits it: ``3,298.5 GB``."""
    unit, name = next(((unit, name) for unit, name in ((10**9, "GB"), (10**6, "MB")) if size >= unit), (1000, "kB"))
    return f"{size / unit:,.1f} {name}"


def _allowed_roots(folder: Path) -> tuple[Path, ...]:
    """Where links inside a folder may lead: to itself, and in a snapshot of a hub's cache to the blobs of its repository."""
    real = folder.resolve()
    snapshots = next((parent for parent in real.parents if parent.name == "snapshots"), None)
    return (real, snapshots.parent / "blobs") if snapshots else (real,)


def _walk(folder: Path, roots: tuple[Path, ...]) -> Iterator[tuple[str, Path]]:
    pending, count = [folder], 0
    while pending:
        for entry in sorted(pending.pop().iterdir()):
            if entry.name.startswith("."):
                continue
            name = entry.relative_to(folder).as_posix()
            if not name.isprintable() or _not_utf8(name):
                raise SourceError(f"{folder}: the name {name!r} can't be kept", "rename it in plain UTF-8")
            if entry.is_symlink() and not _leads_into(entry, roots):
                raise SourceError(f"{folder}: {name} is a link out of the folder", "replace it by the file itself")
            if entry.is_symlink() and entry.is_dir():
                raise SourceError(f"{folder}: {name} is a link to a folder", "replace it by the folder itself")
            if entry.is_dir() and not entry.is_symlink():
                pending.append(entry)
            elif entry.is_file():
                count += 1
                yield name, entry
            elif not entry.is_dir():
                raise SourceError(f"{folder}: {name} is no plain file (a pipe, a device, a broken link)", "remove it")
            if count > MAX_FILES:
                raise SourceError(f"{folder}: more than {MAX_FILES:,} files", "is this the right folder?")


def _leads_into(link: Path, roots: tuple[Path, ...]) -> bool:
    try:
        target = link.resolve()
    except (OSError, RuntimeError):  # a circle of links
        return False
    return any(target.is_relative_to(root) for root in roots)


def _not_utf8(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:  # bytes that are no UTF-8 come as lone surrogates
        return True
    return False


def content_hash(path: Path, most: int = MAX_BYTES) -> str:
    """SHA-256 of a file; of a folder, over the names and hashes of its files. Raises what ``files_below`` raises."""
    files = files_below(path, most)
    if path.is_file():
        return file_hash(path)
    digest = hashlib.sha256()
    for name, file in files.items():
        digest.update(f"{name}\0{file_hash(file)}\n".encode())
    return digest.hexdigest()


def file_hash(file: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def wrong_hash(what: str, expected: str, found: str) -> SourceError:
    """The error of a file that is not the one that was pinned."""
    return SourceError(
        f"{what}: wrong hash\n  expected sha256 {expected}\n  found    sha256 {found}",
        "if the change is wanted, pin the found hash; if not, do not use this file",
    )


def copy(files: Mapping[str, Path], out: Path, *, link: bool = False) -> None:
    """Copy files to their names below ``out``; with ``link``, as hard links where the file system allows.

    Links are for files that nobody changes in place, such as a hub's blobs: a user's own file is always copied.
    """
    require_space(out, 0 if link else total(files.values()))
    for name, file in files.items():
        target = out / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        if link:
            try:
                os.link(file.resolve(), target)
                continue
            except OSError:  # another file system, or one without links
                require_space(out, file.stat().st_size)
        shutil.copyfile(file, target)


def require_space(folder: Path, wanted: int) -> None:
    """Raise SourceError where ``folder`` has no room for ``wanted`` bytes."""
    free = shutil.disk_usage(folder).free
    if wanted > free:
        raise _disk_full(folder, f"{wanted / 1e6:,.0f} MB are needed, {free / 1e6:,.0f} MB are free")


#: What names of files can come to that another file system allows, or that an archive made up.
_NAMING = (errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ELOOP, errno.EINVAL, errno.EILSEQ)


@contextmanager
def os_errors_told(folder: Path) -> Iterator[None]:
    """Turn the system's "no space left" and "permission denied" into errors with a cure."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _disk_full(folder, "the disk filled up while fetching") from error
        if error.errno in (errno.EROFS, errno.EIO):
            problem = f"{folder}: {(error.strerror or 'input/output error').lower()} while fetching"
            raise SourceError(problem, "is the disk sound and mounted for writing?") from error
        if error.errno in _NAMING:
            problem = f"{str(error.filename or folder)[-120:]!r}: {(error.strerror or 'no such name').lower()}"
            raise SourceError(problem, "two of its names clash, or this file system can't have them") from error
        if isinstance(error, PermissionError):
            raise SourceError(
                f"{error.filename}: permission denied", "make it readable, or run as its owner"
            ) from error
        raise


def _disk_full(folder: Path, problem: str) -> SourceError:
    return SourceError(f"no disk space below {folder}: {problem}", "free some: `harness clean --older-than 7d`")


def nearest(wanted: str, names: Iterable[str]) -> list[str]:
    """Up to three names most like ``wanted``; first those that end with the same file name."""
    everything = list(names)
    same = [name for name in everything if PurePosixPath(name).name == PurePosixPath(wanted).name]
    return list(dict.fromkeys([*same, *difflib.get_close_matches(wanted, everything, n=3, cutoff=0.5)]))[:3]
