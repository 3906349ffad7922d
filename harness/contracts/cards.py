"""Cards: what a runtime, a pass or an exporter says of itself before anything heavy is imported.

Every ``passes/*.py`` and ``exporters/*.py`` below ``images/`` opens with a ``CARD``, every ``adapter.py`` with ``CARDS``. The
planner, ``--help`` and the documentation read cards anywhere; the library behind a card is imported inside its functions only.
Standard library only: this module travels into every image.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

#: How a model is run: one pass from inputs to named outputs; a prompt continued token by token, with a cache; an encoder's
#: output continued likewise.
CALLS = ("forward", "generate", "encode_decode")
#: What a model takes in.
MODALITIES = ("text", "image", "audio")

#: How far a pass may take a model's outputs from the original's, from narrow to wide: see harness/collect/fidelity.py.
TOLERANCES = ("exact", "fp16", "bf16", "int8", "int4", "other")


@dataclass(frozen=True, order=True)
class Form:
    """What an artifact is: its file format and the precision of its weights, written ``format/precision``."""

    format: str
    precision: str = "fp32"

    def __str__(self) -> str:
        return f"{self.format}/{self.precision}"

    @classmethod
    def parse(cls, text: str) -> Form:
        """Read ``"onnx/int8"``; a bare ``"onnx"`` means fp32."""
        name, _, precision = text.partition("/")
        return cls(name, precision or "fp32")

    def filled(self, source: Form, parameters: Mapping[str, Any] | None = None) -> Form:
        """This form with the fields of its precision filled in, lower case.

        ``{precision}`` is what goes in, any other field a parameter of the pass: ``gguf/{type}`` with ``type: Q4_K_M`` is
        ``gguf/q4_k_m``.
        """
        known = {"precision": source.precision, **(parameters or {})}
        return Form(self.format, self.precision.format_map(known).lower())


@dataclass(frozen=True, order=True)
class Use:
    """How a model is called and what it takes in: all that passes, exporters and runtimes know of what it is for.

    A task states both in its card. ``call`` is one of :data:`CALLS`, ``modality`` (of the input) one of :data:`MODALITIES`.
    """

    call: str
    modality: str

    def __str__(self) -> str:
        return f"{self.call} over {self.modality}"


@dataclass(frozen=True)
class Parameter:
    """One parameter of a pass: its default (whose type is the parameter's type), its meaning, and what it may be."""

    default: int | float | str | bool
    help: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()

    def problem(self, value: Any) -> str | None:
        """What is wrong with ``value``, or None."""
        wanted = type(self.default)
        if isinstance(value, bool) is not (wanted is bool) or not isinstance(
            value, (int, float) if wanted is float else wanted
        ):
            return f"expected {wanted.__name__}, got {value!r}"
        if self.choices and value not in self.choices:
            return f"expected one of {', '.join(self.choices)}, got {value!r}"
        if self.minimum is not None and float(value) < self.minimum:
            return f"expected at least {self.minimum:g}, got {value!r}"
        if self.maximum is not None and float(value) > self.maximum:
            return f"expected at most {self.maximum:g}, got {value!r}"
        return None


@dataclass(frozen=True)
class CostsBy:
    """What a pass may cost where that depends on one of its parameters: the tolerance for each value."""

    parameter: str
    tolerances: Mapping[str, str]


@dataclass(frozen=True)
class PassCard:
    """A compression pass. ``makes`` is None where the form stays what it was (pruning keeps ``hf/fp32``).

    ``costs`` is one of :data:`TOLERANCES`; a pass that does not say what it may cost is refused. Empty ``calls`` or
    ``modalities`` mean all of them.
    """

    name: str
    summary: str
    accepts: tuple[Form, ...]
    source: str
    costs: str | CostsBy
    makes: Form | None = None
    calls: tuple[str, ...] = ()
    modalities: tuple[str, ...] = ()
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    needs_training_data: bool = False
    device: str = "cpu"  # where it runs
    variant: str = ""  # of the image that holds it

    def result(self, form: Form, parameters: Mapping[str, Any]) -> Form:
        """The form that comes out when ``form`` goes in; ``parameters`` are complete, defaults included."""
        return self.makes.filled(form, parameters) if self.makes else form

    def tolerance(self, parameters: Mapping[str, Any]) -> str:
        """One of :data:`TOLERANCES`: what the pass may cost with these complete parameters; ``other`` where it can't tell."""
        if isinstance(self.costs, str):
            return self.costs
        return self.costs.tolerances.get(str(parameters.get(self.costs.parameter)), TOLERANCES[-1])

    def complete(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The value of every parameter: as given, else its default."""
        return {name: given.get(name, parameter.default) for name, parameter in self.parameters.items()}


@dataclass(frozen=True)
class ExporterCard:
    """A change of format that leaves the numbers alone, within the precision of the target."""

    name: str
    summary: str
    accepts: tuple[Form, ...]
    makes: Form
    source: str
    calls: tuple[str, ...] = ()
    modalities: tuple[str, ...] = ()
    device: str = "cpu"  # where it runs; what is made on a GPU belongs to that GPU
    variant: str = ""  # of the image that holds it

    def result(self, form: Form) -> Form:
        """The form that comes out when ``form`` goes in."""
        return self.makes.filled(form)


@dataclass(frozen=True)
class RuntimeCard:
    """A runtime: which forms it loads, on which devices, for which calls and modalities.

    One ``adapter.py`` may offer several: they differ in ``mode``, which the adapter is told (how the same library runs a
    model), or in ``variant``, the image that holds another build or another library of the same family.
    """

    name: str
    summary: str
    loads: tuple[Form, ...]
    devices: tuple[str, ...]
    source: str
    mode: str = ""
    variant: str = ""
    calls: tuple[str, ...] = ()
    modalities: tuple[str, ...] = ()
    distributions: tuple[str, ...] = ()  # PyPI names whose versions belong in the record
    cpu_only: tuple[Form, ...] = ()  # forms that it loads, but runs on the CPU only
    cpu_features: tuple[str, ...] = ()  # instruction sets that its kernels use, as machine.FEATURES names them

    def loads_on(self, device: str) -> tuple[Form, ...]:
        """The forms that the runtime can run on a device."""
        return tuple(form for form in self.loads if device == "cpu" or form not in self.cpu_only)


def serves(card: PassCard | ExporterCard | RuntimeCard, use: Use) -> bool:
    """Whether a card serves models with this use."""
    return (not card.calls or use.call in card.calls) and (not card.modalities or use.modality in card.modalities)
