"""What a step's code is: the files that its entry modules import, found without running them.

A step runs with exactly these files laid out in a folder, so an import that was missed here fails at once, and a file that is
not here cannot change what the step does. Imports are read from the source (those inside functions too, those for type
checking not). Modules that are loaded by name (``harness.contracts.loading``) are named as entries.

Plug-ins add folders to the ``__path__`` of some packages; their modules are found under the same dotted names and are laid
out in the same places as ours.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import TypeAlias

PACKAGE = Path(__file__).resolve().parent.parent
NAME = PACKAGE.name

#: Packages that plug-ins add modules to, so that they are looked for below more than one folder.
OPEN = ("harness.tasks", "harness.datasets", "harness.zoo.datasets", "harness.zoo.models")

CACHE = "__pycache__"
IMAGE = "image"  #: where the files of an image's own folder are laid out


@dataclass(frozen=True)
class Closure:
    """Files by the place where they are laid out, such as ``harness/worker/measure.py`` or ``image/adapter.py``."""

    files: Mapping[str, Path]

    @cached_property
    def hash(self) -> str:
        """SHA-256 over places and contents."""
        digest = hashlib.sha256()
        for place, file in sorted(self.files.items()):
            digest.update(f"{place}\0{_content_hash(file)}\n".encode())
        return digest.hexdigest()

    def write(self, folder: Path) -> None:
        """Lay the files out; the folder appears all at once, with plain permissions whatever the umask is."""
        partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        for place, file in self.files.items():
            target = partial / place
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
        for path in (partial, *partial.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)

    def matches(self, folder: Path) -> bool:
        """Whether a folder holds exactly these files, but for their byte code."""
        files = (path for path in folder.rglob("*") if path.is_file() and path.parent.name != CACHE)
        return Closure({path.relative_to(folder).as_posix(): path for path in files}).hash == self.hash


#: Where the modules of our package lie, and of those that plug-ins may add to, now.
_Folders: TypeAlias = tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True)
class _Finder:
    """Finds our own modules by name, and those of one image, which are imported by their bare names."""

    image: Path | None
    names: frozenset[str]  # in the folder of the image, without their suffixes
    folders: _Folders
    files: dict[str, Path] = field(default_factory=dict)
    ours: dict[str, bool] = field(default_factory=dict)  # every name that was looked for: many files import the same

    def add(self, name: str) -> bool:
        """Add a module with the packages around it and all that they import; False where it is not one of ours."""
        if name not in self.ours:
            found = _in_package(name, self.folders) if name.split(".")[0] == NAME else self._in_image(name)
            self.ours[name] = bool(found)
            for place, file in found.items():
                self.add_file(place, file)
        return self.ours[name]

    def add_file(self, place: str, file: Path) -> None:
        """Add a file and all that it imports."""
        if place in self.files:
            return
        self.files[place] = file
        for module, taken in _imports(file):
            # What is taken from a module is a module of its own, or it stands in the module itself.
            if not (taken and self.add(f"{module}.{taken}")):
                self.add(module)

    def _in_image(self, name: str) -> dict[str, Path]:
        if self.image is None or name.split(".")[0] not in self.names:
            return {}
        path = self.image.joinpath(*name.split("."))
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if file.is_file():
                return {f"{IMAGE}/{file.relative_to(self.image).as_posix()}": file}
        return {}


def closure(modules: Iterable[str] = (), files: Iterable[Path] = (), image: Path | None = None) -> Closure:
    """What these modules of ours, and these files of an image's folder, import. Raises ModuleNotFoundError."""
    names = frozenset(path.stem for path in image.iterdir()) if image else frozenset()
    finder = _Finder(image, names, _folders())
    for name in modules:
        if not finder.add(name):
            raise ModuleNotFoundError(f"no module {name!r} below {PACKAGE}", name=name)
    for file in files:
        assert image is not None
        finder.add_file(f"{IMAGE}/{file.relative_to(image).as_posix()}", file)
    return Closure(dict(sorted(finder.files.items())))


def _folders() -> _Folders:
    return ((NAME, (str(PACKAGE),)), *((name, tuple(importlib.import_module(name).__path__)) for name in OPEN))


@cache  # closures share most of their modules
def _in_package(name: str, lie: _Folders) -> Mapping[str, Path]:
    """The files of a module and of the packages around it, by place; empty where there is no such module."""
    parts, known = name.split("."), dict(lie)
    folders = [Path(folder) for folder in known[NAME]]
    found = {f"{NAME}/__init__.py": folders[0] / "__init__.py"}
    for depth, part in enumerate(parts[1:], start=2):
        place = "/".join(parts[:depth])
        for folder in folders:
            if (module := folder / f"{part}.py").is_file():
                return found | {f"{place}.py": module} if depth == len(parts) else {}
            if (package := folder / part / "__init__.py").is_file():
                found[f"{place}/__init__.py"] = package
                joined = known.get(".".join(parts[:depth]))
                folders = [Path(path) for path in joined] if joined else [package.parent]
                break
        else:
            return {}
    return found


def _imports(file: Path) -> list[tuple[str, str | None]]:
    stat = file.stat()
    return _imports_of(file, stat.st_mtime_ns, stat.st_size)


@cache
def _imports_of(file: Path, modified_ns: int, size: int) -> list[tuple[str, str | None]]:
    """Every import of a file as (module, what is taken from it); the file's time and size keep the cache honest."""
    return list(_walk(ast.parse(file.read_bytes(), str(file))))


def _walk(tree: ast.AST) -> Iterator[tuple[str, str | None]]:
    """Imports are statements, so that expressions, which most of a tree is made of, are not looked at."""
    pending = [tree]
    while pending:
        match node := pending.pop():
            case ast.Import():
                yield from ((name.name, None) for name in node.names)
            case ast.ImportFrom():
                if node.level:
                    raise ValueError(f"line {node.lineno}: a relative import; name the module in full")
                yield from ((node.module or "", name.name) for name in node.names)
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                pending.extend(node.orelse)
            case ast.stmt() | ast.Module() | ast.ExceptHandler() | ast.match_case():
                for block in _BLOCKS:
                    pending.extend(getattr(node, block, ()))


#: The fields of a statement that hold statements, or the branches that do.
_BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")


def _content_hash(file: Path) -> str:
    stat = file.stat()
    return _content_hash_of(file, stat.st_mtime_ns, stat.st_size)


@cache
def _content_hash_of(file: Path, modified_ns: int, size: int) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
