"""The report tells what methods verifiably did, once an artifact, in words of its language."""

from harness.report.files.markdown import voice
from harness.report.table.build import build
from harness.report.table.effects import artifacts, effects
from harness.results import CellArtifact, PassRecord
from tests.results_factory import results


def made(*done: dict[str, object]) -> CellArtifact:
    passes = [PassRecord(name="a", toolchain="t", parameters={}, effect=effect, source="paper") for effect in done]
    return CellArtifact(hash="0", format="hf", precision="fp32", passes=passes, provenance=[])


def told(artifact: CellArtifact | None) -> list[str]:
    return [voice("en").message(message) for message in effects(artifact)]


def test_headlines_come_in_one_order_whatever_order_the_pass_used() -> None:
    assert told(made({"bits_per_weight": 4.5, "tensors": 3, "sparsity": 0.5})) == ["50 % zeros", "4.50 bits/weight"]


def test_of_two_passes_that_measured_the_same_the_later_is_told() -> None:
    first, second = {"bits_per_weight": 16.0, "sparsity": 0.5}, {"bits_per_weight": 8.1}
    assert told(made(first, second)) == ["50 % zeros", "8.10 bits/weight"]


def test_what_a_method_did_not_do_is_not_told() -> None:
    assert told(made({"sparsity": 0.0})) == []
    assert told(made()) == told(None) == []


def test_an_artifact_that_several_runtimes_measured_is_one_line() -> None:
    found = artifacts(build(results()))
    assert found
    assert len({each.artifact.hash for each in found}) == len(found)
    assert all(each.artifact.passes and each.runtimes for each in found)
