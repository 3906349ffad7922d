"""Artifacts on disk: reading and writing ``manifest.json``, and telling whether weights changed."""

from __future__ import annotations

import hashlib
import importlib.metadata
import sys
from dataclasses import replace
from pathlib import Path

from harness.contracts import values
from harness.contracts.artifact import MANIFEST, Artifact, ConversionError, Made, Manifest
from harness.contracts.files import write_json


def read_artifact(path: Path) -> Artifact:
    """The artifact in a folder. Raises ConversionError where the folder holds none, or a manifest that is not whole."""
    if not (path / MANIFEST).is_file():
        raise ConversionError(f"{path.name} is not an artifact: it has no {MANIFEST}")
    try:
        return Artifact(path, values.read(Manifest, path / MANIFEST))
    except values.Damaged as damage:
        raise ConversionError(f"{path.name}: {damage}: make it again, with this version") from None


def finish(begun: Manifest, made: Made, out: Path) -> None:
    """Write the manifest of a new artifact: ``begun``, and what was made. Raises ConversionError without weights."""
    require_weights(out, made)
    whole = replace(
        begun,
        weights=list(made.weights),
        extra=dict(made.extra),
        provenance=[*begun.provenance, *made.provenance],
        tools={**begun.tools, **loaded_versions()},
    )
    write_json(out / MANIFEST, values.dump(whole))


def require_weights(out: Path, made: Made) -> None:
    """Raise ConversionError unless every file that was named as weights is there and holds something."""
    missing = [name for name in made.weights if not (out / name).is_file() or not (out / name).stat().st_size]
    if missing or not made.weights:
        raise ConversionError(f"no weights were written: {', '.join(missing) or 'none were named'}")


def require_changed(source: Artifact, out: Path, made: Made) -> None:
    """Raise ConversionError where a pass left the weights as they were."""
    if sorted(map(_hash, source.weights)) == sorted(_hash(out / name) for name in made.weights):
        raise ConversionError("the pass changed nothing: the weights are the same as before")


def loaded_versions() -> dict[str, str]:
    """Name -> version of every installed distribution that was really imported, Python among them."""
    # A module that is None was kept from being imported.
    loaded = {name.partition(".")[0] for name, module in sys.modules.items() if module}
    owners = importlib.metadata.packages_distributions()
    found = {owner for package in loaded for owner in owners.get(package, ())}
    versions = {name: importlib.metadata.version(name) for name in sorted(found)}
    return {"python": ".".join(map(str, sys.version_info[:3])), **versions}


def _hash(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
