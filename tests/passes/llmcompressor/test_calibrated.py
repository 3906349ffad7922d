"""Calibrated pruning: half of every layer, pairs of four, heads and all else untouched. Runs in llm-compressor's image."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from harness.making import Artifact, Context, ConversionError, Made
from harness.tasks import _storage

IMAGE = Path(__file__).parents[3] / "images/toolchains/llmcompressor"
sys.path[:0] = [str(IMAGE)]

from passes import sparsegpt, wanda  # noqa: E402

HEAD = "model.embed_tokens.weight"  # tied


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = LlamaConfig(vocab_size=64, tie_word_embeddings=True, **sizes)
    LlamaForCausalLM(config).save_pretrained(tmp_path / "source")
    words = Tokenizer(models.WordLevel({"<unk>": 0, "the": 1, "of": 2, "to": 3}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>").save_pretrained(tmp_path / "source")
    return Artifact(tmp_path / "source", {"extra": {}})


@pytest.fixture
def context(tmp_path: Path) -> Context:
    data = tmp_path / "calibration"
    data.mkdir()
    rows = np.random.default_rng(0).integers(0, 64, (8, 32))
    values, offsets = _storage.flatten([list(row) for row in rows])
    _storage.save(data, {"task": "text-generation", "window": 32}, {"input_ids": values, "offsets": offsets})
    return Context(0, 2, "text-generation", lambda fraction, message: None, {"calibration": data})


def pruned(
    module: object, artifact: Artifact, context: Context, **given: object
) -> tuple[Made, dict[str, torch.Tensor]]:
    out = artifact.path.parent / "out"
    out.mkdir(exist_ok=True)
    parameters = module.CARD.complete({"samples": 4, "sequence_length": 16, **given})  # type: ignore[attr-defined]
    made = module.apply(artifact, out, parameters, context)  # type: ignore[attr-defined]
    return made, load_file(out / "model.safetensors")


@pytest.mark.parametrize("module", [sparsegpt, wanda])
def test_half_of_every_layer_is_zero_and_the_tied_head_is_not(
    module: object, artifact: Artifact, context: Context
) -> None:
    made, after = pruned(module, artifact, context)
    assert made.effect["sparsity"] == pytest.approx(0.5, abs=0.01)
    assert made.effect["tensors_pruned"] == 14
    assert torch.equal(after[HEAD], load_file(artifact.path / "model.safetensors")[HEAD])


def test_two_of_four_neighbours_are_zero_everywhere(artifact: Artifact, context: Context) -> None:
    made, _ = pruned(wanda, artifact, context, pattern="2:4")
    assert made.effect["share_of_groups_in_pattern"] == 1


def test_wanda_leaves_the_weights_that_stay_as_they_were(artifact: Artifact, context: Context) -> None:
    _, after = pruned(wanda, artifact, context)
    before = load_file(artifact.path / "model.safetensors")
    for name, tensor in after.items():
        assert torch.equal(tensor, torch.where(tensor == 0, tensor, before[name]))


def test_a_pattern_with_another_sparsity_is_refused(artifact: Artifact, context: Context) -> None:
    with pytest.raises(ConversionError, match="2:4"):
        pruned(wanda, artifact, context, pattern="2:4", sparsity=0.7)
