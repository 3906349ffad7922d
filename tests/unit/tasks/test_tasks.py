"""What the tasks share: discovery, the bootstrap, storage."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics

from harness import tasks
from harness.contracts import prepared
from harness.contracts.cards import CALLS, MODALITIES
from harness.tasks import _classes, _ragged
from harness.tasks._bootstrap import interval, of_sums, paired, scored


@of_sums
def mean(sums: np.ndarray) -> np.ndarray:
    return sums[:, 0] / sums[:, 1]


def with_ones(values: np.ndarray) -> np.ndarray:
    return np.column_stack([values, np.ones_like(values)])


def test_the_tasks_are_the_folders() -> None:
    assert tasks.names() == ["image-classification", "text-classification", "text-generation", "token-classification"]


@pytest.mark.parametrize("name", tasks.names())
def test_a_card_says_what_is_true_of_its_folder(name: str) -> None:
    card = tasks.card(name)
    assert card.name == name
    assert (card.use.call in CALLS, card.use.modality in MODALITIES) == (True, True)
    assert card.fields["batch"].default == 1
    assert list(tasks.score(name).METRICS) == [metric.name for metric in card.metrics]
    assert callable(tasks.prepare(name).prepare_evaluation)
    assert callable(tasks.prepare(name).prepare_workload)
    assert {"task": name}.items() <= card.facts.items()


@pytest.mark.parametrize("name", tasks.names())
def test_a_card_has_its_words_in_both_languages(name: str) -> None:
    card = tasks.card(name)
    said = [card.words, *(field.words for field in card.fields.values()), *(metric.words for metric in card.metrics)]
    assert {tuple(sorted(words)) for words in said} == {("en", "ru")}
    assert all("{value}" in text for field in card.fields.values() for text in field.words.values())


def test_a_field_has_one_letter_whatever_the_task() -> None:
    found: dict[str, set[str]] = {}
    for name in tasks.names():
        for field, described in tasks.card(name).fields.items():
            found.setdefault(field, set()).add(described.letter)
    assert {field: {letter} for field, letter in tasks.letters().items()} == found


@pytest.mark.parametrize("offer", [tasks.card, tasks.prepare, tasks.score])
def test_an_unknown_task_is_told_with_those_that_are_near(offer: Callable[[str], object]) -> None:
    with pytest.raises(KeyError, match="did you mean 'token-classification'"):
        offer("tokn-classification")
    with pytest.raises(KeyError, match="there are image-classification, text-classification"):
        offer("weather")


def test_a_task_s_modules_are_loaded_one_by_one() -> None:
    code = (
        "import sys; from harness import tasks; tasks.score('text-generation');"
        "print(*sorted(name for name in sys.modules if name.startswith('harness.tasks.') and '._' not in name))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["harness.tasks.text_generation", "harness.tasks.text_generation.score"]


def test_a_plug_in_s_folder_brings_tasks_and_keeps_the_letters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "added_task"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "task.py").write_text(
        "from dataclasses import replace\n"
        "from harness.contracts.task import Field\n"
        "from harness.tasks.text_generation.task import CARD as OTHER\n"
        "FIELDS = {'batch': Field(1, 'x', {}), 'beams': Field(1, 'm', {})}\n"
        "CARD = replace(OTHER, name='added-task', fields=FIELDS)\n"
    )
    monkeypatch.setattr(tasks, "__path__", [*tasks.__path__, str(tmp_path)])
    assert "added-task" in tasks.names()
    assert tasks.card("added-task").name == "added-task"
    assert (tasks.letters()["batch"], tasks.letters()["beams"]) == ("b", "m")


def test_the_interval_agrees_with_scipys_percentile_bootstrap() -> None:
    values = np.random.default_rng(5).normal(10, 2, size=200)
    low, high = interval(with_ones(values), mean) or (0, 0)
    reference = stats.bootstrap((values,), np.mean, method="percentile", n_resamples=5000, rng=1).confidence_interval
    assert (low, high) == pytest.approx((reference.low, reference.high), abs=0.05)


def test_the_interval_is_the_same_every_time() -> None:
    values = with_ones(np.arange(20.0))
    assert interval(values, mean) == interval(values, mean)


@pytest.mark.parametrize("examples", [0, 1])
def test_fewer_than_two_examples_have_no_interval(examples: int) -> None:
    assert interval(np.ones((examples, 2)), mean) is None


def test_the_paired_interval_agrees_with_scipys_paired_bootstrap() -> None:
    draw = np.random.default_rng(5)
    theirs = draw.normal(10, 2, size=200)
    ours = theirs + draw.normal(0.3, 0.5, size=200)
    low, high = paired(with_ones(ours), with_ones(theirs), mean) or (0, 0)

    def change(a: np.ndarray, b: np.ndarray, axis: int) -> np.ndarray:
        return np.mean(a, axis=axis) - np.mean(b, axis=axis)

    reference = stats.bootstrap(
        (ours, theirs), change, method="percentile", paired=True, n_resamples=5000, rng=1
    ).confidence_interval
    assert (low, high) == pytest.approx((reference.low, reference.high), abs=0.02)


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=30))
def test_the_same_answers_differ_by_nothing(values: list[float]) -> None:
    tallies = with_ones(np.array(values))
    assert paired(tallies, tallies, mean) == (0, 0)


@pytest.mark.parametrize(
    ("name", "better", "worse"),
    [
        ("text-generation", [8.0, 10.0], [9.0, 10.0]),
        ("token-classification", [8.0, 10.0, 10.0], [7.0, 10.0, 10.0]),
        ("image-classification", [1.0, 1.0], [1.0, 0.0]),
        ("text-classification", [1.0, 1.0], [1.0, 0.0]),
    ],
)
def test_the_change_of_every_metric_of_a_task_has_an_interval(
    name: str, better: list[float], worse: list[float]
) -> None:
    others = [better if at % 3 else [0.0, *better[1:]] for at in range(20)]  # so that not all examples are alike
    ours = [worse if at % 2 and at % 3 else row for at, row in enumerate(others)]
    for metric in tasks.card(name).metrics:
        low, high = tasks.change_interval(name, metric.name, ours, others) or (0, 0)
        assert low <= high
        assert high < 0 if metric.higher_is_better else low > 0


def test_all_metrics_are_scored_from_the_same_tallies() -> None:
    tallies = with_ones(np.arange(10.0))
    score = scored(tallies, {"mean": mean, "double": lambda times, tallies: 2 * mean(times, tallies)})
    assert score.metrics["mean"].value == pytest.approx(4.5)
    assert score.metrics["double"].value == pytest.approx(9.0)
    assert score.metrics["mean"].interval == interval(tallies, mean)
    assert score.examples == 10


pairs = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=40)


@given(pairs)
def test_metrics_over_classes_are_those_of_scikit_learn(examples: list[tuple[int, int]]) -> None:
    tallies = np.array(examples, float)
    wanted, predicted = tallies.T
    once = np.ones((1, len(examples)))
    assert _classes.accuracy(once, tallies)[0] == pytest.approx(metrics.accuracy_score(wanted, predicted))
    macro = metrics.f1_score(wanted, predicted, average="macro", zero_division=0)
    assert _classes.macro_f1(once, tallies)[0] == pytest.approx(macro)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a single class
        correlation = metrics.matthews_corrcoef(wanted, predicted)
    assert _classes.matthews(once, tallies)[0] == pytest.approx(correlation, abs=1e-9)


@given(pairs, st.integers(0, 2**31))
def test_a_resample_is_scored_as_if_its_examples_were_listed(examples: list[tuple[int, int]], seed: int) -> None:
    tallies = np.array(examples, float)
    drawn = np.random.default_rng(seed).integers(0, len(examples), len(examples))
    times = np.bincount(drawn, minlength=len(examples)).astype(float)[None]
    once = np.ones((1, len(examples)))
    for metric in (_classes.accuracy, _classes.macro_f1, _classes.matthews):
        assert metric(times, tallies) == pytest.approx(metric(once, tallies[drawn]), abs=1e-9)


@given(st.lists(st.lists(st.integers(0, 50_000), max_size=9), max_size=9))
def test_flattening_ragged_items_loses_nothing(items: list[list[int]]) -> None:
    values, offsets = _ragged.flatten(items)
    assert [part.tolist() for part in _ragged.unflatten(values, offsets)] == items


@given(length=st.integers(1, 20), count=st.integers(1, 20), spare=st.integers(0, 40))
def test_windows_are_all_different_and_real(length: int, count: int, spare: int) -> None:
    stream = np.arange(length + count - 1 + spare)
    chosen = _ragged.windows(stream, length, count)
    assert chosen.shape == (count, length)
    assert len({row[0] for row in chosen}) == count
    assert (np.diff(chosen, axis=1) == 1).all()


def test_a_stream_that_is_too_short_says_how_much_is_missing() -> None:
    with pytest.raises(ValueError, match="has 10 tokens, the workload needs 15"):
        _ragged.windows(np.arange(10), length=8, count=8)


def test_stored_data_comes_back(tmp_path: Path) -> None:
    prepared.save(tmp_path, {"é": 1}, {"a": np.arange(3)})
    facts, arrays = prepared.load(tmp_path)
    assert facts == {"é": 1}
    assert arrays["a"].tolist() == [0, 1, 2]


def test_stored_data_holds_no_pickles(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="allow_pickle"):
        prepared.save(tmp_path, {}, {"a": np.array([{}], dtype=object)})
