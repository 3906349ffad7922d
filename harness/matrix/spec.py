"""``matrix.yaml``: what a user may write, validated. A mistake is reported with its line, the cure beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from harness import tasks, zoo
from harness.catalog import Catalog
from harness.errors import UsageError
from harness.matrix import source
from harness.matrix.document import Document, Location, MatrixError, Mistake, did_you_mean, read
from harness.matrix.expand import idle_includes

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600}
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
AXES = ("model", "method", "runtime", "device", "workload")


def _bytes(value: Any) -> Any:
    if isinstance(value, str) and (match := re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", value)):
        number, unit = match.groups()
        if unit.upper() in _UNITS:
            return int(float(number) * _UNITS[unit.upper()])
    if isinstance(value, str):
        raise ValueError("expected a size such as 4GiB or 500MB")
    return value


def _duration(value: Any) -> Any:
    if isinstance(value, str) and (match := re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smh]?)\s*", value)):
        return float(match[1]) * _SECONDS[match[2]]
    if isinstance(value, str):
        raise ValueError("expected a duration such as 90s, 10m or 1h")
    return value


Name = Annotated[str, Field(pattern=NAME_PATTERN, max_length=100)]
Bytes = Annotated[int, BeforeValidator(_bytes, json_schema_input_type=int | str), Field(ge=2**26)]
Seconds = Annotated[float, BeforeValidator(_duration, json_schema_input_type=float | str), Field(gt=0)]
Workload = dict[str, Annotated[int, Field(ge=1)]]


class _Part(BaseModel):
    """Base of all parts of the file: immutable, strict, and without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Model(_Part):
    """A model: where it comes from, what it is for, what it is judged on."""

    name: Name
    source: str = Field(description="`hf:org/name@revision`, `pypi:package==version/path`, `path:./dir` or `zoo:name`")
    sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$", description="of the wheel, for `pypi:` sources")
    task: str = Field(description="such as `text-generation`, `token-classification`, `image-classification`")
    dataset: str = Field(description="`zoo:name` or `path:./file`, with held-out examples")
    trust: bool = Field(False, description="allow pickled weights and code that comes with the model")
    workloads: list[Workload] | None = Field(None, description="instead of the matrix's own for this task")


class PassUse(_Part):
    """One pass of a method, with its parameters: `fp16`, or `{magnitude: {sparsity: 0.5}}`."""

    name: str
    parameters: dict[str, int | float | str | bool] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"name": value}
        if isinstance(value, dict) and len(value) == 1 and "name" not in value:
            ((name, parameters),) = value.items()
            return {"name": name, "parameters": parameters or {}}
        return value


class Method(_Part):
    """A compression method: a list of passes, in order. A bare name is a method of the one pass of that name."""

    name: Name
    passes: list[PassUse] = Field(default_factory=list)

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"name": value, "passes": [] if value == "original" else [value]}
        return value


class Limits(_Part):
    """What one container may use."""

    cpus: int = Field(2, ge=1, description="CPUs and threads of every runtime, the same for all")
    memory: Bytes = Field(6 * 2**30, description="such as 6GiB; a cell that needs more becomes an `oom-host` row")
    timeout: Seconds = Field(1800.0, description="of one container, such as 30m")


class Measure(_Part):
    """How long and how often to measure."""

    rounds: int = Field(3, ge=1, le=100, description="fresh containers per cell; 5 before `faster` is said")
    min_samples: int = Field(30, ge=5)
    min_seconds: float = Field(1.0, ge=0)
    max_seconds: float = Field(10.0, gt=0, description="budget of one round's samples")
    precision: float = Field(0.01, gt=0, lt=1, description="wanted half width of the median's 95 % interval")
    seed: int = Field(0, description="of the shuffled order of rounds, of training and calibration")


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
    """Picks combinations: those that agree with every key that is given."""

    model: str | None = None
    method: str | None = None
    runtime: str | None = None
    device: str | None = None
    workload: Workload | None = None


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
    limits: Limits = Limits()
    measure: Measure = Measure()
    exclude: list[Pattern] = Field(default_factory=list)
    include: list[Include] = Field(default_factory=list)
    report: Report = Report()


def load(file: Path, catalog: Catalog) -> Matrix:
    """Read and validate a matrix file; raises UsageError if it is missing, MatrixError with all mistakes if it is wrong."""
    try:
        text = file.read_text("utf-8")
    except OSError as error:
        raise UsageError(
            f"{file}: {error.strerror}", "name an existing file, or write one with `harness init`"
        ) from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{file}: not UTF-8 text (byte {error.start})", "save the file as UTF-8") from None
    return parse(text, str(file), catalog)


