"""Folders from elsewhere: ``--images DIR``, and packages that are installed beside this one.

A plug-in is an importable package that an entry point of the group ``compression_matrix.plugins`` names. Its folder may hold
``images/``, laid out like ours, and modules in ``tasks/``, ``engines/``, ``datasets/`` (readers), ``zoo/datasets/`` and
``zoo/models/``. These folders are appended to the ``__path__`` of our packages, so ``tasks/x.py`` of a plug-in is found as
``harness.tasks.x``. The package itself is not imported.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from harness.catalog import Catalog, load_catalog, places
from harness.catalog.names import twice
from harness.errors import EnvironmentProblem, UsageError

GROUP = "compression_matrix.plugins"

#: Folder of a plug-in -> the package that its modules join.
PACKAGES = {
    "tasks": "harness.tasks",
    "engines": "harness.engines",
    "datasets": "harness.datasets",
    "zoo/datasets": "harness.zoo.datasets",
    "zoo/models": "harness.zoo.models",
}


@dataclass(frozen=True)
class Plugin:
    """An installed package that adds folders."""

    name: str  # of the entry point
    distribution: str  # what pip calls it
    folder: Path


def installed() -> list[Plugin]:
    """The plug-ins of this environment, by name. Raises EnvironmentProblem for one whose package is not there."""
    return sorted(map(_plugin, metadata.entry_points(group=GROUP)), key=lambda plugin: plugin.name)


def load(extra: Sequence[Path] = ()) -> Catalog:
    """Our catalog with all that plug-ins add, and with the folders of images in ``extra``.

    Raises UsageError where a name is there twice, or where a folder of ``extra`` holds no image.
    """
    found = installed()
    for plugin in found:
        extend(plugin.folder)
    for folder in extra:
        if not any(folder.glob("*/*/*.yaml")):
            raise UsageError(
                f"{folder} holds no images",
                "name a folder with runtimes/, toolchains/, wheels/ or layers/, each with folders inside",
            )
    theirs = [plugin.folder / "images" for plugin in found if (plugin.folder / "images").is_dir()]
    return load_catalog(*dict.fromkeys(folder.resolve() for folder in (places.images(), *theirs, *extra)))


def extend(folder: Path) -> None:
    """Let the modules of a plug-in's folder be found below our packages.

    Raises UsageError where a module of that name is there already.
    """
    for part, name in PACKAGES.items():
        here = folder / part
        if not here.is_dir():
            continue
        path = importlib.import_module(name).__path__
        if str(here) in path:
            continue
        taken = dict(_modules(path))
        for module, file in _modules([str(here)]):
            if module in taken:
                raise twice(f"module of {name}", module, taken[module], file)
        path.append(str(here))


def _modules(path: Sequence[str]) -> Iterator[tuple[str, Path]]:
    for folder in path:
        for module in pkgutil.iter_modules([folder]):
            yield module.name, Path(folder, module.name if module.ispkg else f"{module.name}.py")


def _plugin(entry: metadata.EntryPoint) -> Plugin:
    distribution = entry.dist.name if entry.dist else entry.name
    try:
        spec = importlib.util.find_spec(entry.module)
    except ModuleNotFoundError:
        spec = None
    if spec is None or not spec.submodule_search_locations:
        problem = (
            f"the plug-in {entry.name!r} of {distribution} names {entry.module!r}, which is not an installed package"
        )
        raise EnvironmentProblem(problem, f"install it again, or remove it: pip uninstall {distribution}")
    return Plugin(entry.name, distribution, Path(next(iter(spec.submodule_search_locations))))
