"""Images, their variants, and what they share: what ``image.yaml``, ``wheel.yaml`` and ``layer.yaml`` say."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from harness.catalog import places
from harness.errors import UsageError


def hash_files(paths: Iterable[Path], *roots: Path) -> str:
    """SHA-256 over the names (relative to the first root that holds them) and the bytes of files, and of all below folders.

    The same files have the same hash wherever their roots lie.
    """
    digest = hashlib.sha256()
    named = [(_relative(path, roots), path) for path in _files(paths)]
    for name, path in sorted(named):
        digest.update(name.encode() + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _relative(path: Path, roots: Iterable[Path]) -> str:
    return next(path.relative_to(root).as_posix() for root in roots if path.is_relative_to(root))


def _files(paths: Iterable[Path]) -> set[Path]:
    found: set[Path] = set()
    for path in paths:
        found.update(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else found.add(path)
    return {p for p in found if "__pycache__" not in p.parts}


@dataclass(frozen=True)
class WheelSource:
    """``images/wheels/<package>/``: how a package is compiled that its index has no wheel of, and what that needs."""

    package: str
    path: Path
    packages: tuple[str, ...]  # the package itself and its build tools; requirements.txt is locked from them
    system: tuple[str, ...]  # Debian packages that the build needs
    build_s: int

    @property
    def name(self) -> str:
        """Such as ``wheels/llama-cpp-python``."""
        return f"wheels/{self.package}"

    @property
    def requirements(self) -> Path:
        """The locked, hashed source distribution and build tools."""
        return self.path / "requirements.txt"

    @property
    def dockerfile(self) -> Path:
        """What all packages are compiled by."""
        return places.shared(self.path.parent.parent, "wheels", "Dockerfile")

    @property
    def script(self) -> Path:
        """``build.sh SOURCES OUT``: compile the package in the folder SOURCES into a wheel in the folder OUT."""
        return self.path / "build.sh"

    @cached_property
    def hash(self) -> str:
        """What the wheel depends on, but for the machine that compiles it."""
        return hash_files([self.path], self.path)


@dataclass(frozen=True)
class Layer:
    """``images/layers/<name>/``: packages that several images install once, as a layer that they share."""

    name: str  # such as "layers/torch"
    path: Path
    packages: tuple[str, ...]  # what requirements.txt is locked from

    @property
    def requirements(self) -> Path:
        """The locked, hashed requirements; each is also one of every image that has the layer."""
        return self.path / "requirements.txt"

    @cached_property
    def hash(self) -> str:
        """What the layer depends on, but for the Dockerfile that installs it."""
        return hash_files([self.requirements], self.path)


@dataclass(frozen=True)
class Image:
    """One folder below ``images/``, or a variant of it, and what its ``image.yaml`` says."""

    name: str  # such as "runtimes/onnxruntime", "runtimes/onnxruntime.gpu"
    path: Path
    variant: str
    summary: str
    packages: tuple[str, ...]  # what requirements.txt is locked from
    smoke: str  # the import that the build ends with
    disk_mb: int
    build_s: int
    compiled: tuple[WheelSource, ...] = ()  # packages that are compiled for it
    layer: Layer | None = None  # those of its packages that it shares with other images

    @property
    def kind(self) -> str:
        """``runtimes`` or ``toolchains``."""
        return self.name.split("/")[0]

    @property
    def slug(self) -> str:
        """The name as part of a file name or of an image tag."""
        return self.name.replace("/", "-")

    @property
    def requirements(self) -> Path:
        """The locked, hashed requirements."""
        return self.path / (f"requirements.{self.variant}.txt" if self.variant else "requirements.txt")

    @property
    def dockerfile(self) -> Path:
        """Its own, else that of all images."""
        own = self.path / "Dockerfile"
        return own if own.exists() else places.shared(self.root, "Dockerfile")

    @property
    def system(self) -> Path | None:
        """``system.sh``, which installs what it needs from its system, or None."""
        own = self.path / "system.sh"
        return own if own.exists() else None

    @property
    def root(self) -> Path:
        """The folder of images that it lies in: the package's own, or a plug-in's."""
        return self.path.parent.parent

    @property
    def base(self) -> Path:
        """What the base image is made from."""
        return places.shared(self.root, "base")

    @cached_property
    def environment_hash(self) -> str:
        """What the installed environment depends on: lock files, Dockerfile, base image sources, compiled packages.

        Raises UsageError where the lock file is missing.
        """
        if not self.requirements.exists():
            raise UsageError(f"{self.requirements} is missing", f"harness lock {self.name}")
        shared = [source.path for source in self.compiled] + ([self.layer.requirements] if self.layer else [])
        shared += [self.system] if self.system else []
        roots = [self.root, places.images(), *(source.path.parents[1] for source in self.compiled)]
        roots += [self.layer.path.parents[1]] if self.layer else []
        return hash_files([self.requirements, self.dockerfile, self.base, *shared], *roots)
