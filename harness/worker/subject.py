"""What is measured: the artifact, and the runtime of this image that loads it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from harness.contracts import machine, values
from harness.contracts.adapter import Adapter, Unsupported
from harness.contracts.artifact import MANIFEST, Manifest
from harness.contracts.cards import RuntimeCard
from harness.contracts.loading import load_file
from harness.contracts.step import MachineName


@dataclass(frozen=True)
class Subject:
    """An artifact, in a runtime, on a device of a machine."""

    card: RuntimeCard
    adapter: type[Adapter]
    artifact: Path
    manifest: Manifest
    device: str
    threads: int
    machine: machine.Machine

    @property
    def weights_bytes(self) -> int:
        """Size of the weight files, as the manifest names them."""
        return sum((self.artifact / name).stat().st_size for name in self.manifest.weights)

    def start(self) -> Adapter:
        """The runtime, imported, with no model in it."""
        return self.adapter(self.device, self.threads, self.card.mode)


class UserError(Exception):
    """A wrong folder or option, told in one line."""


@cache
def _adapter_module() -> Any:
    """The adapter of this image; modules beside it can be imported while it runs."""
    folder = Path(os.environ["MATRIX_IMAGE_DIR"])
    return load_file(folder / "adapter.py", "matrix_adapter", siblings=folder)


def cards() -> tuple[RuntimeCard, ...]:
    """The cards of the runtimes that this image offers."""
    found: tuple[RuntimeCard, ...] = _adapter_module().CARDS
    return found


def subject_of(
    artifact: Path, runtime: str | None, device: str, threads: int, name: MachineName | None = None
) -> Subject:
    """The artifact in the runtime of that name, or in the first that loads it; ``name`` is the machine's. Raises UserError."""
    if not (artifact / MANIFEST).is_file():
        raise UserError(f"{artifact} holds no {MANIFEST}; make an artifact with `harness artifact CELL --out DIR`")
    try:
        manifest = values.read(Manifest, artifact / MANIFEST)
    except values.Damaged as damage:
        raise UserError(f"{artifact}: {damage}; make the artifact again, with this version") from None
    form = str(manifest.form)
    asked = [card for card in cards() if runtime in (None, card.name)]
    for card in asked:
        if device in card.devices and form in map(str, card.loads_on(device)):
            here = machine.describe(name.name, name.id) if name else machine.describe()
            return Subject(card, _adapter_module().Adapter, artifact, manifest, device, threads, here)
    loaded = sorted({str(form) for card in asked if device in card.devices for form in card.loads_on(device)})
    names = " or ".join(card.name for card in asked)
    raise UserError(f"{names} does not load {form} on {device}; it loads {', '.join(loaded) or 'nothing there'}")


def status_of(error: Exception) -> str:
    """Tell out of memory from a crash, by the names that runtimes give it."""
    if isinstance(error, Unsupported):
        return "unsupported"
    text = f"{type(error).__name__} {error}".lower()
    if "cuda" in text and "out of memory" in text:
        return "oom-gpu"
    if isinstance(error, MemoryError) or "bad_alloc" in text or "failed to allocate memory" in text:
        return "oom-host"
    return "crashed"


def one_line(error: Exception) -> str:
    """The type of an error and its message; the message alone where it was written to be read."""
    told = isinstance(error, (Unsupported, UserError))
    text = " ".join((str(error) if told else f"{type(error).__name__}: {error}").split())
    return text if len(text) <= 300 else text[:299] + "…"
