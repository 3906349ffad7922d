"""The catalog: every image, runtime, pass and exporter that the tree holds, found by looking at its folders.

Nobody edits a list: ``images/runtimes/<name>/`` with its ``adapter.py`` is a runtime, and in
``images/toolchains/<name>/`` every ``passes/x.py`` is a pass, every ``exporters/x.py`` an exporter.
Cards are read by importing the module, which must not import its library at the top.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import yaml

from harness.cards import ExporterCard, PassCard, RuntimeCard
from harness.errors import UsageError

C = TypeVar("C")

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = Path(__file__).resolve().parent

#: What travels into every image besides its own folder, by kind of image; also what its rebuild depends on.
PORTABLE = ("__init__.py", "cards.py", "tasks")
CODE = {"runtimes": (*PORTABLE, "worker"), "toolchains": (*PORTABLE, "making.py", "zoo", "toolchain")}


def hash_files(paths: Iterable[Path], root: Path) -> str:
    """SHA-256 over the names (relative to ``root``) and the bytes of files and of all files below folders."""
    digest = hashlib.sha256()
    for path in sorted(_files(paths)):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _files(paths: Iterable[Path]) -> set[Path]:
    found: set[Path] = set()
    for path in paths:
        found.update(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else found.add(path)
    return {p for p in found if "__pycache__" not in p.parts}


@dataclass(frozen=True)
class Image:
    """One folder below ``images/`` and what its ``image.yaml`` says."""

    name: str  # such as "runtimes/onnxruntime"
    path: Path
    summary: str
    packages: tuple[str, ...]  # what requirements.txt is locked from
    smoke: str  # the import that the build ends with
    disk_mb: int
    build_s: int

    @property
    def kind(self) -> str:
        """``runtimes`` or ``toolchains``."""
        return self.name.split("/")[0]

    @property
    def requirements(self) -> Path:
        """The locked, hashed requirements."""
        return self.path / "requirements.txt"

    @cached_property
    def environment_hash(self) -> str:
        """What the installed environment depends on: lock file, Dockerfile, base image sources."""
        base = self.path.parent.parent / "base"
        return hash_files([self.requirements, self.path / "Dockerfile", base], self.path.parent.parent)

    @cached_property
    def source_hash(self) -> str:
        """What the whole image depends on: its environment and all code that it carries."""
        own = hash_files([self.path], self.path)
        code = hash_files([PACKAGE / name for name in CODE[self.kind]], PACKAGE)
        return hashlib.sha256((self.environment_hash + own + code).encode()).hexdigest()


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
    _hashes: dict[tuple[str, tuple[Path, ...]], str] = field(default_factory=dict, repr=False, compare=False)

    def code(self, image: Image, *more: str | Path) -> str:
        """Hash of what a toolchain step depends on: its environment, the step runner, and ``more``.

        ``more`` names parts of the package (``"tasks"``) or files of the image's own folder, so that changing one pass leaves
        the artifacts of all others alone.
        """
        parts = tuple(PACKAGE / part for part in ("cards.py", "making.py", "toolchain", *more))
        if (image.name, parts) not in self._hashes:
            code = hash_files(parts, ROOT)
            self._hashes[image.name, parts] = hashlib.sha256((image.environment_hash + code).encode()).hexdigest()
        return self._hashes[image.name, parts]

    def passes_named(self, name: str) -> list[Tool]:
        """Every implementation of a pass; different toolchains may each have one."""
        return [tool for tool in self.passes if tool.card.name == name]


def load_catalog(images: Path = ROOT / "images") -> Catalog:
    """Read the tree below ``images``."""
    found = {image.name: image for image in _images(images)}
    runtimes = {}
    passes: list[Tool] = []
    exporters: list[Tool] = []
    for image in found.values():
        if image.kind == "runtimes":
            card = _card(image.path / "adapter.py", RuntimeCard)
            runtimes[card.name] = Runtime(card, image, image.path / "adapter.py")
        for module in sorted(image.path.glob("passes/*.py")):
            passes.append(Tool(_card(module, PassCard), image, module))
        for module in sorted(image.path.glob("exporters/*.py")):
            exporters.append(Tool(_card(module, ExporterCard), image, module))
    return Catalog(found, runtimes, tuple(passes), tuple(exporters))


def _images(root: Path) -> Iterable[Image]:
    for file in sorted(root.glob("*/*/image.yaml")):
        text: dict[str, Any] = yaml.safe_load(file.read_text("utf-8"))
        try:
            yield Image(
                name=file.parent.relative_to(root).as_posix(),
                path=file.parent,
                summary=text["summary"],
                packages=tuple(text["packages"]),
                smoke=text["smoke"],
                disk_mb=text["disk_mb"],
                build_s=text["build_s"],
            )
        except KeyError as missing:
            raise UsageError(f"{file}: the key {missing} is missing", "see docs/contributing: add a runtime") from None


def _card(file: Path, kind: type[C]) -> C:
    card = getattr(_module(file), "CARD", None)
    if not isinstance(card, kind):
        raise UsageError(
            f"{file}: has no CARD of type {kind.__name__}", f"open the file with CARD = {kind.__name__}(...)"
        )
    return card


def _module(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"_matrix_{file.parent.name}_{file.stem}_{abs(hash(file))}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
