"""Held-out windows and requests for language models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness.contracts import checkpoint, prepared
from harness.contracts.task import Misfit, Row
from harness.tasks import _positions, _ragged

WINDOW = 512


def problem(row: Row) -> str | None:
    """What is wrong with a row, or None."""
    return None if isinstance(row["text"], str) else f"text: expected text, got {row['text']!r:.60}"


def prepare_evaluation(rows: Sequence[Row], model: Path, out: Path) -> None:
    """Write the windows of the rows' ``text``."""
    tokenizer, limit = _tokenizer(model)
    stream, start = _tokens(rows, tokenizer), _start(tokenizer)
    window = min(WINDOW, limit)
    inner = window - len(start)
    items = [[*start, *stream[i : i + inner]] for i in range(0, len(stream), inner)]
    items = [item for item in items if len(item) > 1]
    if not items:
        raise Misfit("the data set has no text to score")
    values, offsets = _ragged.flatten(items)
    prepared.save(out, {"window": window}, {"input_ids": values, "offsets": offsets})


def prepare_workload(rows: Sequence[Row], model: Path, workload: Mapping[str, int], out: Path) -> None:
    """Write prompts ``input_ids`` [batch, prompt_tokens] and their ``continuation_ids`` [batch, generated_tokens]."""
    batch, prompt, generated = (workload[name] for name in ("batch", "prompt_tokens", "generated_tokens"))
    tokenizer, limit = _tokenizer(model)
    if prompt + generated > limit:
        raise Misfit(f"the model takes at most {limit} tokens, the workload asks for {prompt} + {generated}")
    stream, start = np.array(_tokens(rows, tokenizer), dtype=np.int64), _start(tokenizer)[: prompt - 1]
    windows = _ragged.windows(stream, prompt + generated - len(start), prepared.BATCHES * batch)
    windows = np.concatenate([np.tile(np.array(start, dtype=np.int64), (len(windows), 1)), windows], axis=1)
    windows = windows.reshape(prepared.BATCHES, batch, prompt + generated)
    arrays = {"input_ids": windows[..., :prompt], "continuation_ids": windows[..., prompt:]}
    prepared.save(out, {"workload": dict(workload)}, arrays)


def _tokenizer(model: Path) -> tuple[Any, int]:
    """The tokenizer, and how many tokens the model takes."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model, **checkpoint.options(model))
    return tokenizer, _positions.token_limit(model, tokenizer) or 2**31


def _tokens(rows: Sequence[Row], tokenizer: Any) -> list[int]:
    text = "\n\n".join(row["text"] for row in rows)
    ids: list[int] = tokenizer(text, verbose=False, add_special_tokens=False)["input_ids"]
    return ids


def _start(tokenizer: Any) -> list[int]:
    """What the tokenizer puts before a text, such as a BOS token: models that were trained with it need it in every window."""
    plain = tokenizer("a", add_special_tokens=False)["input_ids"]
    full: list[int] = tokenizer("a")["input_ids"]
    return next((full[:at] for at in range(len(full)) if full[at : at + len(plain)] == plain), [])
