"""Making artifacts: the interface of passes, exporters and the zoo's training.

An image's ``passes/<name>.py`` (``-`` in a name is ``_`` in the file) holds a ``CARD`` of type
:class:`harness.contracts.cards.PassCard` and ::

    def apply(source: Artifact, out: Path, parameters: Mapping[str, Any], context: Context) -> Made: ...

its ``exporters/<name>.py`` holds a ``CARD`` of type :class:`harness.contracts.cards.ExporterCard` and ::

    def export(source: Artifact, out: Path, context: Context) -> Made: ...

Both write every file of the new artifact into ``out`` (which exists and is empty), except ``manifest.json``. The runner
writes that one: it takes format and precision from the card, appends a pass to the list, and carries the provenance
over. ``source`` is read-only. ``parameters`` are validated against the card and complete, defaults included. Random
generators are seeded and thread counts are set before the call. Raise :class:`ConversionError` where the artifact
cannot be made for a reason that the reader of the report should see; any other exception also ends as
``convert-failed``, with its type before its message.

A pass must change the weights: where the files named in :attr:`Made.weights` hash to the same as the source's, the
runner fails the step. Standard library only: heavy libraries are imported inside functions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.contracts.cards import Form, Use

MANIFEST = "manifest.json"
MANIFEST_VERSION = 1


class ConversionError(Exception):
    """An artifact or a data set cannot be made; the message is one line for the reader of the report."""


@dataclass(frozen=True)
class AppliedPass:
    """One pass that was applied, as the manifest keeps it."""

    name: str
    toolchain: str
    parameters: dict[str, Any]
    effect: dict[str, Any]  # what it verifiably did
    source: str  # paper or manual
    costs: str  # the tolerance that it says it may cost


@dataclass(frozen=True)
class AppliedExport:
    """One change of format, as the manifest keeps it."""

    name: str
    toolchain: str
    effect: dict[str, Any]
    source: str


@dataclass(frozen=True)
class Manifest:
    """The content of ``manifest.json``: what an artifact is and where it comes from."""

    format: str
    precision: str
    task: str
    call: str
    modality: str
    auto_class: str  # of transformers: what builds the model
    weights: list[str]  # names of the files that count as weight size
    passes: list[AppliedPass] = field(default_factory=list)
    exports: list[AppliedExport] = field(default_factory=list)
    provenance: list[str] = field(default_factory=list)  # what a reader must know of where the weights come from
    tools: dict[str, str] = field(default_factory=dict)  # versions of what made it
    extra: dict[str, Any] = field(default_factory=dict)  # what else an adapter needs
    version: int = MANIFEST_VERSION

    def __post_init__(self) -> None:
        """Refuse another version, and weights outside the artifact's folder."""
        if self.version != MANIFEST_VERSION:
            raise ValueError(f"version: expected {MANIFEST_VERSION}, got {self.version}")
        for name in self.weights:
            if name.startswith("/") or ".." in name.split("/"):
                raise ValueError(f"weights: {name!r} lies outside the artifact")

    @property
    def form(self) -> Form:
        """File format and precision of the weights."""
        return Form(self.format, self.precision)

    @property
    def use(self) -> Use:
        """How the model is called and what it takes in."""
        return Use(self.call, self.modality)


@dataclass(frozen=True)
class Artifact:
    """A folder with weights, and what its ``manifest.json`` says."""

    path: Path
    manifest: Manifest

    @property
    def form(self) -> Form:
        """File format and precision of the weights."""
        return self.manifest.form

    @property
    def use(self) -> Use:
        """How the model is called and what it takes in."""
        return self.manifest.use

    @property
    def weights(self) -> list[Path]:
        """The files that count as weights, in the manifest's order."""
        return [self.path / name for name in self.manifest.weights]


@dataclass(frozen=True)
class Recipe:
    """How a model of a task is fine-tuned for a few minutes: what a pass that trains begins from, and may scale."""

    steps: int
    batch: int
    learning_rate: float


@dataclass(frozen=True)
class Context:
    """What a pass, an exporter or a training run may know of its surroundings.

    Passes and exporters go by ``use``, ``auto_class`` and ``recipe`` (zeros where a pass needs no training data); ``task`` is
    for ``harness.toolchain``, which reads the task's prepared data.
    """

    seed: int
    threads: int
    task: str
    use: Use
    auto_class: str  # of transformers: what builds a model for the task
    recipe: Recipe
    progress: Callable[[float, str], None]  # fraction done in 0..1, and what is being done
    inputs: Mapping[str, Path] = field(default_factory=dict)  # every input folder of the step by name, read-only


@dataclass(frozen=True)
class Made:
    """What a pass, an exporter or a training run made."""

    weights: list[str]  # names relative to ``out`` of the files that count as weight size
    effect: dict[str, Any] = field(default_factory=dict)  # verified facts, such as {"tensors_quantized": 211}
    extra: dict[str, Any] = field(default_factory=dict)  # what else an adapter needs; replaces the source's ``extra``
    provenance: list[str] = field(default_factory=list)  # sentences to add on where the weights come from
