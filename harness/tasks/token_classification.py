"""Token classification: entity-level micro F1 on sentences that are split into words and tagged in the IOB2 scheme.

A word's prediction is that of its first sub-token. An entity counts as found where its type and its whole span are
right.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from harness.tasks import IGNORED, Array, Misfit, Row, Score, _storage
from harness.tasks._bootstrap import Floats, interval

NAME = "token-classification"
METRIC = "f1"
HIGHER_IS_BETTER = True
WORKLOAD = {"batch": 1, "sequence_length": 128}

Span: TypeAlias = tuple[str, int, int]  # entity type, first word, word after the last

workload_batches = _storage.load_batches


def prepare_evaluation(rows: Sequence[Row], model: Path, out: Path) -> None:
    """Write the rows' ``tokens`` as the model's sub-tokens, and their ``tags``."""
    labels = _labels(model)
    tags = sorted({tag for row in rows for tag in row["tags"]})
    _require_iob2([*labels, *tags])
    if not set(labels) & set(tags) - {"O"}:
        raise Misfit(
            f"the model's labels ({', '.join(labels)}) and the data's ({', '.join(tags)}) have no entity in common"
        )
    tokenizer, limit = _tokenizer(model)
    encoded = tokenizer([row["tokens"] for row in rows], is_split_into_words=True, truncation=True, max_length=limit)
    firsts = [first_subtokens(encoded.word_ids(i), len(row["tokens"])) for i, row in enumerate(rows)]
    ids, offsets = _storage.flatten(encoded["input_ids"])
    first, word_offsets = _storage.flatten(firsts)
    gold, _ = _storage.flatten([[tags.index(tag) for tag in row["tags"]] for row in rows])
    arrays = {"input_ids": ids, "offsets": offsets, "first": first, "gold": gold, "word_offsets": word_offsets}
    _storage.save(out, {"task": NAME, "labels": labels, "tags": tags}, arrays)


def prepare_workload(rows: Sequence[Row], model: Path, workload: Mapping[str, int], out: Path) -> None:
    """Write sequences [batch, sequence_length] that consecutive sentences fill to the end: no padding."""
    batch, length = (workload[name] for name in WORKLOAD)
    tokenizer, limit = _tokenizer(model)
    if length > limit:
        raise Misfit(f"the model takes at most {limit} tokens, the workload asks for {length}")
    encoded = tokenizer([row["tokens"] for row in rows], is_split_into_words=True, add_special_tokens=False)
    before, after = _special_tokens(tokenizer)
    inner = length - len(before) - len(after)
    if inner < 1:
        raise Misfit(f"a sequence of {length} tokens has no room beside the special tokens")
    packed = _storage.windows(_storage.flatten(encoded["input_ids"])[0], inner, _storage.BATCHES * batch)
    edges = [np.tile(np.array(part, dtype=np.int64), (len(packed), 1)) for part in (before, after)]
    ids = np.concatenate([edges[0], packed, edges[1]], axis=1).reshape(_storage.BATCHES, batch, length)
    _storage.save(out, {"task": NAME, "workload": dict(workload)}, _inputs(ids))


def evaluation_batches(data: Path) -> Iterator[dict[str, Array]]:
    """``input_ids``, ``attention_mask`` and ``token_type_ids`` [1, tokens] of each sentence."""
    _, arrays = _storage.load(data)
    for ids in _storage.unflatten(arrays["input_ids"], arrays["offsets"]):
        yield _inputs(ids[None])


def training_examples(data: Path) -> list[dict[str, Array]]:
    """``input_ids`` and ``labels`` [tokens] of each sentence: the tag of a word stands at its first sub-token.

    All else is IGNORED: later sub-tokens, special tokens, and words whose tag the model does not know.
    """
    facts, arrays = _storage.load(data)
    known = {label: at for at, label in enumerate(facts["labels"])}
    ids_of_tags = np.array([known.get(tag, IGNORED) for tag in facts["tags"]], np.int64)
    sentences, firsts, golds = (
        _storage.unflatten(arrays[values], arrays[offsets])
        for values, offsets in (("input_ids", "offsets"), ("first", "word_offsets"), ("gold", "word_offsets"))
    )
    examples = []
    for ids, first, gold in zip(sentences, firsts, golds, strict=True):
        labels = np.full(len(ids), IGNORED, np.int64)
        labels[first[first >= 0]] = ids_of_tags[gold[first >= 0]]
        examples.append({"input_ids": ids, "labels": labels})
    return examples


def reduce(logits: Array, inputs: Mapping[str, Array]) -> Array:
    """The label id of every sub-token, [tokens]."""
    return np.asarray(logits[0].argmax(axis=-1), dtype=np.int16)


def score(predictions: Sequence[Array], data: Path) -> Score:
    """Entity-level micro F1; the interval resamples sentences."""
    facts, arrays = _storage.load(data)
    firsts = _storage.unflatten(arrays["first"], arrays["word_offsets"])
    golds = _storage.unflatten(arrays["gold"], arrays["word_offsets"])
    counts = np.zeros((len(golds), 3))
    for i, (predicted, first, gold) in enumerate(zip(predictions, firsts, golds, strict=True)):
        # A word that truncation cut off (-1) has no prediction: its entities are missed.
        found = spans([facts["labels"][predicted[at]] if at >= 0 else "O" for at in first])
        wanted = spans([facts["tags"][tag] for tag in gold])
        counts[i] = len(found & wanted), len(found), len(wanted)
    value = float(metric(counts.sum(axis=0)[None])[0])
    return Score(METRIC, value, interval(counts, metric), counts.tolist(), HIGHER_IS_BETTER)


def spans(tags: Sequence[str]) -> set[Span]:
    """The entities of one IOB2-tagged sentence.

    Lenient where the scheme is broken, as ``conlleval`` (Tjong Kim Sang & De Meulder, 2003) and seqeval's default mode
    are: an ``I-`` that follows no entity of its type begins one.
    """
    found: set[Span] = set()
    kind, start = "", 0
    for at, tag in enumerate([*tags, "O"]):
        prefix, _, now = tag.partition("-")
        if kind and (prefix != "I" or now != kind):
            found.add((kind, start, at))
            kind = ""
        if prefix != "O" and not kind:
            kind, start = now, at
    return found


def first_subtokens(word_ids: Sequence[int | None], words: int) -> list[int]:
    """Where each word's first sub-token stands in the sequence, -1 for a word that has none."""
    first = [-1] * words
    for at, word in enumerate(word_ids):
        if word is not None and first[word] < 0:
            first[word] = at
    return first


