"""Cells become steps. The plan is a value; nothing is read or run to make it but what the caller hands in."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

from harness import datasets, tasks, zoo
from harness.catalog import Catalog, Image
from harness.catalog.closure import Closure
from harness.contracts.cards import Form, PassCard, Use, serves
from harness.contracts.step import MachineName
from harness.matrix import keys, source
from harness.matrix.expand import MatrixCell, expand, workload_name
from harness.matrix.formats import Hop, NoRoute, route
from harness.matrix.plan import Plan, PlannedCell, Step
from harness.matrix.spec import Matrix, Method, Model, PassUse

PREPARATION = "toolchains/torch"  # has the tokenizers
REFERENCE = "pytorch"  # the runtime whose FP32 outputs on a CPU are what all others are compared with
NOT_SEARCHED = "its passes are chosen by measuring, when the matrix runs"
OVERHEAD_CALLS = {"min_samples": 200, "min_seconds": 0.2, "max_seconds": 2.0, "precision": 0.01}

#: What has a configuration, and for text a tokenizer, beside its weights: data is prepared by it.
_CHECKPOINTS = (*(Form("hf", precision) for precision in ("fp32", "fp16", "bf16")), Form("keras", "fp32"))
_FP32 = Form("hf", "fp32")


@dataclass(frozen=True)
class Site:
    """A machine that measures. ``devices`` says of each device why it can't be used, or None."""

    machine: MachineName
    devices: Mapping[str, str | None]
    gpu: str = ""  # its GPUs and their drivers: what is made on a GPU belongs to it


def assign(group: str, sites: Sequence[Site]) -> Site:
    """The site of a comparison group: the same for the same sites, and for most groups when one comes or goes.

    Rendezvous hashing (Thaler & Ravishankar, 1998): the site whose hash with the group is largest.
    """
    return max(sites, key=lambda site: hashlib.sha256(f"{group}\0{site.machine.id}".encode()).digest())