def parse(text: str, name: str, catalog: Catalog) -> Matrix:
    """Validate the text of a matrix file against the catalog; raises MatrixError with all mistakes."""
    document = read(text, name)
    if not isinstance(document.data, dict):
        raise MatrixError(document, [Mistake((), "expected a mapping with models, methods and runtimes")])
    try:
        matrix = Matrix.model_validate(document.data)
    except ValidationError as error:
        raise MatrixError(document, [_translate(e, document) for e in error.errors()]) from None
    # Whether an include comes to anything can be told only where all names are right.
    if mistakes := list(_meaning(matrix, catalog)) or list(_idle(matrix)):
        raise MatrixError(document, mistakes)
    return matrix


def json_schema() -> dict[str, Any]:
    """JSON Schema of the file, for editors; short forms (a method as a bare name) are allowed for."""
    schema = Matrix.model_json_schema()
    for name, short in (("Method", {"type": "string"}), ("PassUse", {"type": "string"})):
        whole = schema["$defs"][name]
        open_mapping = {"type": "object", "minProperties": 1, "maxProperties": 1}
        schema["$defs"][name] = {"anyOf": [short, whole, *([open_mapping] if name == "PassUse" else [])]}
    return {"$schema": "http://json-schema.org/draft-07/schema#", **schema}


# --- pydantic's errors, in our words ---------------------------------------------------------------------------------


def _translate(error: Mapping[str, Any], document: Document) -> Mistake:
    location: Location = tuple(error["loc"])
    where = _dotted(location)
    match error["type"]:
        case "extra_forbidden":
            known = sorted(_model_at(location[:-1]).model_fields)
            return Mistake(location, f"unknown key {location[-1]!r}", did_you_mean(location[-1], known), at_key=True)
        case "missing":
            return Mistake(
                location[:-1], f"the key {location[-1]!r} is missing in {_dotted(location[:-1]) or 'the matrix'}"
            )
        case "too_short":
            return Mistake(location, f"{where} is empty", "name at least one")
        case "value_error":
            return Mistake(location, f"{where}: {error['ctx']['error']}")
        case "string_type" if not isinstance(error["input"], (dict, list)):
            return Mistake(
                location,
                f"{where}: expected text, got {error['input']!r}",
                f'put it in quotes: "{_literal(location, document)}"',
            )
        case "string_pattern_mismatch":
            return Mistake(location, f"{where}: {error['input']!r} does not match {error['ctx']['pattern']}")
        case _:
            message = error["msg"][0].lower() + error["msg"][1:]
            return Mistake(location, f"{where}: {message}, got {_short(error['input'])}")


def _literal(location: Location, document: Document) -> str:
    mark = document.values.get(location)
    return document.lines[mark.line - 1][mark.column - 1 :][: mark.width] if mark else "..."


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:59] + "…"


def _dotted(location: Location) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _model_at(location: Location) -> type[BaseModel]:
    """The part of the file that stands at a location."""
    model: type[BaseModel] = Matrix
    for part in location:
        if isinstance(part, str) and part in model.model_fields:
            inner = _part_in(model.model_fields[part].annotation)
            model = inner or model
    return model


def _part_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for argument in get_args(annotation) if (found := _part_in(argument))), None)


# --- what the types cannot tell --------------------------------------------------------------------------------------


def _meaning(matrix: Matrix, catalog: Catalog) -> Iterator[Mistake]:
    yield from _duplicates("models", [model.name for model in matrix.models])
    yield from _duplicates("methods", [method.name for method in matrix.methods])
    yield from _duplicates("runtimes", matrix.runtimes)
    yield from _duplicates("devices", matrix.devices)
    for index, model in enumerate(matrix.models):
        yield from _model(("models", index), model)
    for task, workloads in matrix.workloads.items():
        if task not in tasks.names():
            yield Mistake(("workloads", task), f"unknown task {task!r}", did_you_mean(task, tasks.names()), at_key=True)
        else:
            yield from _workloads(("workloads", task), task, workloads)
    for index, method in enumerate(matrix.methods):
        for position, use in enumerate(method.passes):
            yield from _pass(("methods", index, "passes", position), use, catalog)
    for index, runtime in enumerate(matrix.runtimes):
        if runtime not in catalog.runtimes:
            cure = did_you_mean(runtime, sorted(catalog.runtimes))
            yield Mistake(("runtimes", index), f"unknown runtime {runtime!r}", cure)
    yield from _patterns(matrix, catalog)


def _duplicates(axis: str, names: list[Any]) -> Iterator[Mistake]:
    first: dict[Any, int] = {}
    for index, name in enumerate(names):
        if name in first:
            problem = f"{axis}[{index}] has the same name as {axis}[{first[name]}]: {name!r}"
            yield Mistake((axis, index, "name"), problem, "names must differ: rename one or remove it")
        first.setdefault(name, index)


