"""A cell that answers as the reference agrees in everything; one that does not is told by how much."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax, softmax
from scipy.stats import entropy

from harness.contracts.record import FidelityRecord
from harness.worker import fidelity
from harness.worker.fidelity import CLASSES, Deviation, Reference


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reference")


def compared(folder: Path, reference: list[Any], cell: list[Any]) -> FidelityRecord:
    keeper = Reference()
    for logits in reference:
        keeper.see(logits)
    keeper.save(folder)
    comparison = Deviation(folder)
    for logits in cell:
        comparison.see(logits)
    return comparison.record()


def random_logits(seed: int, shape: tuple[int, ...]) -> Any:
    return (3 * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)


@given(seed=st.integers(0, 99), classes=st.sampled_from([2, 10, CLASSES, CLASSES + 1, 500]))
def test_the_same_outputs_agree_in_everything(folder: Path, seed: int, classes: int) -> None:
    examples = [random_logits(seed + at, (1, 3 + at, classes)) for at in range(3)]
    record = compared(folder, examples, examples)
    assert record.positions == 12
    assert record.top1_agreement == 1
    assert record.kl_divergence == pytest.approx(0, abs=1e-9)
    assert record.max_logit_difference == 0


@given(seed=st.integers(0, 99), classes=st.integers(2, CLASSES))
def test_of_few_classes_the_divergence_is_exact(folder: Path, seed: int, classes: int) -> None:
    ours, theirs = (random_logits(seed + at, (5, classes)) for at in (0, 1000))
    record = compared(folder, [theirs], [ours])
    wanted = entropy(softmax(theirs.astype(float), axis=1), softmax(ours.astype(float), axis=1), axis=1).mean()
    assert record.kl_divergence == pytest.approx(wanted, rel=1e-4)
    assert record.top1_agreement == (ours.argmax(1) == theirs.argmax(1)).mean()
    assert record.max_logit_difference == pytest.approx(np.abs(ours - theirs).max())


@given(seed=st.integers(0, 99), scale=st.floats(0.01, 1))
def test_of_many_classes_it_is_a_lower_bound_and_near(folder: Path, seed: int, scale: float) -> None:
    theirs = random_logits(seed, (1, 8, 2000)) * 2
    ours = theirs + scale * random_logits(seed + 1000, theirs.shape) / 3
    record = compared(folder, [theirs], [ours])
    logs = [log_softmax(logits[0].astype(float), axis=-1) for logits in (theirs, ours)]
    true = (np.exp(logs[0]) * (logs[0] - logs[1])).sum(axis=-1).mean()
    assert record.kl_divergence <= true * (1 + 1e-6) + 1e-9
    assert record.kl_divergence >= 0.5 * true


def test_logits_that_differ_by_a_constant_are_the_same_answer(folder: Path) -> None:
    logits = random_logits(0, (1, 4, 10))
    record = compared(folder, [logits], [logits + 1])
    assert record.kl_divergence == pytest.approx(0, abs=1e-6)
    assert record.max_logit_difference == pytest.approx(1, rel=1e-5)


def test_answers_for_other_positions_are_an_error(folder: Path) -> None:
    with pytest.raises(ValueError, match="the outputs have 4 positions, the reference's 5"):
        compared(folder, [random_logits(0, (1, 5, 3))], [random_logits(0, (1, 4, 3))])


def test_the_reference_keeps_the_first_examples_only(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fidelity, "POSITIONS", 6)
    examples = [random_logits(at, (1, 4, 3)) for at in range(5)]
    assert compared(folder, examples, examples).positions == 8


def test_what_is_not_a_number_stays_so(folder: Path) -> None:
    logits = random_logits(0, (1, 4, 3))
    broken = logits.copy()
    broken[0, 2, 1] = np.nan
    assert np.isnan(compared(folder, [logits], [broken]).kl_divergence)
