"""Entity-level F1, checked against seqeval, and the sequences of a token-classification workload."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics import f1_score, precision_score, recall_score
from seqeval.metrics.sequence_labeling import get_entities

from harness.contracts import prepared
from harness.contracts.prepared import IGNORED
from harness.tasks import _ragged
from harness.tasks.token_classification import prepare, score
from tests.unit.tasks.conftest import write_labels

LABELS = ["O", "B-PER", "I-PER", "B-ORG", "I-ORG"]
BEGIN, END = 1, 2
SEQEVAL = {"f1": f1_score, "precision": precision_score, "recall": recall_score}


class Encoding(dict[str, Any]):
    """Token ids and word ids of several sentences, as transformers returns them."""

    def __init__(self, sentences: list[list[tuple[int, int | None]]], single: bool) -> None:
        self.sentences = sentences
        ids = [[token for token, _ in sentence] for sentence in sentences]
        super().__init__(input_ids=ids[0] if single else ids)

    def word_ids(self, index: int = 0) -> list[int | None]:
        return [word for _, word in self.sentences[index]]


class ThreeLetterTokenizer:
    """Words in pieces of three letters between a begin and an end token; at most 20 tokens."""

    model_max_length = 20

    @classmethod
    def from_pretrained(cls, path: Path, **options: Any) -> ThreeLetterTokenizer:
        return cls()

    def __call__(
        self, words: Sequence[Any], is_split_into_words: bool, add_special_tokens: bool = True, **options: Any
    ) -> Encoding:
        single = isinstance(words[0], str)
        sentences = [self.encode(sentence, add_special_tokens, options) for sentence in ([words] if single else words)]
        return Encoding(sentences, single)

    def encode(self, words: Sequence[str], special: bool, options: dict[str, Any]) -> list[tuple[int, int | None]]:
        pieces: list[tuple[int, int | None]] = [
            (ord(word[i]) + 1000, at) for at, word in enumerate(words) for i in range(0, len(word), 3)
        ]
        if options.get("truncation"):
            pieces = pieces[: options["max_length"] - 2]
        return [(BEGIN, None), *pieces, (END, None)] if special else pieces


@pytest.fixture(autouse=True)
def _transformers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", SimpleNamespace(AutoTokenizer=ThreeLetterTokenizer))


tags = st.lists(st.sampled_from(LABELS), min_size=1, max_size=12)
pairs = st.lists(tags.flatmap(lambda gold: st.tuples(st.just(gold), st.permutations(gold))), min_size=1, max_size=6)


@given(tags)
def test_spans_are_those_of_seqeval(sentence: list[str]) -> None:
    wanted = {(kind, start, end + 1) for kind, start, end in get_entities(sentence)}
    assert score.spans(sentence) == wanted


@pytest.mark.parametrize(
    ("sentence", "wanted"),
    [
        ("B-PER I-PER O", {("PER", 0, 2)}),
        ("B-PER B-PER", {("PER", 0, 1), ("PER", 1, 2)}),
        ("B-PER I-ORG", {("PER", 0, 1), ("ORG", 1, 2)}),
        ("O I-ORG I-ORG", {("ORG", 1, 3)}),
        ("O O", set()),
    ],
)
def test_spans_of(sentence: str, wanted: set[score.Span]) -> None:
    assert score.spans(sentence.split()) == wanted


@given(pairs)
def test_the_metrics_are_those_of_seqeval(tmp_path_factory: pytest.TempPathFactory, sentences: list[Any]) -> None:
    out = tmp_path_factory.mktemp("data")
    gold, offsets = _ragged.flatten([[LABELS.index(tag) for tag in sentence] for sentence, _ in sentences])
    first, _ = _ragged.flatten([range(len(sentence)) for sentence, _ in sentences])
    facts = {"labels": LABELS, "tags": LABELS}
    prepared.save(out, facts, {"first": first, "gold": gold, "word_offsets": offsets})
    predictions = [np.array([LABELS.index(tag) for tag in predicted]) for _, predicted in sentences]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # seqeval warns where there is no entity at all
        pair = [list(gold) for gold, _ in sentences], [list(predicted) for _, predicted in sentences]
        wanted = {name: metric(*pair, zero_division=0) for name, metric in SEQEVAL.items()}
    found = score.score(predictions, out).metrics
    assert {name: measured.value for name, measured in found.items()} == pytest.approx(wanted)


def f1(predictions: list[np.ndarray], out: Path) -> float:
    return score.score(predictions, out).metrics["f1"].value


def one_hot(sequence: list[int]) -> np.ndarray:
    return np.eye(len(LABELS))[sequence][None]


def test_only_the_first_sub_token_of_a_word_counts(model: Path, out: Path) -> None:
    prepare.prepare_evaluation([{"tokens": ["Alexander", "ran"], "tags": ["B-PER", "O"]}], model, out)
    (inputs,) = score.evaluation_batches(out)
    assert inputs["input_ids"].shape == (1, 6)  # begin, three pieces, one piece, end
    right_first = score.reduce({"logits": one_hot([0, 1, 3, 4, 0, 0])}, inputs)
    wrong_first = score.reduce({"logits": one_hot([0, 0, 1, 1, 0, 0])}, inputs)
    assert f1([right_first], out) == 1
    assert f1([wrong_first], out) == 0


def test_the_models_own_order_of_labels_is_used(model: Path, out: Path) -> None:
    write_labels(model, ["I-PER", "B-PER", "O"])
    prepare.prepare_evaluation([{"tokens": ["Eva"], "tags": ["B-PER"]}], model, out)
    assert f1([np.array([2, 1, 2])], out) == 1


def test_words_beyond_the_models_length_count_as_missed(model: Path, out: Path) -> None:
    tokens, tags = ["abc"] * 18 + ["Eva"], ["O"] * 18 + ["B-PER"]
    prepare.prepare_evaluation([{"tokens": ["Eva"], "tags": ["B-PER"]}, {"tokens": tokens, "tags": tags}], model, out)
    predictions = [np.array([0, 1, 0]), np.zeros(20, dtype=int)]
    assert f1(predictions, out) == pytest.approx(2 / 3)  # one found of two


def test_labels_of_another_scheme_are_refused(model: Path, out: Path) -> None:
    write_labels(model, ["LABEL_0", "LABEL_1"])
    with pytest.raises(ValueError, match="not a label of the IOB2 scheme"):
        prepare.prepare_evaluation([{"tokens": ["Eva"], "tags": ["B-PER"]}], model, out)


def test_a_model_of_other_entities_is_refused(model: Path, out: Path) -> None:
    write_labels(model, ["O", "B-GENE", "I-GENE"])
    with pytest.raises(ValueError, match="no entity in common"):
        prepare.prepare_evaluation([{"tokens": ["Eva"], "tags": ["B-PER"]}], model, out)


def test_sequences_are_filled_with_real_tokens_to_the_end(model: Path, out: Path) -> None:
    rows = [{"tokens": [chr(200 + i) * 3, "abc"], "tags": ["O", "O"]} for i in range(60)]
    prepare.prepare_workload(rows, model, {"batch": 3, "sequence_length": 16}, out)
    batches = prepared.load_batches(out)
    assert len(batches) >= 8
    assert len({batch["input_ids"].tobytes() for batch in batches}) == len(batches)
    for batch in batches:
        assert {array.shape for array in batch.values()} == {(3, 16)}
        assert batch["attention_mask"].all()
        assert (batch["input_ids"][:, 0] == BEGIN).all()
        assert (batch["input_ids"][:, -1] == END).all()
        assert (batch["input_ids"][:, 1:-1] > 1000).all()


def test_a_sequence_longer_than_the_model_takes_is_refused(model: Path, out: Path) -> None:
    with pytest.raises(ValueError, match="at most 20 tokens, the workload asks for 21"):
        prepare.prepare_workload([{"tokens": ["a"], "tags": ["O"]}], model, {"batch": 1, "sequence_length": 21}, out)


def test_a_words_tag_is_learnt_at_its_first_sub_token(model: Path, out: Path) -> None:
    prepare.prepare_evaluation([{"tokens": ["Alexander", "ran"], "tags": ["B-PER", "O"]}], model, out)
    (example,) = score.training_examples(out)
    assert example["input_ids"].shape == (6,)  # begin, three pieces, one piece, end
    assert example["labels"].tolist() == [IGNORED, 1, IGNORED, IGNORED, 0, IGNORED]


def test_a_tag_that_the_model_does_not_know_is_not_learnt(model: Path, out: Path) -> None:
    prepare.prepare_evaluation([{"tokens": ["Eva", "won"], "tags": ["B-PER", "B-MISC"]}], model, out)
    assert score.training_examples(out)[0]["labels"].tolist() == [IGNORED, 1, IGNORED, IGNORED]
