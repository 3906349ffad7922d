"""Looking at sources before anything is fetched or run: what a local model is, and what will not work with it.

Only small files and headers are read. A source on a hub or in a package is taken by its name until it is fetched.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness import tasks
from harness.contracts.cards import Form
from harness.contracts.checkpoint import ADAPTER
from harness.contracts.task import TaskCard
from harness.errors import SourceError
from harness.matrix import source
from harness.matrix.document import Mistake
from harness.matrix.spec import Matrix, Model
from harness.sources import existing, file_safety
from harness.sources.models import describe, read_object

#: Precisions in which a checkpoint can be kept; others are computed in fp32.
_KEPT = ("fp32", "fp16", "bf16")


def mistakes(matrix: Matrix, base: Path) -> Iterator[Mistake]:
    """What will not work with the models of a matrix; ``base`` is the folder of the matrix file."""
    for index, model in enumerate(matrix.models):
        try:
            contents(model, base, matrix.limits.source)
        except SourceError as error:
            yield Mistake(("models", index, "source"), error.problem, error.cure)


def contents(model: Model, base: Path, most: int = file_safety.MAX_BYTES) -> source.Contents:
    """What the source of a model holds. Raises SourceError where that cannot be measured as the matrix asks."""
    parsed = source.named(model.source, model.file)
    if not isinstance(parsed, source.PathSource):
        return replace(source.guess(parsed), base=source.parse(model.base) if model.base else None)
    path = existing(parsed, base)
    files = {name: file for name, file in file_safety.files_below(path, most).items() if "/" not in name}
    found = describe(files, str(parsed))
    if model.base and ("config.json" in files or ADAPTER not in files):
        raise SourceError(f"{parsed}: no adapter alone, so that it has no base", "remove `base` from the model's entry")
    if found["format"] != "hf":
        return source.Contents(Form(found["format"], found["precision"]))
    precision = found["precision"] if found["precision"] in _KEPT else "fp32"
    form = Form("hf", precision)
    if "config.json" not in files:
        return source.Contents(form, _base_of(model, files[ADAPTER], str(parsed)))
    config = read_object(files["config.json"])
    _require_plain(config, str(parsed))
    if ADAPTER not in files:
        _require_head(config, tasks.card(model.task), str(parsed))
    return source.Contents(form)


def _base_of(model: Model, adapter: Path, where: str) -> source.Source:
    """The model that an adapter changes. Raises SourceError where the matrix does not name it."""
    if model.base:
        return source.parse(model.base)
    named = str(read_object(adapter).get("base_model_name_or_path") or "org/name")
    raise SourceError(
        f"{where}: holds an adapter alone, of the base model {named[:100]!r}",
        f"name that one, too: `base: hf:{named[:100]}` or `base: path:...`",
    )


def _require_plain(config: dict[str, Any], where: str) -> None:
    """Raise SourceError for a checkpoint that is quantized already."""
    if not isinstance(quantization := config.get("quantization_config"), dict):
        return
    method = quantization.get("quant_method", "an unknown method")
    raise SourceError(
        f"{where}: the checkpoint is quantized already, by {method}",
        "name the unquantized model, and its quantization as a method, or a GGUF file, which is measured as it is",
    )


def _require_head(config: dict[str, Any], task: TaskCard, where: str) -> None:
    """Raise SourceError where the architecture is of another task; a model that brings its own code may be called anything."""
    classes = config.get("architectures")
    if not isinstance(classes, list) or not classes or task.auto_class in (config.get("auto_map") or {}):
        return
    name = str(classes[0])
    if not task.heads or name.endswith(task.heads):
        return
    others = [card.name for card in map(tasks.card, tasks.names()) if card.heads and name.endswith(card.heads)]
    takes = f"{task.name} takes classes that end in {' or '.join(task.heads)}"
    if name.endswith("Model"):
        takes = f"it has no head: fine-tune it for {task.name} first, or name a checkpoint that was"
    cure = f"its task is {others[0]}" if others else takes
    raise SourceError(f"{where}: config.json names a {name}, which is not made for {task.name}", cure)
