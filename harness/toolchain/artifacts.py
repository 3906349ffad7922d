"""Artifacts on disk, and the passes and exporters that make them: what the steps of a toolchain share."""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

from harness.contracts.artifact import MANIFEST, Artifact, ConversionError, Made, Manifest
from harness.contracts.cards import ExporterCard, Form, PassCard
from harness.contracts.files import hash_file
from harness.contracts.loading import load_file
from harness.contracts.values import Damaged, dump, read


def read_artifact(path: Path) -> Artifact:
    """The artifact in a folder. Raises ConversionError where the folder holds none, or a manifest that is damaged."""
    if not (path / MANIFEST).is_file():
        raise ConversionError(f"{path.name} is not an artifact: it has no {MANIFEST}")
    try:
        return Artifact(path, read(Manifest, path / MANIFEST))
    except Damaged as damage:
        raise ConversionError(f"{path.name}: {damage}") from None


def finish(manifest: Manifest, form: Form, made: Made, out: Path) -> None:
    """Write ``manifest.json`` of what was made: ``manifest`` with another form."""
    new = replace(
        manifest,
        format=form.format,
        precision=form.precision,
        weights=made.weights,
        extra=made.extra,
        provenance=[*manifest.provenance, *made.provenance],
        tools={**manifest.tools, **loaded_versions()},
    )
    (out / MANIFEST).write_text(json.dumps(dump(new), indent=2, ensure_ascii=False), "utf-8")


def require_weights(out: Path, made: Made) -> None:
    """Raise ConversionError unless every file that was named as weights is there and holds something."""
    missing = [name for name in made.weights if not (out / name).is_file() or not (out / name).stat().st_size]
    if missing or not made.weights:
        raise ConversionError(f"no weights were written: {', '.join(missing) or 'none were named'}")


def require_changed(source: Artifact, out: Path, made: Made) -> None:
    """Raise ConversionError where a pass left the weights as they were."""
    if sorted(map(hash_file, source.weights)) == sorted(hash_file(out / name) for name in made.weights):
        raise ConversionError("the pass changed nothing: the weights are the same as before")


def loaded_versions() -> dict[str, str]:
    """Name -> version of every installed distribution that was really imported, Python among them."""
    # A module that is None was kept from being imported.
    loaded = {name.partition(".")[0] for name, module in sys.modules.items() if module}
    owners = importlib.metadata.packages_distributions()
    found = {owner for package in loaded for owner in owners.get(package, ())}
    versions = {name: importlib.metadata.version(name) for name in sorted(found)}
    return {"python": ".".join(map(str, sys.version_info[:3])), **versions}


def tool(kind: str, name: str) -> ModuleType:
    """A module of ``passes`` or ``exporters``; modules beside their folders can be imported while it runs."""
    image = Path(os.environ["MATRIX_IMAGE_DIR"])
    stem = name.replace("-", "_")
    try:
        return load_file(image / kind / f"{stem}.py", f"matrix_{kind}_{stem}", siblings=image)
    except FileNotFoundError:
        raise ConversionError(f"this toolchain has no {name} among its {kind}") from None


def require_accepted(card: PassCard | ExporterCard, form: Form) -> None:
    """Raise ConversionError where the card does not take the form."""
    if form not in card.accepts:
        raise ConversionError(f"{card.name} takes {', '.join(map(str, card.accepts))}, not {form}")
