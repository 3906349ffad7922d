"""Held-out windows and requests for language models."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from harness.contracts import prepared
from harness.contracts.task import Misfit, Row
from harness.tasks import _ragged

WINDOW = 512


def problem(row: Row) -> str | None:
    """What is wrong with a row, or None."""
    return None if isinstance(row["text"], str) else f"text: expected text, got {row['text']!r:.60}"


def prepare_evaluation(rows: Sequence[Row], model: Path, out: Path) -> None:
    """Write the windows of the rows' ``text``."""
    stream = _tokens(rows, model)
    window = min(WINDOW, json.loads((model / "config.json").read_text("utf-8")).get("max_position_embeddings", WINDOW))
    items = [stream[i : i + window] for i in range(0, len(stream), window)]
    items = [item for item in items if len(item) > 1]
    if not items:
        raise Misfit("the data set has no text to score")
    values, offsets = _ragged.flatten(items)
    prepared.save(out, {"window": window}, {"input_ids": values, "offsets": offsets})


def prepare_workload(rows: Sequence[Row], model: Path, workload: Mapping[str, int], out: Path) -> None:
    """Write prompts ``input_ids`` [batch, prompt_tokens] and their ``continuation_ids`` [batch, generated_tokens]."""
    batch, prompt, generated = (workload[name] for name in ("batch", "prompt_tokens", "generated_tokens"))
    stream = np.array(_tokens(rows, model), dtype=np.int64)
    windows = _ragged.windows(stream, prompt + generated, prepared.BATCHES * batch)
    windows = windows.reshape(prepared.BATCHES, batch, prompt + generated)
    arrays = {"input_ids": windows[..., :prompt], "continuation_ids": windows[..., prompt:]}
    prepared.save(out, {"workload": dict(workload)}, arrays)


def _tokens(rows: Sequence[Row], model: Path) -> list[int]:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    ids: list[int] = tokenizer("\n\n".join(row["text"] for row in rows), verbose=False)["input_ids"]
    return ids
