"""Texts and pairs of texts: which class each is of, and what a label that the model does not know comes to."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sklearn import metrics

from harness.contracts import prepared
from harness.contracts.task import Row
from harness.tasks._classes import accuracy, macro_f1, matthews
from harness.tasks.text_classification import prepare, score
from tests.unit.tasks.conftest import write_labels

LABELS = ["bad", "good", "7"]
BEGIN, END = 1, 2


class Encoding(dict[str, Any]):
    """As transformers returns it for one sequence in words."""

    def word_ids(self) -> list[int | None]:
        return [None, 0, None]


class LetterTokenizer:
    """A token a letter; a pair's second text is segment 1; at most 20 tokens."""

    model_max_length = 20
    segments = True

    @classmethod
    def from_pretrained(cls, path: Path, **options: Any) -> LetterTokenizer:
        return cls()

    def __call__(self, texts: Sequence[str], pairs: Sequence[str] | None = None, **options: Any) -> dict[str, Any]:
        if options.get("is_split_into_words"):
            return Encoding(input_ids=[BEGIN, ord("a"), END])
        special = options.get("add_special_tokens", True)
        encoded = [
            self.encode(*each, special=special) for each in zip(texts, pairs or [None] * len(texts), strict=True)
        ]
        if options.get("truncation"):
            encoded = [pieces[: options["max_length"]] for pieces in encoded]
        ids = [[token for token, _ in pieces] for pieces in encoded]
        segments = [[segment for _, segment in pieces] for pieces in encoded]
        return {"input_ids": ids, "token_type_ids": segments} if self.segments else {"input_ids": ids}

    @staticmethod
    def encode(text: str, pair: str | None, *, special: bool) -> list[tuple[int, int]]:
        parts = [text] if pair is None else [text, pair]
        pieces = [(BEGIN, 0)] if special else []
        for segment, part in enumerate(parts):
            pieces += [(ord(letter), segment) for letter in part] + ([(END, segment)] if special else [])
        return pieces


@pytest.fixture(autouse=True)
def _transformers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", SimpleNamespace(AutoTokenizer=LetterTokenizer))


def texts(*labels: str | int) -> list[Row]:
    return [{"text": f"text {number}", "label": label} for number, label in enumerate(labels)]


# --- labels ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("label", "number"),
    [("bad", 0), ("good", 1), (1, 1), (2, 2), ("0", 0), ("7", 2)],  # digits are a name first: tables hold text only
)
def test_a_label_is_a_name_or_a_number(label: str | int, number: int) -> None:
    assert prepare.numbers_of([label], LABELS) == [number]


@pytest.mark.parametrize(
    ("label", "labels", "told"),
    [
        ("ugly", LABELS, "the label 'ugly' is none of the model's: bad, good, 7"),
        (3, LABELS, "the label 3 is beyond the model's 3 classes, which begin with 0"),
        ("12", LABELS, "the label '12' is beyond the model's 3 classes, which begin with 0"),
        (-1, LABELS, "the label -1 is beyond"),
        ("good", ["LABEL_0", "LABEL_1"], "the model does not name its 2 classes: the label 'good' has to be a number from 0"),
        ("z", list("abcdefghijklmnopqrst"), "is none of the model's: a, b, c, d, e, f, g, h, i, j, k, l and 8 more"),
    ],
)  # fmt: skip
def test_a_label_that_the_model_does_not_know_is_told(label: str | int, labels: list[str], told: str) -> None:
    with pytest.raises(ValueError) as raised:
        prepare.numbers_of([label], labels)
    assert told in str(raised.value)


def test_a_model_without_names_has_two_classes(model: Path, out: Path) -> None:
    write_labels(model, [])
    prepare.prepare_evaluation(texts(0, 1, "1"), model, out)
    assert prepared.load(out)[1]["labels"].tolist() == [0, 1, 1]
    with pytest.raises(ValueError, match="beyond the model's 2 classes"):
        prepare.prepare_evaluation(texts(2), model, out)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"text": "a", "label": "bad"}, None),
        ({"text": "a", "text_pair": "b", "label": 1}, None),
        ({"text": 5, "label": "bad"}, "text: expected text, got 5"),
        ({"text": "a", "text_pair": None, "label": "bad"}, "text_pair: expected text, got None"),
        ({"text": "a", "label": True}, "label: True is no class"),
        ({"text": "a", "label": 0.5}, "label: 0.5 is no class"),
    ],
)
def test_a_row_of_the_wrong_types_is_told(row: Row, told: str | None) -> None:
    assert prepare.problem(row) == told


# --- what the model is given -------------------------------------------------------------------------------------------


