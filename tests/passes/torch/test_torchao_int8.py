"""torchao's INT8: a byte and a scale for each weight of a linear layer, and a checkpoint that loads by itself."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertConfig, BertForTokenClassification, BertTokenizerFast

from harness.contracts.artifact import Artifact, ConversionError
from harness.toolchain.parity import sample_inputs, source_logits
from tests.passes.contexts import ENCODER, USES, make_artifact, make_context

sys.path[:0] = [str(Path(__file__).parents[3] / "images/toolchains/torch")]

from passes import torchao_int8  # noqa: E402

CONTEXT = make_context(ENCODER)


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    torch.manual_seed(0)
    source = tmp_path / "source"
    config = BertConfig(
        vocab_size=100, hidden_size=64, num_hidden_layers=2, num_attention_heads=2, intermediate_size=256
    )
    BertForTokenClassification(config).save_pretrained(source)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "of", "new", "water", "city", "council"]
    (tmp_path / "vocab.txt").write_text("\n".join(words), "utf-8")
    BertTokenizerFast(str(tmp_path / "vocab.txt")).save_pretrained(source)
    return make_artifact(source, ENCODER)


@pytest.mark.parametrize("activations", ["fp32", "int8"])
def test_every_linear_layer_takes_a_byte_a_weight(artifact: Artifact, tmp_path: Path, activations: str) -> None:
    from safetensors.torch import load_file

    (tmp_path / "out").mkdir()
    made = torchao_int8.apply(artifact, tmp_path / "out", {"activations": activations}, CONTEXT)
    before, after = (load_file(folder / "model.safetensors") for folder in (artifact.path, tmp_path / "out"))
    linear = [name for name in before if name.endswith("weight") and before[name].dim() == 2 and "embed" not in name]
    stored = [tensor for name, tensor in after.items() if "weight_" in name]  # codes, scales, zero points
    share = sum(t.nbytes for t in stored) / sum(before[name].nbytes for name in linear)
    assert made.effect["tensors_quantized"] == len(linear)
    assert 0.25 <= share <= 0.27


@pytest.mark.parametrize(("activations", "drift"), [("fp32", 0.02), ("int8", 0.05)])
def test_it_answers_nearly_as_before(artifact: Artifact, tmp_path: Path, activations: str, drift: float) -> None:
    (tmp_path / "out").mkdir()
    torchao_int8.apply(artifact, tmp_path / "out", {"activations": activations}, CONTEXT)
    logits: list[Any] = []
    for folder in (artifact.path, tmp_path / "out"):
        model = BertForTokenClassification.from_pretrained(folder).eval()
        logits.append(source_logits(model, sample_inputs(artifact.path, model.config, USES[ENCODER], 2)))
    assert 0 < abs(logits[0] - logits[1]).max() < drift * abs(logits[0]).max()


def test_a_model_without_linear_layers_is_an_error(
    artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the quantizer leaves alone must not become a row."""
    import transformers

    (tmp_path / "out").mkdir()
    nothing = transformers.TorchAoConfig
    monkeypatch.setattr(
        transformers, "TorchAoConfig", lambda kind: nothing(kind, modules_to_not_convert=["bert", "classifier"])
    )
    with pytest.raises(ConversionError, match="no linear layer"):
        torchao_int8.apply(artifact, tmp_path / "out", {"activations": "fp32"}, CONTEXT)
