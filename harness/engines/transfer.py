"""How the inputs of a step come to where it runs: jobs hold keys, and a transfer turns a key into a place there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from harness.contracts.files import hash_tree


class Shelf(Protocol):
    """The outputs of finished steps on this machine, by key: the store, as engines see it."""

    def folder(self, key: str) -> Path:
        """The output's folder, verified. Raises KeyError where it is not there, or not what it was."""

    def files(self, key: str) -> Mapping[str, str]:
        """SHA-256 of each of its files, by relative name. Raises KeyError."""


class Transfer(Protocol):
    """Brings inputs to one place."""

    def stage(self, key: str) -> str:
        """Where the output of a step lies at the place, whole and verified there. Raises KeyError, EnvironmentProblem."""


@dataclass(frozen=True)
class SharedDisk:
    """The place sees this machine's disk: nothing is moved, and the store verifies what it hands out."""

    shelf: Shelf

    def stage(self, key: str) -> str:
        """The store's own folder."""
        return str(self.shelf.folder(key).resolve())


@dataclass(frozen=True)
class PlainShelf:
    """Folders under names, outside any store: what the self-test and benchmarks lay out themselves."""

    folders: Mapping[str, Path]

    def folder(self, key: str) -> Path:
        """The folder of that name."""
        return self.folders[key]

    def files(self, key: str) -> Mapping[str, str]:
        """Hashed anew at each call."""
        return hash_tree(self.folders[key])
