"""What is near a word that is no name."""

from __future__ import annotations

import pytest

from harness.errors import HarnessError, did_you_mean

IMAGES = ["layers/torch", "runtimes/onnxruntime", "runtimes/onnxruntime.gpu", "runtimes/pytorch", "toolchains/torch"]


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("runtimes/onnx", "did you mean 'runtimes/onnxruntime' or 'runtimes/onnxruntime.gpu'?"),  # begins with it
        ("PyTorch", "did you mean 'runtimes/pytorch'?"),  # holds it
        ("torch", "did you mean 'layers/torch' or 'runtimes/pytorch' or 'toolchains/torch'?"),
        ("toolchain/torhc", "did you mean 'toolchains/torch'?"),  # spelled much like it
        ("pytroch", "did you mean 'runtimes/pytorch'?"),  # as is its last part
        ("zzz", f"expected one of: {', '.join(IMAGES)}"),
        ("t", f"expected one of: {', '.join(IMAGES)}"),  # one letter says nothing
    ],
)
def test_the_names_that_are_near_are_told(word: str, told: str) -> None:
    assert did_you_mean(word, IMAGES) == told


def test_of_many_names_twenty_are_told() -> None:
    told = did_you_mean("zzz", [f"name-{number:02}" for number in range(60)])
    assert told.endswith("name-19 and 40 more")


def test_an_error_gives_its_hint() -> None:
    assert str(HarnessError("it is wrong", "mend it")) == "it is wrong\n  hint: mend it"
