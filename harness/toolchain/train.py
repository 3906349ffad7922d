"""The step that trains a model of the zoo on the train split of its data set."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness import zoo
from harness.contracts.artifact import Context, Manifest
from harness.contracts.cards import Form
from harness.contracts.task import ModelFacts
from harness.toolchain.artifacts import finish
from harness.toolchain.rows import named, placed_rows


def run(spec: Mapping[str, Any], out: Path, context: Context) -> None:
    """Train. The spec says how the model is used, as its manifest will."""
    model = zoo.model(spec["zoo"])
    rows = [row for _, row in placed_rows(model.DATASET, "train", context.inputs)]
    made = model.train(named(context.inputs, "source-"), rows, out, context)
    form = Form.parse(model.FORM)
    use: ModelFacts = {name: spec[name] for name in ModelFacts.__annotations__}  # type: ignore[assignment]
    finish(Manifest(format=form.format, precision=form.precision, weights=[], **use), made, out)
