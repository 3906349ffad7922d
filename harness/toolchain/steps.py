"""The four kinds of step that run in a toolchain image: prepare, train, compress, export."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from harness import tasks, zoo
from harness.contracts.artifact import Context, ConversionError, Made
from harness.contracts.cards import ExporterCard, Form, PassCard
from harness.toolchain.artifacts import loaded_versions, read_artifact, require_changed, require_weights, write_manifest
from harness.toolchain.data import rows_of

Spec = Mapping[str, Any]


def prepare(spec: Spec, out: Path, context: Context) -> None:
    """Write a data set's rows ready for a model: in a workload's shape where the spec has one, else to be scored on."""
    task = tasks.get(spec["task"])
    rows = rows_of(spec["dataset"], spec["split"], _named(context.inputs, "data-"))
    context.progress(0.3, f"preparing {len(rows)} rows of {spec['dataset']}")
    try:
        if spec["workload"] is None:
            task.prepare_evaluation(rows, context.inputs["model"], out)
        else:
            task.prepare_workload(rows, context.inputs["model"], spec["workload"], out)
    except tasks.Misfit as misfit:
        raise ConversionError(f"{spec['dataset']}: {misfit}") from misfit


def train(spec: Spec, out: Path, context: Context) -> None:
    """Train a model of the zoo on the train split of its data set."""
    model = zoo.model(spec["zoo"])
    rows = rows_of(model.DATASET, "train", _named(context.inputs, "data-"))
    made = model.train(_named(context.inputs, "source-"), rows, out, context)
    nothing = {"task": model.TASK, "passes": [], "provenance": [], "tools": {}}
    _finish({**_form(Form.parse(model.FORM)), **nothing}, made, out)


def compress(spec: Spec, out: Path, context: Context) -> None:
    """Apply one pass."""
    source = read_artifact(context.inputs["artifact"])
    module = _module("passes", spec["pass"])
    card: PassCard = module.CARD
    _require_accepted(card, source.form)
    parameters = _parameters(card, spec["parameters"])
    made = module.apply(source, out, parameters, context)
    require_weights(out, made)
    require_changed(source, out, made)
    entry = {"name": card.name, "toolchain": spec["toolchain"], "parameters": parameters, "effect": made.effect}
    passes = [*source.manifest["passes"], {**entry, "source": card.source}]
    _finish({**source.manifest, **_form(card.result(source.form, parameters)), "passes": passes}, made, out)


def export(spec: Spec, out: Path, context: Context) -> None:
    """Change the format."""
    source = read_artifact(context.inputs["artifact"])
    module = _module("exporters", spec["exporter"])
    card: ExporterCard = module.CARD
    _require_accepted(card, source.form)
    made = module.export(source, out, context)
    require_weights(out, made)
    entry = {"name": card.name, "toolchain": spec["toolchain"], "effect": made.effect, "source": card.source}
    exports = [*source.manifest.get("exports", []), entry]
    growth = sum((out / name).stat().st_size for name in made.weights) / sum(f.stat().st_size for f in source.weights)
    passes = [_in_new_file(each, growth) for each in source.manifest["passes"]]
    _finish({**source.manifest, **_form(card.result(source.form)), "exports": exports, "passes": passes}, made, out)


def _in_new_file(done: Mapping[str, Any], growth: float) -> Mapping[str, Any]:
    """A pass's record after an export: bits per weight are those of the new file, whose embeddings may be wider."""
    effect = done["effect"]
    if "bits_per_weight" not in effect:
        return done
    return {**done, "effect": {**effect, "bits_per_weight": round(growth * effect["bits_per_weight"], 3)}}


KINDS: Mapping[str, Callable[[Spec, Path, Context], None]] = {
    "prepare": prepare,
    "train": train,
    "compress": compress,
    "export": export,
}


def _finish(manifest: Mapping[str, Any], made: Made, out: Path) -> None:
    require_weights(out, made)
    new = {
        "weights": made.weights,
        "extra": made.extra,
        "provenance": [*manifest["provenance"], *made.provenance],
        "tools": {**manifest["tools"], **loaded_versions()},
    }
    write_manifest(out, {**manifest, **new})


def _named(inputs: Mapping[str, Path], prefix: str) -> dict[str, Path]:
    return {name.removeprefix(prefix): path for name, path in inputs.items() if name.startswith(prefix)}


def _module(kind: str, name: str) -> ModuleType:
    """A pass or an exporter of this image; modules beside their folders can be imported while it runs."""
    image = Path(os.environ["MATRIX_IMAGE_DIR"])
    file = image / kind / f"{name.replace('-', '_')}.py"
    if str(image) not in sys.path:
        sys.path.append(str(image))
    spec = importlib.util.spec_from_file_location(f"matrix_{kind}_{file.stem}", file)
    if spec is None or spec.loader is None or not file.is_file():
        raise ConversionError(f"this toolchain has no {name} among its {kind}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up there
    spec.loader.exec_module(module)
    return module


def _require_accepted(card: PassCard | ExporterCard, form: Form) -> None:
    if form not in card.accepts:
        raise ConversionError(f"{card.name} takes {', '.join(map(str, card.accepts))}, not {form}")


def _parameters(card: PassCard, given: Mapping[str, Any]) -> dict[str, Any]:
    unknown = sorted(given.keys() - card.parameters.keys())
    if unknown:
        raise ConversionError(f"{card.name} has no parameter {', '.join(unknown)}")
    complete = card.complete(given)
    for name, parameter in card.parameters.items():
        if problem := parameter.problem(complete[name]):
            raise ConversionError(f"{card.name}: {name}: {problem}")
    return complete


def _form(form: Form) -> dict[str, str]:
    return {"format": form.format, "precision": form.precision}
