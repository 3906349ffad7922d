"""Perplexity, and the requests of a text-generation workload."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.special import log_softmax

from harness.contracts import prepared
from harness.contracts.task import Misfit
from harness.tasks.text_generation import prepare, score


class CharacterTokenizer:
    """One token per character, as transformers' tokenizers are called."""

    model_max_length = 10**30
    start: tuple[int, ...] = ()

    @classmethod
    def from_pretrained(cls, path: Path, **options: Any) -> CharacterTokenizer:
        return cls()

    def __call__(self, text: str, verbose: bool = True, add_special_tokens: bool = True) -> dict[str, list[int]]:
        return {"input_ids": [*(self.start if add_special_tokens else ()), *map(ord, text)]}


@pytest.fixture(autouse=True)
def _transformers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", SimpleNamespace(AutoTokenizer=CharacterTokenizer))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    (tmp_path / "model").mkdir()
    (tmp_path / "model/config.json").write_text(json.dumps({"max_position_embeddings": 2048}))
    return tmp_path / "model"


def test_windows_hold_512_tokens_do_not_overlap_and_keep_the_tail(model: Path, out: Path) -> None:
    rows = [{"text": "a" * 700}, {"text": "b" * 500}]
    prepare.prepare_evaluation(rows, model, out)
    windows = [batch["input_ids"] for batch in score.evaluation_batches(out)]
    assert [window.shape for window in windows] == [(1, 512), (1, 512), (1, 178)]
    text = "".join(chr(i) for i in np.concatenate(windows, axis=1)[0])
    assert text == "a" * 700 + "\n\n" + "b" * 500


def test_every_window_and_prompt_starts_as_the_tokenizer_starts_a_text(
    model: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CharacterTokenizer, "start", (1,))
    prepare.prepare_evaluation([{"text": "a" * 1000}], model, out)
    windows = [batch["input_ids"][0] for batch in score.evaluation_batches(out)]
    assert [(len(window), window[0]) for window in windows] == [(512, 1), (490, 1)]
    prepare.prepare_workload(
        [{"text": "abc" * 700}], model, {"batch": 1, "prompt_tokens": 8, "generated_tokens": 2}, out
    )
    assert {int(batch["input_ids"][0, 0]) for batch in prepared.load_batches(out)} == {1}


def test_a_request_that_the_model_cannot_take_is_refused(model: Path, out: Path) -> None:
    with pytest.raises(Misfit, match="at most 2048 tokens"):
        prepare.prepare_workload(
            [{"text": "a" * 9000}], model, {"batch": 1, "prompt_tokens": 2000, "generated_tokens": 49}, out
        )


def test_a_last_token_by_itself_is_not_a_window(model: Path, out: Path) -> None:
    prepare.prepare_evaluation([{"text": "a" * 513}], model, out)
    assert len(list(score.evaluation_batches(out))) == 1


def test_windows_are_no_longer_than_the_model_can_read(model: Path, out: Path) -> None:
    (model / "config.json").write_text(json.dumps({"max_position_embeddings": 100}))
    prepare.prepare_evaluation([{"text": "a" * 200}], model, out)
    assert [batch["input_ids"].shape for batch in score.evaluation_batches(out)] == [(1, 100), (1, 100)]


def test_no_text_is_an_error(model: Path, out: Path) -> None:
    with pytest.raises(ValueError, match="no text to score"):
        prepare.prepare_evaluation([{"text": ""}], model, out)


def test_a_window_is_reduced_to_its_summed_nll_and_its_scored_tokens() -> None:
    random = np.random.default_rng(0)
    ids, logits = random.integers(0, 40, (1, 150)), random.normal(0, 5, (1, 150, 40)).astype(np.float32)
    nll, count = score.reduce({"logits": logits}, {"input_ids": ids})
    wanted = -log_softmax(logits[0, :-1].astype(np.float64), axis=-1)[np.arange(149), ids[0, 1:]].sum()
    assert count == 149
    assert nll == pytest.approx(wanted, rel=1e-12)


def test_logits_too_large_for_exp_do_not_overflow() -> None:
    logits = np.array([[[1e4, 0.0], [0.0, 0.0]]], dtype=np.float32)
    assert score.reduce({"logits": logits}, {"input_ids": np.array([[0, 0]])}).tolist() == [0.0, 1.0]


def test_a_model_that_knows_nothing_has_the_vocabulary_as_perplexity(model: Path, out: Path) -> None:
    prepare.prepare_evaluation([{"text": "some text " * 200}], model, out)
    batches = score.evaluation_batches(out)
    reduced = [score.reduce({"logits": np.zeros((1, batch["input_ids"].shape[1], 250))}, batch) for batch in batches]
    found = score.score(reduced, out)
    assert found.metrics["perplexity"].value == pytest.approx(250)
    assert found.metrics["perplexity"].interval == pytest.approx((250, 250))
    assert found.examples == 4


def test_windows_count_by_their_tokens(out: Path) -> None:
    short, long = np.array([10.0, 1.0]), np.array([99.0, 99.0])
    assert score.score([short, long], out).metrics["perplexity"].value == pytest.approx(np.exp(109 / 100))


def test_a_request_is_a_prompt_and_the_text_that_really_follows(model: Path, out: Path) -> None:
    text = "".join(chr(i) for i in range(1000, 3000))
    prepare.prepare_workload([{"text": text}], model, {"batch": 2, "prompt_tokens": 50, "generated_tokens": 7}, out)
    batches = prepared.load_batches(out)
    assert len(batches) >= 8
    assert len({batch["input_ids"].tobytes() for batch in batches}) == len(batches)
    for batch in batches:
        assert batch["input_ids"].shape == (2, 50)
        assert batch["continuation_ids"].shape == (2, 7)
        assert batch["input_ids"].dtype == np.int64
        assert (batch["continuation_ids"][:, 0] == batch["input_ids"][:, -1] + 1).all()


def test_every_window_is_learnt_as_it_is(model: Path, out: Path) -> None:
    prepare.prepare_evaluation([{"text": "some text " * 200}], model, out)
    examples = score.training_examples(out)
    assert [len(example["input_ids"]) for example in examples] == [512, 512, 512, 464]
    assert all((example["labels"] == example["input_ids"]).all() for example in examples)
