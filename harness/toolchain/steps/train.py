"""The step that trains a model of the zoo on the train split of its data set."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness import zoo
from harness.contracts.artifact import Context, Manifest
from harness.contracts.cards import Form
from harness.toolchain.artifacts import finish, require_weights
from harness.toolchain.rows import named, placed_rows


def run(spec: Mapping[str, Any], out: Path, context: Context) -> None:
    """Train. The spec says how the model is used, as its manifest will."""
    model = zoo.model(spec["zoo"])
    rows = [row for _, row in placed_rows(model.DATASET, "train", context.inputs)]
    made = model.train(named(context.inputs, "source-"), rows, out, context)
    require_weights(out, made)
    form = Form.parse(model.FORM)
    used = (context.task, context.use.call, context.use.modality, context.auto_class)
    finish(Manifest(form.format, form.precision, *used, weights=[]), form, made, out)
