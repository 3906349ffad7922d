"""What is measured."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.contracts.adapter import Adapter
from harness.contracts.artifact import Manifest
from harness.contracts.cards import RuntimeCard
from harness.contracts.machine import Machine


@dataclass(frozen=True)
class Subject:
    """An artifact, in a runtime, on a device of a machine."""

    card: RuntimeCard
    adapter: type[Adapter]
    artifact: Path
    manifest: Manifest
    device: str
    threads: int
    machine: Machine

    @property
    def weights_bytes(self) -> int:
        """Size of the weight files, as the manifest names them."""
        return sum((self.artifact / name).stat().st_size for name in self.manifest.weights)

    def start(self) -> Adapter:
        """The runtime, imported, with no model in it."""
        return self.adapter(self.device, self.threads, self.card.mode)
