"""Build contexts: plain folders that hold all that an image is made from.

``docker build .matrix/contexts/runtimes-onnxruntime`` makes the same image by hand.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness import __version__
from harness.catalog import Image, WheelSource, places
from harness.catalog.closure import Closure
from harness.provision import requirements
from harness.provision.wheels import link

#: What runs inside, by kind of image.
MODULES = {"runtimes": "harness.worker", "toolchains": "harness.toolchain"}
_NOTHING = "# Nothing from the system.\n"


def base_hash(base: Path) -> str:
    """What the base image depends on; ``debootstrap.sh`` computes the same."""
    sources = (base / "Dockerfile").read_bytes() + (base / "debootstrap.sh").read_bytes()
    return hashlib.sha256(sources).hexdigest()[:12]


@dataclass(frozen=True)
class Packages:
    """The wheels that an image installs."""

    own: list[Path]
    layer: list[Path] = field(default_factory=list)  # those of the layer that it shares
    compiled: list[Path] = field(default_factory=list)  # made on this machine: no lock file can know their hashes


def of_environment(image: Image, packages: Packages, base: str, folder: Path) -> None:
    """Write the build context of an environment: the lock files, the wheels, the Dockerfile with its arguments filled in.

    What lies in ``layer/`` is the same, to the byte, for all images that share the layer, so that the engine installs it once.
    Raises UsageError where the image's lock file has other versions than the layer's.
    """
    _empty(folder)
    arguments = {
        "BASE": base,
        "IMAGE": image.name,
        "VERSION": __version__,
        "ENVIRONMENT_HASH": image.environment_hash,
        "LAYER": image.layer.name if image.layer else "layers/none",
        "LAYER_HASH": image.layer.hash if image.layer else "none",
    }
    _write_dockerfile(image.dockerfile, arguments, folder)
    shared, own = requirements.split(image)
    link(packages.layer, folder / "layer" / "wheels")
    _write(folder / "layer" / "requirements.txt", shared)
    _write(folder / "requirements.txt", own)
    link(packages.own, folder / "wheels")
    link(packages.compiled, folder / "compiled")
    _write(folder / "system.sh", image.system.read_text("utf-8") if image.system else _NOTHING)
    _write(folder / "smoke.py", f"{image.smoke}\n")


def of_hand(image: Image, environment: str, code: Closure, folder: Path) -> None:
    """Write the small build context that puts code into the image ``environment``, to be run by hand."""
    _empty(folder)
    source = places.shared(image.root, "Dockerfile.hand")
    _write_dockerfile(source, {"ENVIRONMENT": environment, "CODE_HASH": code.hash}, folder)
    text = (folder / "Dockerfile").read_text("utf-8")
    _write(folder / "Dockerfile", text.replace(MODULES["runtimes"], MODULES[image.kind]))
    code.write(folder / "code")


def of_compile(source: WheelSource, files: list[Path], base: str, folder: Path) -> None:
    """Write the build context in which a package is compiled: its sources, its script, the Dockerfile of all of them."""
    _empty(folder)
    shutil.copytree(source.path, folder / "recipe", copy_function=shutil.copyfile)
    link(files, folder / "sources")
    arguments = {"BASE": base, "PACKAGE": source.package, "SYSTEM": " ".join(source.system)}
    _write_dockerfile(source.dockerfile, arguments, folder)


def _empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def _write(file: Path, text: str) -> None:
    """With plain permissions, whatever the umask is: the builder's cache looks at them."""
    file.write_text(text, "utf-8")
    file.chmod(0o644)


def _write_dockerfile(source: Path, arguments: Mapping[str, str], folder: Path) -> None:
    """The Dockerfile with the defaults of its arguments filled in, so that the folder builds by hand as well."""
    text = source.read_text("utf-8")
    for name, value in arguments.items():
        text = re.sub(rf"^ARG {name}=.*$", f'ARG {name}="{value}"', text, flags=re.MULTILINE)
    _write(folder / "Dockerfile", text)