def test_a_text_is_given_as_it_is_and_cut_at_the_limit(model: Path, out: Path) -> None:
    prepare.prepare_evaluation([{"text": "abc", "label": 0}, {"text": "x" * 50, "label": 1}], model, out)
    first, second = score.evaluation_batches(out)
    assert first["input_ids"].tolist() == [[BEGIN, *map(ord, "abc"), END]]
    assert first["attention_mask"].tolist() == [[1] * 5]
    assert not first["token_type_ids"].any()
    assert second["input_ids"].shape == (1, 20)


def test_a_pair_is_two_segments(model: Path, out: Path) -> None:
    prepare.prepare_evaluation([{"text": "ab", "text_pair": "c", "label": "good"}], model, out)
    (batch,) = score.evaluation_batches(out)
    assert batch["input_ids"].tolist() == [[BEGIN, ord("a"), ord("b"), END, ord("c"), END]]
    assert batch["token_type_ids"].tolist() == [[0, 0, 0, 0, 1, 1]]
    (example,) = score.training_examples(out)
    assert example["token_type_ids"].tolist() == [0, 0, 0, 0, 1, 1]


def test_rows_are_all_pairs_or_none(model: Path, out: Path) -> None:
    rows = [{"text": "ab", "text_pair": "c", "label": 0}, {"text": "ab", "label": 0}]
    with pytest.raises(ValueError, match="row 2 has no text_pair, others have"):
        prepare.prepare_evaluation(rows, model, out)


def test_a_tokenizer_without_segments_is_taken(model: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LetterTokenizer, "segments", False)
    prepare.prepare_evaluation([{"text": "ab", "text_pair": "c", "label": 0}], model, out)
    (batch,) = score.evaluation_batches(out)
    assert batch["token_type_ids"].tolist() == [[0] * 6]
    assert "token_type_ids" not in score.training_examples(out)[0]


def test_a_text_is_learnt_with_its_class(model: Path, out: Path) -> None:
    prepare.prepare_evaluation(texts("good", 0), model, out)
    examples = score.training_examples(out)
    assert [int(example["labels"]) for example in examples] == [1, 0]
    assert {tuple(example) for example in examples} == {("input_ids", "labels")}
    assert {example["labels"].ndim for example in examples} == {0}


@pytest.mark.parametrize("paired", [False, True])
def test_sequences_are_filled_with_real_text_to_the_end(model: Path, out: Path, paired: bool) -> None:
    rows = [{"text": chr(200 + number) * 9, "label": 0} for number in range(60)]
    rows = [{**row, "text_pair": "pair"} for row in rows] if paired else rows
    prepare.prepare_workload(rows, model, {"batch": 3, "sequence_length": 16}, out)
    batches = prepared.load_batches(out)
    assert len({batch["input_ids"].tobytes() for batch in batches}) == len(batches) >= 8
    for batch in batches:
        assert {array.shape for array in batch.values()} == {(3, 16)}
        assert batch["attention_mask"].all()
        assert (batch["input_ids"][:, 0] == BEGIN).all()
        assert (batch["input_ids"][:, -1] == END).all()
        assert (batch["input_ids"][:, 1:-1] > END).all()


def test_a_sequence_longer_than_the_model_takes_is_refused(model: Path, out: Path) -> None:
    with pytest.raises(ValueError, match="at most 20 tokens, the workload asks for 21"):
        prepare.prepare_workload(texts(0), model, {"batch": 1, "sequence_length": 21}, out)


# --- what is scored ----------------------------------------------------------------------------------------------------


def test_the_metrics_are_those_of_scikit_learn(model: Path, out: Path) -> None:
    draw = np.random.default_rng(0)
    wanted = draw.integers(0, 3, 50)
    predicted = np.where(draw.random(50) < 0.7, wanted, draw.integers(0, 3, 50))
    prepare.prepare_evaluation(texts(*wanted.tolist()), model, out)
    batches = score.evaluation_batches(out)
    answers = zip(predicted, batches, strict=True)
    reduced = [score.reduce({"logits": np.eye(3)[[answer]]}, batch) for answer, batch in answers]
    found = score.score(reduced, out)
    assert {name: measured.value for name, measured in found.metrics.items()} == pytest.approx(
        {
            "accuracy": metrics.accuracy_score(wanted, predicted),
            "macro_f1": metrics.f1_score(wanted, predicted, average="macro"),
            "matthews": metrics.matthews_corrcoef(wanted, predicted),
        }
    )
    for measured in found.metrics.values():
        assert measured.interval is not None
        assert measured.interval[0] < measured.value < measured.interval[1]


def test_the_number_of_a_class_is_no_amount_of_memory() -> None:
    few, far = np.array([[0.0, 1.0], [1.0, 1.0]]), np.array([[0.0, 1e15], [1e15, 1e15]])
    times = np.ones((3, 2))
    for metric in (macro_f1, matthews, accuracy):
        assert metric(times, far).tolist() == metric(times, few).tolist()