def _model(location: Location, model: Model) -> Iterator[Mistake]:
    if model.task not in tasks.names():
        problem = f"unknown task {model.task!r}"
        yield Mistake((*location, "task"), problem, did_you_mean(model.task, tasks.names()))
        return
    for key, text, known in (("source", model.source, zoo.models()), ("dataset", model.dataset, zoo.datasets())):
        try:
            parsed = source.parse(text)
        except ValueError as error:
            yield Mistake((*location, key), str(error))
            continue
        if isinstance(parsed, source.ZooSource) and parsed.name not in known:
            yield Mistake((*location, key), f"the zoo has no {key} {parsed.name!r}", did_you_mean(parsed.name, known))
        if key == "dataset" and isinstance(parsed, (source.HubSource, source.WheelSource)):
            yield Mistake((*location, key), "a dataset is `zoo:name` or `path:./file`", "download it and name its path")
    if model.workloads is not None:
        yield from _workloads((*location, "workloads"), model.task, model.workloads)


def _workloads(location: Location, task: str, workloads: list[Workload]) -> Iterator[Mistake]:
    if not workloads:
        yield Mistake(
            location, f"{_dotted(location)} is empty", "name at least one, or leave the key out for the default"
        )
    known = tuple(tasks.get(task).WORKLOAD)
    for index, workload in enumerate(workloads):
        for key in workload:
            if key not in known:
                problem = f"a {task} workload has no {key!r}"
                yield Mistake((*location, index, key), problem, did_you_mean(key, known), at_key=True)


def _pass(location: Location, use: PassUse, catalog: Catalog) -> Iterator[Mistake]:
    tools = catalog.passes_named(use.name)
    if not tools:
        known = sorted({tool.card.name for tool in catalog.passes})
        yield Mistake(location, f"unknown pass {use.name!r}", did_you_mean(use.name, known))
        return
    parameters = {name: parameter for tool in tools for name, parameter in getattr(tool.card, "parameters", {}).items()}
    for name, value in use.parameters.items():
        if name not in parameters:
            cure = did_you_mean(name, sorted(parameters)) if parameters else "it takes none"
            yield Mistake(location, f"the pass {use.name!r} has no parameter {name!r}", cure)
        elif problem := parameters[name].problem(value):
            yield Mistake(location, f"parameter {name!r} of {use.name!r}: {problem}", parameters[name].help)


def _patterns(matrix: Matrix, catalog: Catalog) -> Iterator[Mistake]:
    models = {model.name: model for model in matrix.models}
    known = {
        "model": sorted(models),
        "method": sorted(method.name for method in matrix.methods),
        "runtime": sorted(catalog.runtimes),
        "device": ["cpu", "cuda"],
    }
    for key, patterns in (("exclude", matrix.exclude), ("include", matrix.include)):
        for index, pattern in enumerate(patterns):
            for axis, names in known.items():
                value = getattr(pattern, axis)
                if value is not None and value not in names:
                    problem = f"{key} names the unknown {axis} {value!r}"
                    yield Mistake((key, index, axis), problem, did_you_mean(value, names))
            task_names = [models[pattern.model].task] if pattern.model in models else tasks.names()
            fields = sorted({name for task in task_names if task in tasks.names() for name in tasks.get(task).WORKLOAD})
            for name in pattern.workload or {}:
                if name not in fields:
                    problem = f"{key} names the unknown workload field {name!r}"
                    yield Mistake((key, index, "workload", name), problem, did_you_mean(name, fields), at_key=True)
    for index, include in enumerate(matrix.include):
        outside = include.runtime not in (None, *matrix.runtimes) or include.device not in (None, *matrix.devices)
        lacking = [axis for axis in ("model", "method", "runtime") if getattr(include, axis) is None]
        if outside and lacking:
            problem = f"this include agrees with no combination, and lacks {' and '.join(lacking)} to be a new cell"
            yield Mistake(("include", index), problem, "name model, method and runtime, or correct what it names")
    for axis, value in (("method", matrix.report.baseline.method), ("runtime", matrix.report.baseline.runtime)):
        if value not in known[axis]:
            problem = f"the baseline names the unknown {axis} {value!r}"
            yield Mistake(("report", "baseline", axis), problem, did_you_mean(value, known[axis]))


def _idle(matrix: Matrix) -> Iterator[Mistake]:
    for index in idle_includes(matrix):
        yield Mistake(
            ("include", index),
            f"include[{index}] agrees with no combination",
            "correct a value, or name model, method and runtime to make a new cell",
        )
