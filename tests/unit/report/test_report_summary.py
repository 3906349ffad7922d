import pytest

from harness.report.files.markdown import render_markdown, voice
from harness.report.html.report_page import render_html
from harness.report.table.build import build
from harness.report.table.columns import vocabulary
from harness.report.table.summary import busy, findings, noise
from harness.results import Latency, Results, Round
from harness.stats import round_interval
from tests.results_factory import results, wrap


def sentences(run: Results) -> dict[str, str]:
    say = voice(run.language, vocabulary(run))
    return {
        finding.group.model: " ".join(say.message(message, count) for message, count in finding.sentences)
        for finding in findings(build(run))
    }


def against_baseline(medians: list[float], language: str = "en") -> str:
    """What is said of one cell with these round medians, against a baseline of about 10 ms."""
    base, other = (c for c in results().cells if c.model == "minilm-ner" and c.method == "original" and c.device == "cpu"
                   and c.runtime in ("pytorch", "onnxruntime"))  # fmt: skip
    cells = [
        base.model_copy(update={"latency_ms": latency([10.0, 10.01, 9.99, 10.02, 9.98])}),
        other.model_copy(update={"latency_ms": latency(medians)}),
    ]
    return sentences(wrap(cells, language=language))["minilm-ner"]


def latency(medians: list[float]) -> Latency:
    rounds = [Round(samples_ms=[m], median_ms=m, ended_by="budget", warmup_calls=1) for m in medians]
    middle = sorted(medians)[len(medians) // 2]
    return Latency(p50=middle, p90=middle, p99=middle, interval=round_interval(medians), rounds=rounds)


def test_the_fastest_row_speaks_with_its_interval_and_its_price() -> None:
    said = sentences(results())["minilm-ner"]
    assert said.startswith("On CPU, onnxruntime int8-dynamic is 3.22× [3.19,\u00a03.25] faster than pytorch original.")
    assert "Its weights are 3.9× smaller." in said
    assert "Its F1 changes by −0.026 [−0.042,\u00a0−0.010]: worse." in said
    assert "The fastest with no loss of F1 shown is openvino original" in said


@pytest.mark.parametrize(
    ("medians", "expected"),
    [
        ([5.0, 5.1, 4.9, 5.0, 5.05], "faster than pytorch original."),
        ([20.0, 20.1, 19.9, 20.0, 20.2], "nothing beats pytorch original; the nearest, onnxruntime original, is 2.0"),
        ([10.0, 10.02, 9.98, 10.01, 9.99], "tie: the difference is within 2\u00a0%"),
        ([7.0, 14.0, 9.0, 12.0, 8.0], "too noisy to say which is faster."),
        ([5.0, 5.1, 4.9], "3 rounds are too few for a verdict."),
        ([5.0], "1 round is too few for a verdict."),
    ],
)
def test_the_words_follow_the_verdict(medians: list[float], expected: str) -> None:
    assert expected in against_baseline(medians)


def test_the_words_are_russian_when_the_report_is() -> None:
    assert "3 раундов мало для вывода." in against_baseline([5.0, 5.1, 4.9], "ru")
    assert "быстрее, чем pytorch original: 2.0" in against_baseline([5.0, 5.1, 4.9, 5.0, 5.05], "ru")


def test_nothing_is_found_where_nothing_was_measured() -> None:
    assert sentences(wrap([])) == {}
    assert sentences(wrap([c for c in results().cells if c.status.failed and c.latency_ms is None])) == {}


@pytest.mark.parametrize(("noisy", "told"), [(0, False), (4, False), (5, True), (8, True)])
def test_a_machine_on_which_most_rounds_were_noisy_is_called_busy(noisy: int, told: bool) -> None:
    cell = next(cell for cell in results().cells if cell.latency_ms)
    assert cell.latency_ms
    each = cell.latency_ms.rounds[0]
    off = {True: "throttled", False: None}
    rounds = [each.model_copy(update={"noisy": off[at < noisy], "counts": at > 0}) for at in range(8)]
    found = wrap([cell.model_copy(update={"latency_ms": cell.latency_ms.model_copy(update={"rounds": rounds})})])
    assert noise(found).arguments == {"noisy": str(noisy), "all": "8", "left": "1"}
    cautions = busy(found)
    assert bool(cautions) is told
    for caution in cautions:
        assert voice("en").message(caution).startswith(f"This machine was busy: {noisy} of 8 rounds")
    assert ("This machine was busy" in render_markdown(found, build(found), [])) is told
    assert ('class="busy"' in render_html(found, build(found))) is told
