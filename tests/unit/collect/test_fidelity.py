"""The gate: a method is held to its own bounds, a broken one is told in numbers, and what is no number never passes."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from harness import tasks
from harness.catalog import load_catalog
from harness.collect.fidelity import BOUNDS, cost_of, problem, tolerance
from harness.contracts.cards import TOLERANCES, Form, PassCard
from harness.contracts.record import FidelityRecord, MetricRecord
from harness.contracts.task import Metric

NEAR = FidelityRecord(positions=9, top1_agreement=1.0, kl_divergence=0.0, max_logit_difference=0.0)
F1 = tasks.card("token-classification").metric("f1")
PERPLEXITY = tasks.card("text-generation").metric("perplexity")
ERRORS = Metric("errors", higher_is_better=False, words={})


def cost(pass_: str, **parameters: Any) -> str:
    """What a pass of the tree may cost, the widest of its implementations."""
    cards = [tool.card for tool in load_catalog().passes_named(pass_)]
    costs = [card.tolerance(card.complete(parameters)) for card in cards if isinstance(card, PassCard)]
    return max(costs, key=TOLERANCES.index)


@pytest.mark.parametrize(
    ("costs", "wanted"),
    [
        ([], "exact"),
        (["int8"], "int8"),
        (["int8", "fp16"], "int8"),
        (["bf16", "int4"], "int4"),
        (["exact"], "exact"),
        (["fp16", "other"], "other"),
    ],
)
def test_a_method_has_the_widest_tolerance_of_its_passes(costs: list[str], wanted: str) -> None:
    assert tolerance(costs) == wanted


@pytest.mark.parametrize(
    ("pass_", "parameters", "wanted"),
    [
        ("optimum", {}, "exact"),
        ("fp16", {}, "fp16"),
        ("bf16", {}, "bf16"),
        ("int8-static", {}, "int8"),
        ("awq", {}, "int4"),
        ("distill", {}, "other"),
        ("gguf", {"type": "Q8_0"}, "int8"),
        ("gguf", {"type": "IQ4_XS"}, "int4"),
        ("gguf", {"type": "Q2_K"}, "other"),
    ],
)
def test_a_pass_says_itself_what_it_may_cost(pass_: str, parameters: dict[str, Any], wanted: str) -> None:
    assert cost(pass_, **parameters) == wanted


@pytest.mark.parametrize(
    ("form", "wanted"),
    [
        ("hf/fp32", "exact"),
        ("onnx/fp16", "fp16"),
        ("hf/bf16", "bf16"),
        ("gguf/mixed", "int8"),
        ("gguf/q4_k_m", "exact"),  # its pass says what it costs
    ],
)
def test_what_a_source_is_stored_in_may_cost_as_much_as_a_pass_to_it(form: str, wanted: str) -> None:
    assert cost_of(Form.parse(form)) == wanted


def test_there_are_bounds_for_every_tolerance() -> None:
    assert tuple(BOUNDS) == TOLERANCES


def test_the_tolerances_widen_from_one_to_the_next() -> None:
    bounds = list(BOUNDS.values())
    for narrow, wide in pairwise(bounds):
        assert narrow.top1_agreement >= wide.top1_agreement
        assert narrow.kl_divergence <= wide.kl_divergence
        assert narrow.ratio <= wide.ratio
        assert narrow.relative_loss <= wide.relative_loss


@pytest.mark.parametrize(
    ("fidelity", "metric", "ours", "theirs", "told"),
    [
        ({"top1_agreement": 0.8}, F1, 0.9, 0.9, "80.0% of the positions, int8 needs 85.0%"),
        ({"kl_divergence": 0.5}, F1, 0.9, 0.9, "0.5 nats (KL divergence) from the original's, int8 allows 0.15"),
        ({}, F1, 0.8, 0.9, "F1 is 11.1% worse than the original's, int8 allows 5%"),
        ({}, ERRORS, 0.3, 0.2, "errors is 50.0% worse than the original's, int8 allows 5%"),
        ({}, PERPLEXITY, 50, 25, "perplexity is 2 times the original's, int8 allows 1.15"),
        ({"kl_divergence": math.nan}, F1, 0.9, 0.9, "nan nats"),
        ({"top1_agreement": math.nan}, F1, 0.9, 0.9, "nan% of the positions"),
        ({}, PERPLEXITY, math.inf, 25, "inf times"),
        ({}, F1, math.nan, 0.9, "nan% worse"),
    ],
)
def test_what_leaves_its_bounds_is_told_in_numbers(
    fidelity: dict[str, float], metric: Metric, ours: float, theirs: float, told: str
) -> None:
    values = (MetricRecord(metric.name, value, None) for value in (ours, theirs))
    assert told in str(problem("int8", replace(NEAR, **fidelity), *values, metric))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("metric", "ours", "theirs"),
    [
        (F1, 0.9, 0.9),
        (F1, 0.95, 0.9),
        (F1, 0.0, 0.0),
        (ERRORS, 0.1, 0.2),
        (PERPLEXITY, 20, 25),
        (PERPLEXITY, 27, 25),
    ],
)
def test_what_is_as_good_passes(metric: Metric, ours: float, theirs: float) -> None:
    values = (MetricRecord(metric.name, value, None) for value in (ours, theirs))
    assert problem("int8", NEAR, *values, metric) is None
