"""Artifacts on disk: reading and writing ``manifest.json``, and telling whether weights changed."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.contracts.artifact import MANIFEST, Artifact, ConversionError, Made
from harness.contracts.cards import Form

#: What a manifest says of the use of its model: every pass and exporter carries it over.
FACTS = ("task", "call", "modality", "auto_class")


def read_artifact(path: Path) -> Artifact:
    """The artifact in a folder. Raises ConversionError where the folder holds none, or one that does not say its use."""
    try:
        manifest = json.loads((path / MANIFEST).read_text("utf-8"))
    except FileNotFoundError:
        raise ConversionError(f"{path.name} is not an artifact: it has no {MANIFEST}") from None
    if lacking := [name for name in FACTS if name not in manifest]:
        raise ConversionError(
            f"{path.name}: its {MANIFEST} does not say {lacking[0]!r}: make it again, with this version"
        )
    return Artifact(path, manifest)


def write_manifest(out: Path, manifest: Mapping[str, Any]) -> None:
    """Write ``manifest.json``."""
    (out / MANIFEST).write_text(json.dumps(manifest, indent=2, ensure_ascii=False), "utf-8")


def in_manifest(form: Form) -> dict[str, str]:
    """A form as manifests have it."""
    return {"format": form.format, "precision": form.precision}


def finish(manifest: Mapping[str, Any], made: Made, out: Path) -> None:
    """Write the manifest of a new artifact: ``manifest``, and what was made. Raises ConversionError without weights."""
    require_weights(out, made)
    new = {
        "weights": made.weights,
        "extra": made.extra,
        "provenance": [*manifest["provenance"], *made.provenance],
        "tools": {**manifest["tools"], **loaded_versions()},
    }
    write_manifest(out, {**manifest, **new})


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