def metric(sums: Floats) -> Floats:
    """F1, of sums [n, 3] of entities that are right, that were found, that were wanted."""
    right, found, wanted = sums.T
    f1: Floats = np.divide(2 * right, found + wanted, out=np.zeros(len(sums)), where=found + wanted > 0)
    return f1


def _inputs(ids: Array) -> dict[str, Array]:
    return {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}


def _labels(model: Path) -> list[str]:
    names = json.loads((model / "config.json").read_text("utf-8")).get("id2label", {})
    return [names[key] for key in sorted(names, key=int)]


def _require_iob2(labels: Sequence[str]) -> None:
    wrong = [label for label in labels if label != "O" and label[:2] not in ("B-", "I-")]
    if wrong:
        raise Misfit(f"not a label of the IOB2 scheme (O, B-type, I-type): {', '.join(sorted(set(wrong)))}")


def _tokenizer(model: Path) -> tuple[Any, int]:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model, add_prefix_space=True)
    positions = json.loads((model / "config.json").read_text("utf-8")).get("max_position_embeddings", 512)
    return tokenizer, min(tokenizer.model_max_length, positions)


def _special_tokens(tokenizer: Any) -> tuple[list[int], list[int]]:
    """What the tokenizer puts before and after a sequence."""
    encoded = tokenizer(["a"], is_split_into_words=True)
    inner = [at for at, word in enumerate(encoded.word_ids()) if word is not None]
    return encoded["input_ids"][: inner[0]], encoded["input_ids"][inner[-1] + 1 :]
