"""Cells become steps: what has to run, in which image, on whose output, under which key.

A step's key hashes its spec, the keys of its inputs and the sources of its image that it depends on. Same key: nothing runs.
The plan is a value; nothing is read or run to make it but what the caller hands in.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from harness import zoo
from harness.catalog import Catalog, Image, Tool
from harness.contracts.cards import Form, PassCard, Use, serves
from harness.matrix import source
from harness.matrix.expand import Cell, expand, workload_name
from harness.matrix.formats import Hop, NoRoute, route
from harness.matrix.spec import Matrix, Method, Model, PassUse

PREPARATION = "toolchains/torch"  # has the tokenizers
REFERENCE = "pytorch"  # the runtime whose FP32 outputs on a CPU are what all others are compared with
FETCH_LAYOUT = 1  # raise it when fetching comes to lay out folders differently
NOT_SEARCHED = "its passes are chosen by measuring, when the matrix runs"
OVERHEAD_CALLS = {"min_samples": 200, "min_seconds": 0.2, "max_seconds": 2.0, "precision": 0.01}

#: Inputs that a step can do without, should they not come to be.
OPTIONAL = frozenset({"reference"})

#: What has a configuration, and for text a tokenizer, beside its weights: data is prepared by it.
_CHECKPOINTS = (*(Form("hf", precision) for precision in ("fp32", "fp16", "bf16")), Form("keras", "fp32"))


# To be removed once tasks have cards: their ``use``.
_USES = {
    "text-generation": Use("generate", "text"),
    "token-classification": Use("forward", "text"),
    "text-classification": Use("forward", "text"),
    "image-classification": Use("forward", "image"),
}


def use_of(task: str) -> Use:
    """How models of a task are used."""
    return _USES[task]


@dataclass(frozen=True)
class Step:
    """One container run (or one fetch, on the host)."""

    key: str
    kind: str  # fetch, prepare, train, compress, export, measure, evaluate
    title: str
    image: str | None  # None: runs in the orchestrator
    spec: Mapping[str, Any]
    inputs: Mapping[str, str]  # input name -> key of the step that makes it
    cpus: int
    memory_bytes: int
    timeout_s: float
    device: str = "cpu"
    seed: int = 0

    @property
    def measures(self) -> bool:
        """Whether nothing else may work on the machine meanwhile."""
        return self.kind == "measure"


@dataclass(frozen=True)
class PlannedCell:
    """A cell and its steps, or why it has none."""

    cell: Cell
    task: str
    artifact: str | None = None
    rounds: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()  # rounds that are measured only where the others were noisy or differ much
    evaluation: str | None = None
    reference: str | None = None  # the evaluation that kept the outputs which this cell's are compared with
    status: str | None = None  # ``unsupported`` or ``skipped``
    reason: str | None = None

    @property
    def leaves(self) -> tuple[str, ...]:
        """Keys of the steps that this row is read from."""
        return (*self.rounds, *([self.evaluation] if self.evaluation else []))


@dataclass(frozen=True)
class Plan:
    """All steps, each after its inputs, and all cells in the order of the file."""

    matrix: Matrix
    steps: Mapping[str, Step]
    cells: Sequence[PlannedCell]
    picked: frozenset[str]  # ids of the cells to run; the report shows the others as far as they were measured before
    overhead: tuple[str, ...] = ()

    @property
    def wanted(self) -> list[PlannedCell]:
        """The picked cells."""
        return [planned for planned in self.cells if planned.cell.id in self.picked]

    def upstream(self, keys: Iterable[str]) -> set[str]:
        """The keys and all that they are made from."""
        found: set[str] = set()
        pending = list(keys)
        while pending:
            key = pending.pop()
            if key not in found:
                found.add(key)
                pending.extend(self.steps[key].inputs.values())
        return found

    def images(self, keys: Iterable[str]) -> list[str]:
        """Images that these steps need, in the order in which they are needed: toolchains run first."""
        names = dict.fromkeys(image for key in keys if (image := self.steps[key].image))
        return sorted(names, key=lambda name: not name.startswith("toolchains/"))


@dataclass
class Planner:
    """Builds one plan.

    ``fingerprint`` tells what a source's content hashes to; ``devices`` why one is missing, or None; ``gpu`` what the GPU and
    its driver are, for what is made on a GPU belongs to it; ``chosen`` by cell the passes that a search came to, or why none.
    """

    matrix: Matrix
    catalog: Catalog
    engine: str
    devices: Mapping[str, str | None]
    fingerprint: Callable[[source.Source], str]
    gpu: str = ""
    chosen: Mapping[str, Sequence[PassUse] | str] = field(default_factory=dict)
    steps: dict[str, Step] = field(default_factory=dict)

    def plan(self, wanted: Callable[[Cell], bool] = lambda cell: True) -> Plan:
        """Plan all cells; those that ``wanted`` picks are to be run."""
        cells = [self._cell(cell) for cell in expand(self.matrix)]
        picked = frozenset(planned.cell.id for planned in cells if wanted(planned.cell))
        overhead = self._overhead([planned for planned in cells if planned.cell.id in picked])
        return Plan(self.matrix, self.steps, cells, picked, overhead)

    # --- cells -------------------------------------------------------------------------------------------------------

    def _cell(self, cell: Cell) -> PlannedCell:
        model, method = self._models[cell.model], self._methods[cell.method]
        runtime = self.catalog.runtimes[cell.runtime]
        if cell.device not in runtime.card.devices or not serves(runtime.card, use_of(model.task)):
            lacking = cell.device if cell.device not in runtime.card.devices else use_of(model.task)
            return PlannedCell(
                cell, model.task, status="unsupported", reason=f"{cell.runtime} does not serve {lacking}"
            )
        if method.search:
            passes = self.devices.get(cell.device) or self.chosen.get(cell.id, NOT_SEARCHED)
            if isinstance(passes, str):
                status = "unsupported" if cell.id in self.chosen else "skipped"
                return PlannedCell(cell, model.task, status=status, reason=passes)
            method = Method(name=method.name, passes=list(passes))
        try:
            artifact = self._artifact(model, method, runtime.card.loads_on(cell.device))
            tokenizer = self._artifact(model, Method(name="original"), _CHECKPOINTS)
        except NoRoute as reason:
            return PlannedCell(cell, model.task, status="unsupported", reason=str(reason))
        if missing := self.devices.get(cell.device):
            return PlannedCell(cell, model.task, status="skipped", reason=missing)
        workload = self._prepare(model, tokenizer, dict(cell.workload))
        held_out = self._prepare(model, tokenizer, None)
        wanted = cell.rounds or self.matrix.measure.rounds
        numbers = range(wanted + self.matrix.measure.extra_rounds)
        rounds = tuple(self._measure(cell, model, artifact, workload, number) for number in numbers)
        reference = self._reference(cell, model, held_out)
        evaluation = self._evaluate(cell, model, artifact, held_out, reference)
        return PlannedCell(cell, model.task, artifact, rounds[:wanted], rounds[wanted:], evaluation, reference)

    def _measure(self, cell: Cell, model: Model, artifact: str, data: str, number: int) -> str:
        settings = self.matrix.measure
        sampling = {
            "min_samples": settings.min_samples,
            "min_seconds": settings.min_seconds,
            "max_seconds": cell.max_seconds or settings.max_seconds,
            "precision": settings.precision,
        }
        return self._in_runtime("measure", cell, model, artifact, data, {"sampling": sampling, "round": number})

    def _evaluate(self, cell: Cell, model: Model, artifact: str, data: str, reference: str | None) -> str:
        step = self.steps[reference] if reference else None
        if step and (artifact, cell.runtime, cell.device) == (step.inputs["artifact"], REFERENCE, "cpu"):
            return step.key
        return self._in_runtime("evaluate", cell, model, artifact, data, {"keep_outputs": False}, reference)

    def _reference(self, cell: Cell, model: Model, data: str) -> str | None:
        """The evaluation of the original on FP32 PyTorch, which keeps its outputs; None where PyTorch does not load it."""
        runtime = self.catalog.runtimes.get(REFERENCE)
        if runtime is None or not serves(runtime.card, use_of(model.task)):
            return None
        try:
            artifact = self._artifact(model, Method(name="original"), (Form("hf", "fp32"),))
        except NoRoute:
            return None
        cell = replace(cell, method="original", runtime=REFERENCE, device="cpu", workload=())
        return self._in_runtime("evaluate", cell, model, artifact, data, {"keep_outputs": True})

    def _in_runtime(
        self,
        kind: str,
        cell: Cell,
        model: Model,
        artifact: str,
        data: str,
        more: dict[str, Any],
        reference: str | None = None,
    ) -> str:
        image = self.catalog.image_of(self.catalog.runtimes[cell.runtime], cell.device)
        title = f"{kind} {cell.model} {cell.method} on {cell.runtime} {cell.device}"
        title += f" {workload_name(cell.workload)}, round {more['round'] + 1}" if kind == "measure" else ""
        # The engine is part of the key: a virtual environment isolates less than a container, so its numbers are others.
        spec = {"task": model.task, "runtime": cell.runtime, "device": cell.device, "engine": self.engine, **more}
        inputs = {"artifact": artifact, "data": data} | ({"reference": reference} if reference else {})
        return self._add(kind, title, image, image.source_hash, spec, inputs, cell=cell, device=cell.device)

    def _overhead(self, cells: Sequence[PlannedCell]) -> tuple[str, ...]:
        """The ``null`` runtime on the first model that anything is measured of: what the harness costs by itself."""
        if (null := self.catalog.runtimes.get("null")) is None:
            return ()
        for first in (c for c in cells if c.rounds and c.cell.device == "cpu"):
            model = self._models[first.cell.model]
            try:
                artifact = self._artifact(model, Method(name="original"), null.card.loads)
                break
            except NoRoute:  # it has no configuration that the null runtime reads: try the next
                continue
        else:
            return ()
        data = self.steps[first.rounds[0]].inputs["data"]
        cell = Cell(model.name, "original", "null", "cpu", first.cell.workload)
        more = {"sampling": OVERHEAD_CALLS}
        return tuple(
            self._in_runtime("measure", cell, model, artifact, data, {**more, "round": number}) for number in range(3)
        )

    # --- models, data, artifacts ---------------------------------------------------------------------------------------

    def _artifact(self, model: Model, method: Method, loads: Sequence[Form]) -> str:
        """The key of the artifact that ``method`` makes of ``model`` in a form that is loaded; raises NoRoute."""
        start, form = self._model(model)
        key = start
        for hop in route(form, method.passes, loads, use_of(model.task), self.catalog):
            key = self._hop(model, hop, key)
        return key

    def _model(self, model: Model) -> tuple[str, Form]:
        parsed = source.parse(model.source)
        form = source.form_of(parsed)
        if isinstance(parsed, source.ZooSource):
            return self._train(model, parsed.name), form
        return self._fetch(parsed, model.sha256, model.trust, model.task), form

    def _train(self, model: Model, name: str) -> str:
        entry = zoo.model(name)
        inputs = {f"source-{key}": self._fetch_pinned(pinned) for key, pinned in entry.SOURCES.items()}
        inputs |= self._data(f"zoo:{entry.DATASET}")
        image = self.catalog.images[entry.IMAGE]
        code = self.catalog.code(image, "zoo", "tasks")
        return self._add("train", f"train {name}", image, code, {"zoo": name, "task": entry.TASK}, inputs)

    def _calibration(self, model: Model) -> str:
        """The rows of the training split, prepared for the model: what a pass may look at, and never what is evaluated on."""
        return self._prepare(model, self._artifact(model, Method(name="original"), _CHECKPOINTS), None, split="train")

    def _prepare(self, model: Model, artifact: str, workload: Mapping[str, int] | None, split: str = "evaluate") -> str:
        image = self.catalog.images[PREPARATION]
        code = self.catalog.code(image, "zoo", "tasks")
        spec = {"task": model.task, "dataset": _bare(model.dataset), "split": split, "workload": workload}
        inputs = {"model": artifact, **self._data(model.dataset)}
        purpose = "inputs" if workload else "training data" if split == "train" else "held-out data"
        return self._add("prepare", f"prepare {purpose} of {model.name}", image, code, spec, inputs)

    def _data(self, dataset: str) -> dict[str, str]:
        parsed = source.parse(dataset)
        if isinstance(parsed, source.ZooSource):
            entry = zoo.dataset(parsed.name)
            return {f"data-{key}": self._fetch_pinned(pinned) for key, pinned in entry.SOURCES.items()}
        return {"data-user": self._fetch(parsed, None, False, None)}

    def _fetch_pinned(self, pinned: zoo.Source) -> str:
        return self._fetch(source.parse(pinned.url), pinned.sha256, False, None)

    def _fetch(self, parsed: source.Source, sha256: str | None, trust: bool, task: str | None) -> str:
        spec = {"source": str(parsed), "sha256": sha256, "trust": trust, "task": task}
        code = f"{FETCH_LAYOUT}:{self.fingerprint(parsed)}"
        return self._add("fetch", f"fetch {parsed}", None, code, spec, {})

    def _hop(self, model: Model, hop: Hop, artifact: str) -> str:
        card, image, code = hop.tool.card, hop.tool.image, self._tool_code(hop.tool)
        if hop.asked and isinstance(card, PassCard):
            spec = {"pass": card.name, "parameters": card.complete(hop.asked.parameters)}
            spec |= {"toolchain": image.name.split("/")[1], "task": model.task}
            title = f"compress {model.name}: {card.name} by {image.name.split('/')[1]}"
            inputs = {"artifact": artifact}
            if card.needs_training_data:
                inputs["calibration"] = self._calibration(model)
            return self._add("compress", title, image, code, spec, inputs, device=card.device)
        spec = {"exporter": card.name, "toolchain": image.name.split("/")[1], "task": model.task}
        title = f"export {model.name} to {hop.form}"
        return self._add("export", title, image, code, spec, {"artifact": artifact}, device=card.device)

    def _tool_code(self, tool: Tool) -> str:
        code = self.catalog.code(tool.image, tool.module, *tool.image.modules)
        return code if tool.card.device == "cpu" else f"{code}:{self.gpu}"

    def _add(
        self,
        kind: str,
        title: str,
        image: Image | None,
        code: str,
        spec: Mapping[str, Any],
        inputs: Mapping[str, str],
        cell: Cell | None = None,
        device: str = "cpu",
    ) -> str:
        limits, seed = self.matrix.limits, self.matrix.measure.seed
        identity = {"kind": kind, "spec": spec, "inputs": inputs, "code": code, "cpus": limits.cpus, "seed": seed}
        if kind in ("fetch", "prepare", "export"):
            identity.pop("cpus")  # what they make does not depend on it
        key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
        if key not in self.steps:
            self.steps[key] = Step(
                key,
                kind,
                title,
                image.name if image else None,
                spec,
                inputs,
                limits.cpus,
                (cell.memory if cell else None) or limits.memory,
                (cell.timeout if cell else None) or limits.timeout,
                device,
                seed,
            )
        return key

    @cached_property
    def _models(self) -> dict[str, Model]:
        return {model.name: model for model in self.matrix.models}

    @cached_property
    def _methods(self) -> dict[str, Method]:
        return {method.name: method for method in self.matrix.methods}


def _bare(dataset: str) -> str:
    """A data set as steps know it: the bare name of the zoo's, ``path:...`` for the user's own."""
    return dataset.removeprefix("zoo:")


def describe(step: Step) -> dict[str, Any]:
    """The content of ``step.json``."""
    # Several evaluations run side by side, and their time is not measured.
    threads = 1 if step.kind == "evaluate" else step.cpus
    return {"kind": step.kind, "spec": dict(step.spec), "seed": step.seed, "threads": threads}
