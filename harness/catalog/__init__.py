"""The catalog: every image, runtime, pass and exporter that the tree holds, found by looking at its folders.

Nobody edits a list: the ``adapter.py`` of ``images/runtimes/<name>/`` names one runtime or several, and in
``images/toolchains/<name>/`` every ``passes/x.py`` is a pass, every ``exporters/x.py`` an exporter.
Cards are read by importing the module, which must not import its library at the top.

A folder may hold variants of its image: the same Dockerfile and code with another lock file. The variant called ``gpu`` is what
cells on a GPU run in. ``images/wheels/<package>/`` compiles a package that has no wheels, for the images that name it, and
``images/layers/<name>/`` holds packages that images share as one layer of their file systems.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import yaml

from harness.catalog import places
from harness.catalog.cards import incomplete, require_known
from harness.catalog.images import Image, Layer, WheelSource, hash_files
from harness.catalog.names import unique
from harness.contracts.cards import ExporterCard, PassCard, RuntimeCard
from harness.contracts.loading import load_file
from harness.errors import UsageError

__all__ = ["Catalog", "Image", "Layer", "Runtime", "Tool", "WheelSource", "hash_files", "load_catalog"]

C = TypeVar("C")
K = TypeVar("K", PassCard, ExporterCard)

PACKAGE = places.PACKAGE

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's reads ten times faster, where it is there
GPU = "gpu"  # the variant for cells on a GPU


@dataclass(frozen=True)
class Runtime:
    """A runtime and the image that holds it."""

    card: RuntimeCard
    image: Image
    module: Path


@dataclass(frozen=True)
class Tool:
    """A pass or an exporter, and the toolchain image that holds it."""

    card: PassCard | ExporterCard
    image: Image
    module: Path


@dataclass(frozen=True)
class Catalog:
    """All that can be used."""

    images: dict[str, Image] = field(default_factory=dict)
    runtimes: dict[str, Runtime] = field(default_factory=dict)
    passes: tuple[Tool, ...] = ()
    exporters: tuple[Tool, ...] = ()
    wheels: dict[str, WheelSource] = field(default_factory=dict)
    layers: dict[str, Layer] = field(default_factory=dict)

    def image_of(self, runtime: Runtime, device: str) -> Image:
        """The image that runs a runtime on a device: on a GPU its ``gpu`` variant, where it has one."""
        gpu = self.images.get(_variant_name(runtime.image.name, GPU))
        return gpu if device != "cpu" and gpu else runtime.image

    def passes_named(self, name: str) -> list[Tool]:
        """Every implementation of a pass; different toolchains may each have one."""
        return [tool for tool in self.passes if tool.card.name == name]


def load_catalog(*roots: Path) -> Catalog:
    """Read folders of images, those of the package where none is named; plug-ins come by ``plugins.load``.

    Raises UsageError where a file there does not keep its contract, or where a name is there twice.
    """
    roots = roots or (places.images(),)
    wheels = unique(
        "compiled package", ((s.package, s.path, s) for root in roots for s in _wheel_sources(root / "wheels"))
    )
    files = sorted(file for root in roots for file in root.glob("layers/*/layer.yaml"))
    layers = unique("layer", ((file.parent.name, file, _layer(file)) for file in files))
    found = unique("image", ((i.name, i.path, i) for root in roots for i in _images(root, wheels, layers)))
    runtimes: list[Runtime] = []
    passes: list[Tool] = []
    exporters: list[Tool] = []
    for image in found.values():
        if image.variant:
            continue  # the same folder: its cards say which variant they are in
        if image.kind == "runtimes":
            file = image.path / "adapter.py"
            runtimes.extend(Runtime(card, _holder(found, image, card, file), file) for card in _cards(file))
        for file in sorted(image.path.glob("passes/*.py")):
            a_pass = _card(file, PassCard)
            passes.append(Tool(a_pass, _holder(found, image, a_pass, file), file))
        for file in sorted(image.path.glob("exporters/*.py")):
            exporter = _card(file, ExporterCard)
            exporters.append(Tool(exporter, _holder(found, image, exporter, file), file))
    by_name = unique("runtime", ((runtime.card.name, runtime.module, runtime) for runtime in runtimes))
    return Catalog(found, by_name, tuple(passes), tuple(exporters), wheels, layers)


def _variant_name(image: str, variant: str) -> str:
    return f"{image}.{variant}"


def _holder(found: dict[str, Image], image: Image, card: RuntimeCard | PassCard | ExporterCard, file: Path) -> Image:
    """The image, or the variant of it that a card names."""
    if not card.variant:
        return image
    try:
        return found[_variant_name(image.name, card.variant)]
    except KeyError:
        problem = f"{file}: the card {card.name!r} names the variant {card.variant!r}, which image.yaml does not have"
        raise UsageError(problem, f"add it under `variants` of {image.path / 'image.yaml'}") from None


def _images(root: Path, wheels: dict[str, WheelSource], layers: dict[str, Layer]) -> Iterator[Image]:
    for file in sorted(root.glob("*/*/image.yaml")):
        name = file.parent.relative_to(root).as_posix()
        text = _described(file)
        yield _image(file, name, "", text, wheels, layers)
        for variant, own in text.get("variants", {}).items():
            yield _image(file, _variant_name(name, variant), variant, own, wheels, layers)


def _image(
    file: Path,
    name: str,
    variant: str,
    text: dict[str, Any],
    wheels: dict[str, WheelSource],
    layers: dict[str, Layer],
) -> Image:
    try:
        return Image(
            name=name,
            path=file.parent,
            variant=variant,
            summary=text["summary"],
            packages=tuple(text["packages"]),
            smoke=text["smoke"],
            disk_mb=text["disk_mb"],
            build_s=text["build_s"],
            compiled=tuple(_there(file, wheels, package, "wheels") for package in text.get("compiled", ())),
            layer=_there(file, layers, text["layer"], "layers") if "layer" in text else None,
        )
    except KeyError as missing:
        raise UsageError(f"{file}: {missing} is missing", "see CONTRIBUTING.md, add a runtime") from None


def _there(file: Path, found: dict[str, C], name: str, folder: str) -> C:
    if name not in found:
        raise UsageError(f"{file}: names {name!r}, which is not below images/{folder}", f"one of: {', '.join(found)}")
    return found[name]


def _wheel_sources(root: Path) -> Iterator[WheelSource]:
    for file in sorted(root.glob("*/wheel.yaml")):
        text = _described(file)
        try:
            parts = tuple(text["packages"]), tuple(text["system"]), int(text["build_s"])
        except KeyError as missing:
            raise UsageError(
                f"{file}: the key {missing} is missing", "see CONTRIBUTING.md, packages without wheels"
            ) from None
        yield WheelSource(file.parent.name, file.parent, *parts)


def _layer(file: Path) -> Layer:
    try:
        return Layer(f"layers/{file.parent.name}", file.parent, tuple(_described(file)["packages"]))
    except KeyError as missing:
        raise UsageError(f"{file}: the key {missing} is missing", "see CONTRIBUTING.md, shared layers") from None


def _described(file: Path) -> dict[str, Any]:
    """What a yaml file holds. Raises UsageError where it is no YAML, or no mapping."""
    try:
        text = yaml.load(file.read_text("utf-8"), _Loader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{file}: not valid YAML: {' '.join(str(error).split())}", "see CONTRIBUTING.md") from None
    if not isinstance(text, dict):
        raise UsageError(f"{file}: expected a mapping", "see CONTRIBUTING.md")
    return text


def _cards(file: Path) -> tuple[RuntimeCard, ...]:
    cards = getattr(_module(file), "CARDS", None)
    if not isinstance(cards, tuple) or not cards or not all(isinstance(card, RuntimeCard) for card in cards):
        raise UsageError(f"{file}: has no CARDS of type RuntimeCard", "open the file with CARDS = (RuntimeCard(...),)")
    for card in cards:
        require_known(card, file)
    return cards


def _card(file: Path, kind: type[K]) -> K:
    card = getattr(_module(file), "CARD", None)
    if not isinstance(card, kind):
        raise UsageError(
            f"{file}: has no CARD of type {kind.__name__}", f"open the file with CARD = {kind.__name__}(...)"
        )
    require_known(card, file)
    return card


def _module(file: Path) -> ModuleType:
    with _siblings(file.parents[1] if file.parent.name in ("passes", "exporters") else file.parent):
        try:
            return load_file(file, f"_matrix_{file.parent.name}_{file.stem}_{abs(hash(file))}")
        except TypeError as error:
            if problem := incomplete(file, error):
                raise problem from error
            raise


@contextmanager
def _siblings(folder: Path) -> Iterator[None]:
    """Let a card's module import those that its image shares; they are forgotten again, for images may use the same names."""
    before = set(sys.modules)
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in set(sys.modules) - before:
            if (found := getattr(sys.modules[name], "__file__", None)) and Path(found).parent == folder:
                del sys.modules[name]
