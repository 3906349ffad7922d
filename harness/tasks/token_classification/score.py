"""Entity-level micro F1, precision and recall.

A word's prediction is that of its first sub-token. An entity counts as found where its type and its whole span are right.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np

from harness.contracts import prepared
from harness.contracts.adapter import Array, Arrays
from harness.contracts.prepared import IGNORED
from harness.contracts.task import Score
from harness.tasks import _ragged, _text
from harness.tasks._bootstrap import Floats, of_sums, ratio, scored

Span: TypeAlias = tuple[str, int, int]  # entity type, first word, word after the last


def evaluation_batches(data: Path) -> Iterator[dict[str, Array]]:
    """``input_ids``, ``attention_mask`` and ``token_type_ids`` [1, tokens] of each sentence."""
    _, arrays = prepared.load(data)
    for ids in _ragged.unflatten(arrays["input_ids"], arrays["offsets"]):
        yield _text.inputs(ids[None])


def training_examples(data: Path) -> list[dict[str, Array]]:
    """``input_ids`` and ``labels`` [tokens] of each sentence: the tag of a word stands at its first sub-token.

    All else is IGNORED: later sub-tokens, special tokens, and words whose tag the model does not know.
    """
    facts, arrays = prepared.load(data)
    known = {label: at for at, label in enumerate(facts["labels"])}
    ids_of_tags = np.array([known.get(tag, IGNORED) for tag in facts["tags"]], np.int64)
    sentences, firsts, golds = (
        _ragged.unflatten(arrays[values], arrays[offsets])
        for values, offsets in (("input_ids", "offsets"), ("first", "word_offsets"), ("gold", "word_offsets"))
    )
    examples = []
    for ids, first, gold in zip(sentences, firsts, golds, strict=True):
        labels = np.full(len(ids), IGNORED, np.int64)
        labels[first[first >= 0]] = ids_of_tags[gold[first >= 0]]
        examples.append({"input_ids": ids, "labels": labels})
    return examples


def reduce(outputs: Arrays, inputs: Arrays) -> Array:
    """The label id of every sub-token, [tokens]."""
    return np.asarray(outputs["logits"][0].argmax(axis=-1), dtype=np.int16)


def score(predictions: Sequence[Array], data: Path) -> Score:
    """Sentences are what is resampled; the tallies of each are its entities that are right, found, and in the data."""
    facts, arrays = prepared.load(data)
    firsts = _ragged.unflatten(arrays["first"], arrays["word_offsets"])
    golds = _ragged.unflatten(arrays["gold"], arrays["word_offsets"])
    counts = np.zeros((len(golds), 3))
    for i, (predicted, first, gold) in enumerate(zip(predictions, firsts, golds, strict=True)):
        # A word that truncation cut off (-1) has no prediction: its entities are missed.
        found = spans([facts["labels"][predicted[at]] if at >= 0 else "O" for at in first])
        wanted = spans([facts["tags"][tag] for tag in gold])
        counts[i] = len(found & wanted), len(found), len(wanted)
    return scored(counts, METRICS)


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


def f1(sums: Floats) -> Floats:
    """F1 from sums [n, 3]: entities that are right, found, and in the data. 0 where there are none."""
    right, found, wanted = sums.T
    return ratio(2 * right, found + wanted)


def precision(sums: Floats) -> Floats:
    """The right ones among the found; sums as of ``f1``."""
    return ratio(sums[:, 0], sums[:, 1])


def recall(sums: Floats) -> Floats:
    """The found ones among those in the data; sums as of ``f1``."""
    return ratio(sums[:, 0], sums[:, 2])


METRICS = {"f1": of_sums(f1), "precision": of_sums(precision), "recall": of_sums(recall)}
