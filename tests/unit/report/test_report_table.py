import pytest

from harness.report.charts.plot import Box, front, place_label, scale
from harness.report.table.build import build
from harness.report.table.model import Group, Row
from harness.results import Results, Status
from harness.stats import Verdict
from tests.results_factory import failed, results, wrap


@pytest.fixture(scope="module")
def run() -> Results:
    return results()


def group(run: Results, model: str, device: str = "cpu") -> Group:
    return next(group for group in build(run).groups if (group.model, group.device) == (model, device))


def row(run: Results, model: str, method: str, runtime: str) -> Row:
    return next(r for r in group(run, model).rows if (r.cell.method, r.cell.runtime) == (method, runtime))


def test_every_cell_is_a_row(run: Results) -> None:
    assert sorted(row.cell.id for row in build(run).rows) == sorted(cell.id for cell in run.cells)


def test_groups_of_a_model_stand_together(run: Results) -> None:
    names = [group.model for group in build(run).groups]
    assert names == sorted(names, key=list(dict.fromkeys(names)).index)


def test_the_baseline_is_original_on_pytorch_and_compared_with_nothing(run: Results) -> None:
    base = group(run, "minilm-ner").baseline
    assert base is not None
    assert (base.cell.method, base.cell.runtime, base.speed, base.weights_ratio) == ("original", "pytorch", None, None)


def test_a_row_is_relative_to_its_groups_baseline(run: Results) -> None:
    small = row(run, "minilm-ner", "int8-dynamic", "onnxruntime")
    assert small.verdict == Verdict.FASTER
    assert small.speed
    assert small.speed.speedup == pytest.approx(1 / 0.31, rel=0.05)
    assert small.weights_ratio == pytest.approx(1 / 0.256, rel=0.01)
    assert small.quality
    assert small.quality.better is False


def test_a_lower_perplexity_is_better(run: Results) -> None:
    worse = row(run, "smollm2-135m", "int8-dynamic", "onnxruntime").quality
    assert worse
    assert worse.value > 0
    assert worse.better is False


def test_three_rounds_have_an_interval_and_no_verdict() -> None:
    few = row(results(rounds=3), "minilm-ner", "int8-dynamic", "onnxruntime")
    assert few.speed
    assert few.speed.interval
    assert few.verdict is None


def test_nothing_is_said_of_the_speed_of_a_diverged_cell(run: Results) -> None:
    diverged = row(run, "smollm2-135m", "fp16", "onnxruntime")
    assert diverged.cell.status is Status.DIVERGED
    assert (diverged.speed, diverged.verdict) == (None, None)


def test_p_values_are_corrected_within_the_group(run: Results) -> None:
    noisy = row(run, "smollm2-135m", "fp16", "pytorch")
    assert noisy.speed
    assert noisy.speed.p is not None
    assert noisy.p is not None
    assert noisy.p >= noisy.speed.p


def test_what_is_missing_says_why(run: Results) -> None:
    skipped = row(run, "minilm-ner", "original", "pytorch").missing
    assert skipped["gpu_ms"].arguments["text"] == "no CUDA device on this host"
    planned = row(run, "minilm-ner", "bf16", "pytorch").missing
    assert planned["gpu_ms"].key == "missing.not-in-matrix"
    assert planned["vram"].arguments["text"] == "no device memory on cpu"
    assert set(row(run, "minilm-ner", "bf16", "onnxruntime").missing) >= {"weights", "cpu_ms", "ram", "quality"}


def test_without_a_measured_baseline_there_are_no_ratios(run: Results) -> None:
    cells = [c for c in run.cells if c.model == "minilm-ner" and (c.method, c.runtime) != ("original", "pytorch")]
    broken = failed("minilm-ner", "original", "pytorch", Status.CRASHED, "it fell over")
    found = build(wrap([broken, *cells])).groups[0]
    assert found.baseline is None
    assert all(r.speed is None and r.weights_ratio is None and r.quality is None for r in found.rows)


def test_anchors_are_unique(run: Results) -> None:
    anchors = [r.anchor for r in build(run).rows]
    assert len(set(anchors)) == len(anchors)


def test_the_front_holds_what_nothing_beats() -> None:
    points = [(1.0, 0.8), (2.0, 0.9), (3.0, 0.85), (2.0, 0.7), (4.0, 0.9)]
    assert front(points, higher_is_better=True) == [0, 1]
    assert front(points, higher_is_better=False) == [0, 3]


@pytest.mark.parametrize("values", [[1.0, 2.0], [0.001, 900.0], [5.0], [0.0, 0.0], [-1.0, 3.0], [0.96, 0.961]])
def test_a_scale_holds_its_values_and_has_ticks_inside(values: list[float]) -> None:
    axis = scale(values, 0, 100)
    assert all(0 <= axis(value) <= 100 for value in values)
    assert axis.log == (values == [0.001, 900.0])
    ticks = axis.ticks()
    assert 2 <= len(ticks) <= 12
    assert all(axis.low <= tick <= axis.high for tick in ticks)


def test_labels_avoid_what_is_taken() -> None:
    frame = Box(0, 0, 100, 100)
    first = place_label(20, 10, (50, 50), [], frame, gap=8)
    assert first == Box(58, 45, 20, 10)
    second = place_label(20, 10, (50, 50), [first], frame, gap=8)
    assert second is not None
    assert second.overlap(first) == 0
    assert place_label(20, 10, (50, 50), [frame], frame, gap=8) is None
