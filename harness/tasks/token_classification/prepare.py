"""Sentences in words, as sub-tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.contracts import prepared
from harness.contracts.task import Misfit, Row
from harness.tasks import _ragged, _text


def problem(row: Row) -> str | None:
    """What is wrong with a row, or None."""
    tokens, tags = row["tokens"], row["tags"]
    if not isinstance(tokens, list) or not isinstance(tags, list):
        return "tokens and tags have to be lists"
    for name, words in (("tokens", tokens), ("tags", tags)):
        if not all(isinstance(word, str) for word in words):
            return f"{name}: expected words, got {words!r:.60}"
    return None if len(tokens) == len(tags) else f"{len(tokens)} tokens but {len(tags)} tags"


def prepare_evaluation(rows: Sequence[Row], model: Path, out: Path) -> None:
    """Write the rows' ``tokens`` as the model's sub-tokens, and their ``tags``."""
    labels = _text.labels_of(model)
    tags = sorted({tag for row in rows for tag in row["tags"]})
    _require_iob2([*labels, *tags])
    if not set(labels) & set(tags) - {"O"}:
        raise Misfit(
            f"the model's labels ({', '.join(labels)}) and the data's ({', '.join(tags)}) have no entity in common"
        )
    tokenizer, limit = _tokenizer(model)
    encoded = tokenizer([row["tokens"] for row in rows], is_split_into_words=True, truncation=True, max_length=limit)
    firsts = [_text.first_subtokens(encoded.word_ids(i), len(row["tokens"])) for i, row in enumerate(rows)]
    ids, offsets = _ragged.flatten(encoded["input_ids"])
    first, word_offsets = _ragged.flatten(firsts)
    gold, _ = _ragged.flatten([[tags.index(tag) for tag in row["tags"]] for row in rows])
    arrays = {"input_ids": ids, "offsets": offsets, "first": first, "gold": gold, "word_offsets": word_offsets}
    prepared.save(out, {"labels": labels, "tags": tags}, arrays)


def prepare_workload(rows: Sequence[Row], model: Path, workload: Mapping[str, int], out: Path) -> None:
    """Write sequences [batch, sequence_length] that consecutive sentences fill to the end: no padding."""
    tokenizer, limit = _tokenizer(model)
    encoded = tokenizer([row["tokens"] for row in rows], is_split_into_words=True, add_special_tokens=False)
    inputs = _text.packed(encoded["input_ids"], tokenizer, limit, workload["batch"], workload["sequence_length"])
    prepared.save(out, {"workload": dict(workload)}, inputs)


def _require_iob2(labels: Sequence[str]) -> None:
    wrong = [label for label in labels if label != "O" and label[:2] not in ("B-", "I-")]
    if wrong:
        raise Misfit(f"not a label of the IOB2 scheme (O, B-type, I-type): {', '.join(sorted(set(wrong)))}")


def _tokenizer(model: Path) -> tuple[Any, int]:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model, add_prefix_space=True)
    return tokenizer, _text.token_limit(tokenizer, model)
