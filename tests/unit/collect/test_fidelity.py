"""The gate: a method is held to its own bounds, a broken one is told in numbers, and what is no number never passes."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest

from harness.catalog import load_catalog
from harness.collect.fidelity import PASSES, TOLERANCES, problem, tolerance
from harness.results import PassRecord

NEAR = {"top1_agreement": 1.0, "kl_divergence": 0.0}


def applied(name: str, **parameters: Any) -> PassRecord:
    return PassRecord(name=name, toolchain="torch", parameters=parameters, effect={}, source="")


def score(value: float, metric: str = "f1") -> dict[str, Any]:
    return {"metric": metric, "value": value, "higher_is_better": metric != "perplexity"}


@pytest.mark.parametrize(
    ("passes", "wanted"),
    [
        ([], "exact"),
        ([applied("int8-static")], "int8"),
        ([applied("int8-dynamic"), applied("fp16")], "int8"),
        ([applied("distill"), applied("int8-static")], "other"),
        ([applied("gguf", type="Q8_0")], "int8"),
        ([applied("gguf", type="IQ4_XS")], "int4"),
        ([applied("gguf", type="Q2_K")], "other"),
        ([applied("somebody-s-own")], "other"),
    ],
)
def test_a_method_has_the_widest_tolerance_of_its_passes(passes: list[PassRecord], wanted: str) -> None:
    assert tolerance(passes) == wanted


def test_the_tolerances_widen_from_one_to_the_next() -> None:
    bounds = list(TOLERANCES.values())
    for narrow, wide in pairwise(bounds):
        assert narrow.top1_agreement >= wide.top1_agreement
        assert narrow.kl_divergence <= wide.kl_divergence
        assert narrow.perplexity_ratio <= wide.perplexity_ratio
        assert narrow.relative_loss <= wide.relative_loss


def test_every_pass_of_the_table_is_one() -> None:
    assert PASSES.keys() <= {tool.card.name for tool in load_catalog().passes}
    assert set(PASSES.values()) <= TOLERANCES.keys()


@pytest.mark.parametrize(
    ("fidelity", "ours", "theirs", "told"),
    [
        ({"top1_agreement": 0.8}, score(0.9), score(0.9), "80.0% of the positions, int8 needs 85.0%"),
        ({"kl_divergence": 0.5}, score(0.9), score(0.9), "0.5 nats (KL divergence) from the original's, int8 allows 0.15"),
        ({}, score(0.8), score(0.9), "f1 is 11.1% worse than the original's, int8 allows 5%"),
        ({}, score(50, "perplexity"), score(25, "perplexity"), "perplexity is 2 times the original's, int8 allows 1.15"),
        ({"kl_divergence": math.nan}, score(0.9), score(0.9), "nan nats"),
        ({"top1_agreement": math.nan}, score(0.9), score(0.9), "nan% of the positions"),
        ({}, score(math.inf, "perplexity"), score(25, "perplexity"), "inf times"),
        ({}, score(math.nan), score(0.9), "nan% worse"),
    ],
)  # fmt: skip
def test_what_leaves_its_bounds_is_told_in_numbers(
    fidelity: dict[str, float], ours: dict[str, Any], theirs: dict[str, Any], told: str
) -> None:
    assert told in str(problem("int8", NEAR | fidelity, ours, theirs))


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (score(0.9), score(0.9)),
        (score(0.95), score(0.9)),
        (score(0.0), score(0.0)),
        (score(20, "perplexity"), score(25, "perplexity")),
        (score(27, "perplexity"), score(25, "perplexity")),
    ],
)
def test_what_is_as_good_passes(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    assert problem("int8", NEAR, ours, theirs) is None
