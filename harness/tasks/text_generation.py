"""Text generation: perplexity of held-out text, and requests of a prompt and a fixed continuation.

Perplexity: the held-out texts, joined by blank lines, are tokenized once (special tokens only as the tokenizer itself
adds them) and cut into windows of 512 tokens that do not overlap; the last may be shorter. A window is scored on every
token but its first. PPL = exp(summed negative log-likelihood / scored tokens), both over all windows.

Decoding is teacher-forced: every runtime is fed the same real continuation, so that all do the same work.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from harness.tasks import Array, Misfit, Row, Score, _storage
from harness.tasks._bootstrap import Floats, interval

NAME = "text-generation"
METRIC = "perplexity"
HIGHER_IS_BETTER = False
WORKLOAD = {"batch": 1, "prompt_tokens": 128, "generated_tokens": 32}

WINDOW = 512
_ROWS_AT_ONCE = 64  # bounds the float64 copy of the logits: 64 rows x 50,000 words are 26 MB

workload_batches = _storage.load_batches


def prepare_evaluation(rows: Sequence[Row], model: Path, out: Path) -> None:
    """Write the windows of the rows' ``text``."""
    stream = _tokens(rows, model)
    window = min(WINDOW, json.loads((model / "config.json").read_text("utf-8")).get("max_position_embeddings", WINDOW))
    items = [stream[i : i + window] for i in range(0, len(stream), window)]
    items = [item for item in items if len(item) > 1]
    if not items:
        raise Misfit("the data set has no text to score")
    values, offsets = _storage.flatten(items)
    _storage.save(out, {"task": NAME, "window": window}, {"input_ids": values, "offsets": offsets})


def prepare_workload(rows: Sequence[Row], model: Path, workload: Mapping[str, int], out: Path) -> None:
    """Write prompts ``input_ids`` [batch, prompt_tokens] and their ``continuation_ids`` [batch, generated_tokens]."""
    batch, prompt, generated = (workload[name] for name in WORKLOAD)
    stream = np.array(_tokens(rows, model), dtype=np.int64)
    windows = _storage.windows(stream, prompt + generated, _storage.BATCHES * batch)
    windows = windows.reshape(_storage.BATCHES, batch, prompt + generated)
    arrays = {"input_ids": windows[..., :prompt], "continuation_ids": windows[..., prompt:]}
    _storage.save(out, {"task": NAME, "workload": dict(workload)}, arrays)


def evaluation_batches(data: Path) -> Iterator[dict[str, Array]]:
    """``input_ids`` [1, up to 512] of each window."""
    _, arrays = _storage.load(data)
    for window in _storage.unflatten(arrays["input_ids"], arrays["offsets"]):
        yield {"input_ids": window[None]}


def training_examples(data: Path) -> list[dict[str, Array]]:
    """``input_ids`` [up to 512] of each window; the ``labels`` are the same ids, for models shift them themselves."""
    _, arrays = _storage.load(data)
    windows = _storage.unflatten(arrays["input_ids"], arrays["offsets"])
    return [{"input_ids": window, "labels": window} for window in windows]


def reduce(logits: Array, inputs: Mapping[str, Array]) -> Array:
    """``[summed negative log-likelihood in nats, scored tokens]`` of one window; the arithmetic is float64."""
    targets = inputs["input_ids"][0, 1:]
    scored = logits[0, :-1]
    nll = 0.0
    for start in range(0, len(targets), _ROWS_AT_ONCE):
        rows = scored[start : start + _ROWS_AT_ONCE].astype(np.float64)
        ids = targets[start : start + _ROWS_AT_ONCE]
        top = rows.max(axis=-1)
        log_normalizer = top + np.log(np.exp(rows - top[:, None]).sum(axis=-1))
        nll += float((log_normalizer - rows[np.arange(len(ids)), ids]).sum())
    return np.array([nll, len(targets)], dtype=np.float64)


def score(predictions: Sequence[Array], data: Path) -> Score:
    """Perplexity; the interval resamples windows."""
    sums = np.stack(predictions)
    value = float(metric(sums.sum(axis=0)[None])[0])
    return Score(METRIC, value, interval(sums, metric), sums.tolist(), HIGHER_IS_BETTER)


def metric(sums: Floats) -> Floats:
    """Perplexity, of sums [n, 2] of negative log-likelihoods and of scored tokens."""
    with np.errstate(over="ignore"):  # a broken model's perplexity may be infinite, and is reported so
        return np.exp(sums[:, 0] / sums[:, 1])


def _tokens(rows: Sequence[Row], model: Path) -> list[int]:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    ids: list[int] = tokenizer("\n\n".join(row["text"] for row in rows), verbose=False)["input_ids"]
    return ids
