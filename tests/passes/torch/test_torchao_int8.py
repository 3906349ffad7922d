"""torchao's INT8: a byte and a scale for each weight of a linear layer, and a checkpoint that loads by itself."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import transformers
from safetensors.torch import load_file

from harness.contracts.artifact import Artifact, ConversionError
from tests.passes import tiny
from tests.passes.runtimes import reference
from tests.passes.steps import Steps

sys.path[:0] = [str(Path(__file__).parents[3] / "images/toolchains/torch")]

from passes import torchao_int8  # noqa: E402


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    return tiny.checkpoint(tiny.ENCODER, tmp_path, num_attention_heads=2, intermediate_size=256)


@pytest.mark.parametrize("activations", ["fp32", "int8"])
def test_every_linear_layer_takes_a_byte_a_weight(artifact: Artifact, steps: Steps, activations: str) -> None:
    made, effect = steps.apply(torchao_int8, artifact, activations=activations)
    before, after = (load_file(each.weights[0]) for each in (artifact, made))
    linear = [name for name in before if name.endswith("weight") and before[name].dim() == 2 and "embed" not in name]
    stored = [tensor for name, tensor in after.items() if "weight_" in name]  # codes, scales, zero points
    share = sum(tensor.nbytes for tensor in stored) / sum(before[name].nbytes for name in linear)
    assert effect["tensors_quantized"] == len(linear)
    assert 0.25 <= share <= 0.27


@pytest.mark.parametrize(("activations", "most"), [("fp32", 0.02), ("int8", 0.05)])
def test_it_answers_nearly_as_before(artifact: Artifact, steps: Steps, activations: str, most: float) -> None:
    made, _ = steps.apply(torchao_int8, artifact, activations=activations)
    exact, rounded = (reference(each, tiny.inputs(tiny.ENCODER)) for each in (artifact, made))
    assert 0 < abs(exact - rounded).max() < most * abs(exact).max()


def test_a_model_without_linear_layers_is_an_error(
    artifact: Artifact, steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the quantizer leaves alone must not become a row."""
    nothing = transformers.TorchAoConfig
    monkeypatch.setattr(
        transformers, "TorchAoConfig", lambda kind: nothing(kind, modules_to_not_convert=["bert", "classifier"])
    )
    with pytest.raises(ConversionError, match="no linear layer"):
        steps.apply(torchao_int8, artifact)