@dataclass
class Planner:
    """Builds one plan.

    ``isolation`` names how well the engine keeps steps apart, because that changes what is measured; ``fingerprint`` tells
    what a source's content hashes to, ``contents`` what a model's source holds, ``formats`` which formats a data set's files
    have; ``chosen`` by cell the passes that a search came to, or why none.
    """

    matrix: Matrix
    catalog: Catalog
    isolation: str
    sites: Sequence[Site]
    fingerprint: Callable[[source.Source], str]
    contents: Callable[[Model], source.Contents]
    formats: Callable[[source.Source], Sequence[str]]
    chosen: Mapping[str, Sequence[PassUse] | str] = field(default_factory=dict)
    steps: dict[str, Step] = field(default_factory=dict)
    _artifacts: dict[tuple[Any, ...], str | NoRoute] = field(default_factory=dict)  # most cells share theirs
    _contents: dict[str, source.Contents] = field(default_factory=dict)  # by model
    _readers: dict[str, tuple[Closure, Sequence[str]]] = field(default_factory=dict)  # of data, by model
    _references: dict[tuple[str, str, str], str | None] = field(default_factory=dict)

    def plan(self, wanted: Callable[[MatrixCell], bool] = lambda cell: True) -> Plan:
        """Plan all cells; those that ``wanted`` picks are to be run."""
        cells = [self._cell(cell) for cell in expand(self.matrix)]
        picked = frozenset(planned.cell.id for planned in cells if wanted(planned.cell))
        overhead = self._overhead([planned for planned in cells if planned.cell.id in picked])
        return Plan(self.matrix, self.steps, cells, picked, overhead)

    # --- cells -------------------------------------------------------------------------------------------------------

    def _cell(self, cell: MatrixCell) -> PlannedCell:
        model, method = self._models[cell.model], self._methods[cell.method]
        runtime = self.catalog.runtimes[cell.runtime]
        if cell.device not in runtime.card.devices or not serves(runtime.card, self._use(model)):
            lacking = cell.device if cell.device not in runtime.card.devices else self._use(model)
            return PlannedCell(
                cell, model.task, status="unsupported", reason=f"{cell.runtime} does not serve {lacking}"
            )
        if method.search:
            passes = self._missing(cell.device) or self.chosen.get(cell.id, NOT_SEARCHED)
            if isinstance(passes, str):
                status = "unsupported" if cell.id in self.chosen else "skipped"
                return PlannedCell(cell, model.task, status=status, reason=passes)
            method = Method(name=method.name, passes=list(passes))
        try:
            artifact = self._artifact(model, method, runtime.card.loads_on(cell.device))
            tokenizer = self._artifact(model, Method(name="original"), _CHECKPOINTS)
        except NoRoute as reason:
            return PlannedCell(cell, model.task, status="unsupported", reason=str(reason))
        if missing := self._missing(cell.device):
            return PlannedCell(cell, model.task, status="skipped", reason=missing)
        workload = self._prepare(model, tokenizer, dict(cell.workload))
        held_out = self._prepare(model, tokenizer, None)
        wanted = cell.rounds or self.matrix.measure.rounds
        numbers = range(wanted + self.matrix.measure.extra_rounds)
        rounds = tuple(self._measure(cell, model, artifact, workload, number) for number in numbers)
        reference = self._reference(cell, model, held_out)
        evaluation = self._evaluate(cell, model, artifact, held_out, reference)
        return PlannedCell(cell, model.task, artifact, rounds[:wanted], rounds[wanted:], evaluation, reference)

    def _measure(self, cell: MatrixCell, model: Model, artifact: str, data: str, number: int) -> str:
        settings = self.matrix.measure
        sampling = {
            "min_samples": settings.min_samples,
            "min_seconds": settings.min_seconds,
            "max_seconds": cell.max_seconds or settings.max_seconds,
            "precision": settings.precision,
        }
        return self._in_runtime("measure", cell, model, artifact, data, {"sampling": sampling, "round": number})

    def _evaluate(self, cell: MatrixCell, model: Model, artifact: str, data: str, reference: str | None) -> str:
        step = self.steps[reference] if reference else None
        if step and (artifact, cell.runtime, cell.device) == (step.inputs["artifact"], REFERENCE, "cpu"):
            return step.key
        return self._in_runtime("evaluate", cell, model, artifact, data, {"keep_outputs": False}, reference)

    def _reference(self, cell: MatrixCell, model: Model, data: str) -> str | None:
        """The evaluation of the original on FP32 PyTorch, which keeps its outputs; None where PyTorch does not load it."""
        site = self._site(cell)
        asked = (model.name, data, site.machine.id)
        if asked not in self._references:
            self._references[asked] = self._compared_with(cell, model, data, site)
        return self._references[asked]

    def _compared_with(self, cell: MatrixCell, model: Model, data: str, site: Site) -> str | None:
        runtime = self.catalog.runtimes.get(REFERENCE)
        if runtime is None or not serves(runtime.card, self._use(model)):
            return None
        try:
            artifact = self._artifact(model, Method(name="original"), (_FP32,))
        except NoRoute:
            return None
        cell = replace(cell, method="original", runtime=REFERENCE, device="cpu", workload=())
        return self._in_runtime("evaluate", cell, model, artifact, data, {"keep_outputs": True}, site=site)

    def _in_runtime(
        self,
        kind: str,
        cell: MatrixCell,
        model: Model,
        artifact: str,
        data: str,
        more: dict[str, Any],
        reference: str | None = None,
        site: Site | None = None,
    ) -> str:
        image = self.catalog.image_of(self.catalog.runtimes[cell.runtime], cell.device)
        title = f"{kind} {cell.model} {cell.method} on {cell.runtime} {cell.device}"
        title += f" {workload_name(cell.workload)}, round {more['round'] + 1}" if kind == "measure" else ""
        # How steps are kept apart is part of the key: a virtual environment isolates less than a container.
        spec = {"task": model.task, "runtime": cell.runtime, "device": cell.device, "isolation": self.isolation, **more}
        inputs = {"artifact": artifact, "data": data} | ({"reference": reference} if reference else {})
        code = keys.runtime_code(kind, self.catalog.runtimes[cell.runtime].module, image, model.task)
        machine = (site or self._site(cell)).machine
        return self._add(kind, title, image, code, spec, inputs, cell=cell, device=cell.device, machine=machine)

    def _site(self, cell: MatrixCell) -> Site:
        """Where a cell is measured: all cells of a model on a device at the same site, so that they can be compared."""
        able = [site for site in self.sites if site.devices.get(cell.device) is None] or list(self.sites)
        return assign(f"{cell.model}/{cell.device}", able)

    def _missing(self, device: str) -> str | None:
        """Why no site has the device, or None."""
        reasons = [site.devices.get(device) for site in self.sites]
        return None if None in reasons else reasons[0]

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
        cell = MatrixCell(model.name, "original", "null", "cpu", first.cell.workload)
        more = {"sampling": OVERHEAD_CALLS}
        return tuple(
            self._in_runtime("measure", cell, model, artifact, data, {**more, "round": number}) for number in range(3)
        )

    # --- models, data, artifacts ---------------------------------------------------------------------------------------

    def _artifact(self, model: Model, method: Method, loads: Sequence[Form]) -> str:
        """The key of the artifact that ``method`` makes of ``model`` in a form that is loaded; raises NoRoute."""
        asked = (model.name, repr(method.passes), *loads)
        if asked not in self._artifacts:
            try:
                self._artifacts[asked] = self._made(model, method, loads)
            except NoRoute as reason:
                self._artifacts[asked] = reason
        found = self._artifacts[asked]
        if isinstance(found, NoRoute):
            raise NoRoute(str(found))
        return found

    def _made(self, model: Model, method: Method, loads: Sequence[Form]) -> str:
        form, hops = self._route(model, method, loads)
        key = self._start(model, form)
        for hop in hops:
            key = self._hop(model, hop, key)
        return key

    def _route(self, model: Model, method: Method, loads: Sequence[Form]) -> tuple[Form, list[Hop]]:
        """The form to start from, and the way: in the source's precision, or where none leads from there in FP32."""
        form, use = self._contents_of(model).form, self._use(model)
        if form.format == "hf" and form != _FP32:
            with suppress(NoRoute):
                return form, route(form, method.passes, loads, use, self.catalog)
            form = _FP32
        return form, route(form, method.passes, loads, use, self.catalog)

    def _start(self, model: Model, form: Form) -> str:
        """The key of the model itself: trained by the zoo, or fetched; a checkpoint is normalized, too."""
        parsed = source.named(model.source, model.file)
        if isinstance(parsed, source.ZooSource):
            return self._train(model, parsed.name)
        fetched = self._fetch(parsed, model.sha256, model.trust, model.task)
        return self._normalize(model, fetched, form) if form.format == "hf" else fetched

    def _normalize(self, model: Model, fetched: str, form: Form) -> str:
        image = self.catalog.images[PREPARATION]
        base = self._contents_of(model).base
        inputs = {"artifact": fetched}
        if base:
            inputs["base"] = self._fetch(base, None, model.trust, model.task)
        spec = {"precision": form.precision, "trust": model.trust}
        code = keys.toolchain_code("normalize", image, [])
        return self._add("normalize", f"normalize {model.name} to {form}", image, code, spec, inputs)

    def _contents_of(self, model: Model) -> source.Contents:
        if model.name not in self._contents:
            self._contents[model.name] = self.contents(model)
        return self._contents[model.name]

    def _train(self, model: Model, name: str) -> str:
        entry = zoo.model(name)
        inputs = {f"source-{key}": self._fetch_pinned(pinned) for key, pinned in entry.SOURCES.items()}
        inputs |= self._data(f"zoo:{entry.DATASET}")
        image = self.catalog.images[entry.IMAGE]
        entries = [_zoo_module("models", name), _zoo_module("datasets", entry.DATASET)]
        code = keys.toolchain_code("train", image, entries)
        return self._add("train", f"train {name}", image, code, {"zoo": name, **tasks.card(entry.TASK).facts}, inputs)

    def _calibration(self, model: Model) -> str:
        """The rows of the training split, prepared for the model: what a pass may look at, and never what is evaluated on."""
        return self._prepare(model, self._artifact(model, Method(name="original"), _CHECKPOINTS), None, split="train")

    def _prepare(self, model: Model, artifact: str, workload: Mapping[str, int] | None, split: str = "evaluate") -> str:
        code, formats = self._reader(model)
        spec: dict[str, Any] = {
            "task": model.task,
            "dataset": _bare(model.dataset),
            "split": split,
            "workload": workload,
        }
        spec |= {"formats": formats} if formats else {}
        inputs = {"model": artifact, **self._data(model.dataset)}
        purpose = "inputs" if workload else "training data" if split == "train" else "held-out data"
        image = self.catalog.images[PREPARATION]
        return self._add("prepare", f"prepare {purpose} of {model.name}", image, code, spec, inputs)

    def _reader(self, model: Model) -> tuple[Closure, Sequence[str]]:
        """The code that prepares a model's data, and the formats of the data set's files."""
        if model.name not in self._readers:
            parsed = source.parse(model.dataset)
            formats = [] if isinstance(parsed, source.ZooSource) else list(self.formats(parsed))
            entries = keys.task_modules(model.task, "task", "prepare") + [datasets.reader_of(name) for name in formats]
            entries += [_zoo_module("datasets", parsed.name)] if isinstance(parsed, source.ZooSource) else []
            code = keys.toolchain_code("prepare", self.catalog.images[PREPARATION], entries)
            self._readers[model.name] = code, formats
        return self._readers[model.name]

    def _data(self, dataset: str) -> dict[str, str]:
        parsed = source.parse(dataset)
        if isinstance(parsed, source.ZooSource):
            entry = zoo.dataset(parsed.name)
            return {f"data-{key}": self._fetch_pinned(pinned) for key, pinned in entry.SOURCES.items()}
        return {"data-user": self._fetch(parsed, None, False, None)}

    def _fetch_pinned(self, pinned: zoo.PinnedFile) -> str:
        return self._fetch(source.parse(pinned.url), pinned.sha256, False, None)

    def _fetch(self, parsed: source.Source, sha256: str | None, trust: bool, task: str | None) -> str:
        spec: dict[str, Any] = {"source": str(parsed), "sha256": sha256, "trust": trust, "task": task}
        if task:
            spec |= tasks.card(task).facts  # what the manifest says of it
        spec |= {"layout": keys.FETCH_LAYOUT, "content": self.fingerprint(parsed)}
        return self._add("fetch", f"fetch {parsed}", None, None, spec, {})

    def _hop(self, model: Model, hop: Hop, artifact: str) -> str:
        card, image = hop.tool.card, hop.tool.image
        if hop.asked and isinstance(card, PassCard):
            spec: dict[str, Any] = {"pass": card.name, "parameters": card.complete(hop.asked.parameters)}
            spec |= {"toolchain": image.name.split("/")[1], "task": model.task}
            title = f"compress {model.name}: {card.name} by {image.name.split('/')[1]}"
            spec |= self._made_on(card.device)
            inputs = {"artifact": artifact}
            if card.needs_training_data:
                inputs["calibration"] = self._calibration(model)
                spec["recipe"] = asdict(tasks.card(model.task).recipe)
            read = model.task if card.needs_training_data else None
            code = keys.tool_code("compress", hop.tool.module, image, read)
            return self._add("compress", title, image, code, spec, inputs, device=card.device)
        spec = {"exporter": card.name, "toolchain": image.name.split("/")[1], "task": model.task}
        spec |= self._made_on(card.device)
        title = f"export {model.name} to {hop.form}"
        code = keys.tool_code("export", hop.tool.module, image, None)
        return self._add("export", title, image, code, spec, {"artifact": artifact}, device=card.device)

    def _made_on(self, device: str) -> dict[str, str]:
        """What is made on a GPU belongs to that GPU and its driver."""
        return {} if device == "cpu" else {"gpu": "; ".join(site.gpu for site in self.sites)}

    def _add(
        self,
        kind: str,
        title: str,
        image: Image | None,
        code: Closure | None,
        spec: Mapping[str, Any],
        inputs: Mapping[str, str],
        cell: MatrixCell | None = None,
        device: str = "cpu",
        machine: MachineName | None = None,
    ) -> str:
        limits, seed = self.matrix.limits, self.matrix.measure.seed
        environment = image.environment_hash if image else ""
        key = keys.key_of(
            kind, spec, inputs, environment=environment, code=code, machine=machine, cpus=limits.cpus, seed=seed
        )
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
                code,
                machine,
            )
        return key

    def _use(self, model: Model) -> Use:
        return tasks.card(model.task).use

    @cached_property
    def _models(self) -> dict[str, Model]:
        return {model.name: model for model in self.matrix.models}

    @cached_property
    def _methods(self) -> dict[str, Method]:
        return {method.name: method for method in self.matrix.methods}


def _zoo_module(kind: str, name: str) -> str:
    return f"harness.zoo.{kind}.{name.replace('-', '_')}"


def _bare(dataset: str) -> str:
    """A data set as steps know it: the bare name of the zoo's, ``path:...`` for the user's own."""
    return dataset.removeprefix("zoo:")
