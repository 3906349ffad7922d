"""What the types of the spec cannot tell: names that nobody knows, names used twice, includes that come to nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness import tasks, zoo
from harness.catalog import Catalog
from harness.errors import did_you_mean
from harness.matrix import source
from harness.matrix.document import Location, Mistake, dotted
from harness.matrix.expand import idle_includes
from harness.matrix.formats import doable
from harness.matrix.spec import Matrix, Model, Workload


def mistakes(matrix: Matrix, catalog: Catalog) -> list[Mistake]:
    """Every mistake in a matrix of valid types, against what the catalog, the tasks and the zoo hold."""
    # Whether passes meet and an include comes to anything can be told only where all names are right.
    return list(names(matrix, catalog)) or [*_orders(matrix, catalog), *_idle(matrix)]


def names(matrix: Matrix, catalog: Catalog) -> Iterator[Mistake]:
    """What nobody knows or is there twice, and sources that are none."""
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
            yield from _pass(("methods", index, "passes", position), use.name, use.parameters, catalog)
        for position, step in enumerate(method.search.choices if method.search else ()):
            for place, option in enumerate(step):
                location = ("methods", index, "search", "choices", position, place)
                yield from _pass(location, option.name, option.parameters, catalog)
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
    for key, text, known in (("source", model.source, zoo.models()), ("dataset", model.dataset, zoo.datasets())):
        try:
            parsed = source.named(text, model.file if key == "source" else None)
        except ValueError as error:
            yield Mistake((*location, key), str(error))
            continue
        if isinstance(parsed, source.ZooSource) and parsed.name not in known:
            yield Mistake((*location, key), f"the zoo has no {key} {parsed.name!r}", did_you_mean(parsed.name, known))
        if key == "dataset" and isinstance(parsed, (source.HubSource, source.PackageSource)):
            yield Mistake((*location, key), "a dataset is `zoo:name` or `path:./file`", "download it and name its path")
    if model.base is not None:
        yield from _base((*location, "base"), model.base)
    if model.workloads is not None and model.task in tasks.names():
        yield from _workloads((*location, "workloads"), model.task, model.workloads)


def _base(location: Location, text: str) -> Iterator[Mistake]:
    try:
        parsed = source.parse(text)
    except ValueError as error:
        yield Mistake(location, str(error))
    else:
        if isinstance(parsed, source.ZooSource):
            yield Mistake(
                location, "the base of an adapter is fetched, and the zoo's models are trained", "name a source"
            )


def _workloads(location: Location, task: str, workloads: list[Workload]) -> Iterator[Mistake]:
    if not workloads:
        yield Mistake(
            location, f"{dotted(location)} is empty", "name at least one, or leave the key out for the default"
        )
    known = tuple(tasks.card(task).fields)
    for index, workload in enumerate(workloads):
        for key in workload:
            if key not in known:
                problem = f"a {task} workload has no {key!r}"
                yield Mistake((*location, index, key), problem, did_you_mean(key, known), at_key=True)


def _pass(location: Location, pass_: str, given: Mapping[str, Any], catalog: Catalog) -> Iterator[Mistake]:
    tools = catalog.passes_named(pass_)
    if not tools:
        known = sorted({tool.card.name for tool in catalog.passes})
        yield Mistake(location, f"unknown pass {pass_!r}", did_you_mean(pass_, known))
        return
    parameters = {name: parameter for tool in tools for name, parameter in getattr(tool.card, "parameters", {}).items()}
    for name, value in given.items():
        if name not in parameters:
            cure = did_you_mean(name, sorted(parameters)) if parameters else "it takes none"
            yield Mistake(location, f"the pass {pass_!r} has no parameter {name!r}", cure)
            continue
        for each in value if isinstance(value, list) else [value]:
            if problem := parameters[name].problem(each):
                yield Mistake(location, f"parameter {name!r} of {pass_!r}: {problem}", parameters[name].help)


def _patterns(matrix: Matrix, catalog: Catalog) -> Iterator[Mistake]:
    models = {model.name: model for model in matrix.models}
    known = {
        "model": sorted(models),
        "method": sorted(method.name for method in matrix.methods),
        "runtime": sorted(catalog.runtimes),
        "device": ["cpu", "cuda"],
    }
    sets = {axis: frozenset(names) for axis, names in known.items()}
    for key, patterns in (("exclude", matrix.exclude), ("include", matrix.include)):
        for index, pattern in enumerate(patterns):
            for axis, names in known.items():
                for value in pattern.names(axis):
                    if value not in sets[axis]:
                        problem = f"{key} names the unknown {axis} {value!r}"
                        yield Mistake((key, index, axis), problem, did_you_mean(value, names))
            task_names = [models[name].task for name in pattern.names("model") if name in models] or tasks.names()
            fields = sorted({name for task in task_names if task in tasks.names() for name in tasks.card(task).fields})
            for name in pattern.workload or {}:
                if name not in fields:
                    problem = f"{key} names the unknown workload field {name!r}"
                    yield Mistake((key, index, "workload", name), problem, did_you_mean(name, fields), at_key=True)
    for axis, value in (("method", matrix.report.baseline.method), ("runtime", matrix.report.baseline.runtime)):
        if value not in known[axis]:
            problem = f"the baseline names the unknown {axis} {value!r}"
            yield Mistake(("report", "baseline", axis), problem, did_you_mean(value, known[axis]))


def _orders(matrix: Matrix, catalog: Catalog) -> Iterator[Mistake]:
    """Methods whose passes cannot follow each other for any model of the matrix."""
    starts = {(source.form_of(source.parse(model.source)), tasks.card(model.task).use) for model in matrix.models}
    for index, method in enumerate(matrix.methods):
        passes = method.passes
        done = max(doable(form, passes, use, catalog) for form, use in starts)
        if not 0 < done < len(passes):
            continue  # that no model takes the first pass is a row that says so: the model may be exchanged
        before, after = passes[done - 1].name, passes[done].name
        swapped = [*passes[: done - 1], passes[done], passes[done - 1]]
        meets = any(doable(form, swapped, use, catalog) == len(swapped) for form, use in starts)
        cure = (
            f"put {after!r} before {before!r}"
            if meets
            else "use one of the two; docs/methods.md says what each one takes"
        )
        problem = f"{after!r} cannot follow {before!r}: no implementation of it takes what {before!r} makes"
        yield Mistake(("methods", index, "passes", done), problem, cure)


def _idle(matrix: Matrix) -> Iterator[Mistake]:
    for index in idle_includes(matrix):
        yield Mistake(
            ("include", index),
            f"include[{index}] agrees with no combination",
            "correct a value, or name model, method and runtime to make a new cell",
        )
