"""Pruning: what is written is as sparse, as narrow or as shallow as the effect says, and an ordinary checkpoint.

Runs where the torch toolchain is installed, on tiny random models.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from harness.contracts.artifact import Artifact, ConversionError
from harness.toolchain.checkpoint import load_model
from tests.passes import tiny
from tests.passes.steps import Steps

sys.path[:0] = [str(Path(__file__).parents[3] / "images/toolchains/torch")]

from passes import depth, magnitude, movement, structured  # noqa: E402

BERT, CNN, LLAMA = tiny.ENCODER, tiny.IMAGES, tiny.LANGUAGE
SHAPES: dict[str, dict[str, Any]] = {
    BERT: {"num_hidden_layers": 3},
    CNN: {"depths": [2, 2]},
    LLAMA: {"num_hidden_layers": 4},
}

Checkpoint = Callable[[str], Artifact]
Prune = Callable[..., tuple[Any, dict[str, Any]]]


@pytest.fixture
def checkpoint(tmp_path: Path) -> Checkpoint:
    """Make the tiny checkpoint of a task, deep enough to lose layers."""
    return lambda task: tiny.checkpoint(task, tmp_path, **SHAPES[task])


@pytest.fixture
def prune(steps: Steps, checkpoint: Checkpoint) -> Prune:
    """Apply a pass to the checkpoint of a task, or to one given: the model as loaded from what was written, and the effect."""

    def apply(module: ModuleType, source: str | Artifact, **parameters: Any) -> tuple[Any, dict[str, Any]]:
        made, effect = steps.apply(module, source if isinstance(source, Artifact) else checkpoint(source), **parameters)
        return model_of(made), effect

    return apply


def model_of(artifact: Artifact) -> Any:
    return load_model(artifact.path, artifact.manifest.auto_class)


@pytest.mark.parametrize("scope", ["layer", "global"])
@pytest.mark.parametrize("task", SHAPES)
def test_magnitude_reaches_the_sparsity_that_was_asked_for(prune: Prune, task: str, scope: str) -> None:
    _, effect = prune(magnitude, task, sparsity=0.7, scope=scope)
    assert effect["sparsity"] == pytest.approx(0.7, abs=0.002)


def test_magnitude_leaves_embeddings_and_the_head_alone(prune: Prune) -> None:
    model, _ = prune(magnitude, BERT, sparsity=0.9)
    assert (model.classifier.weight != 0).all()
    assert (model.bert.embeddings.word_embeddings.weight[1:] != 0).all()


def test_magnitude_keeps_the_largest_weights(prune: Prune, checkpoint: Checkpoint) -> None:
    source = checkpoint(BERT)
    model, _ = prune(magnitude, source, sparsity=0.5)
    before, after = (each.bert.encoder.layer[0].output.dense.weight for each in (model_of(source), model))
    assert before[after == 0].abs().max() < before[after != 0].abs().min()


@pytest.mark.parametrize(("pattern", "group", "keep"), [("2:4", 4, 2), ("4:8", 8, 4)])
def test_a_pattern_holds_in_every_group_of_input_channels(prune: Prune, pattern: str, group: int, keep: int) -> None:
    model, effect = prune(magnitude, CNN, pattern=pattern)
    weight = model.resnet.encoder.stages[1].layers[1].layer[0].convolution.weight
    nonzero = (weight.permute(0, 2, 3, 1).reshape(-1, group) != 0).sum(dim=1)
    assert (nonzero == keep).all()
    assert (effect["share_of_groups_in_pattern"], effect["tensors_left_dense"]) == (1.0, 1)  # the stem has one channel


def test_a_pattern_refuses_another_sparsity(prune: Prune) -> None:
    with pytest.raises(ConversionError, match="leave sparsity out"):
        prune(magnitude, BERT, pattern="2:4", sparsity=0.7)


@pytest.mark.parametrize("task", [BERT, CNN])
def test_movement_reaches_the_sparsity_that_was_asked_for(prune: Prune, task: str) -> None:
    _, effect = prune(movement, task, sparsity=0.6, epochs=4.0, batch=4)
    assert effect["sparsity"] == pytest.approx(0.6, abs=0.01)


@pytest.mark.parametrize("importance", ["taylor", "magnitude"])
def test_structured_halves_every_width_of_a_cnn(prune: Prune, importance: str) -> None:
    model, effect = prune(structured, CNN, importance=importance, recovery_steps=2)
    assert (model.config.embedding_size, model.config.hidden_sizes) == (8, [8, 16])
    assert effect["parameters_after"] < 0.4 * effect["parameters_before"]
    assert effect["macs_after"] < effect["macs_before"]


def test_structured_removes_the_channels_that_do_nothing(prune: Prune, checkpoint: Checkpoint) -> None:
    source = checkpoint(LLAMA)
    dead = model_of(source)
    for layer in dead.model.layers:
        layer.mlp.down_proj.weight.data[:, ::2] = 0
    dead.save_pretrained(source.path)
    model, effect = prune(structured, source, ratio=0.5, recovery_steps=0)
    ids = torch.arange(8)[None]
    with torch.inference_mode():
        torch.testing.assert_close(model(ids).logits, dead(ids).logits)
    assert effect["ffn_width"] == model.config.intermediate_size == 64


def test_structured_removes_heads_with_the_hidden_width_so_that_their_size_stays(prune: Prune) -> None:
    model, effect = prune(structured, BERT, width="all", recovery_steps=2)
    attention = model.bert.encoder.layer[0].attention.self
    assert (attention.num_attention_heads, attention.attention_head_size, model.config.hidden_size) == (2, 16, 32)
    assert (effect["heads"], effect["hidden_width"], effect["ffn_width"]) == (2, 32, 64)


def test_structured_says_where_it_cannot_remove_heads(prune: Prune) -> None:
    with pytest.raises(ConversionError, match="use width: ffn"):
        prune(structured, LLAMA, width="all")


@pytest.mark.parametrize("task", [BERT, LLAMA])
def test_depth_drops_the_layers_that_change_nothing(prune: Prune, task: str, checkpoint: Checkpoint) -> None:
    source, idle = checkpoint(task), 1
    whole = model_of(source)
    if task == LLAMA:  # a layer that adds nothing to the residual stream
        whole.model.layers[idle].mlp.down_proj.weight.data.zero_()
        whole.model.layers[idle].self_attn.o_proj.weight.data.zero_()
        whole.save_pretrained(source.path)
    model, effect = prune(depth, source, layers=1, recovery_steps=0)
    assert model.config.num_hidden_layers == whole.config.num_hidden_layers - 1
    assert effect["layers_removed"] == 1
    if task == LLAMA:
        ids = torch.arange(8)[None]
        with torch.inference_mode():
            torch.testing.assert_close(model(ids).logits, whole(ids).logits)
        assert effect["layers_dropped"] == str(idle + 1)


def test_depth_refuses_to_drop_all_layers(prune: Prune) -> None:
    with pytest.raises(ConversionError, match="drop 2 at most"):
        prune(depth, BERT, layers=3)


def test_depth_says_that_a_cnn_has_no_layers_to_drop(prune: Prune) -> None:
    with pytest.raises(ConversionError, match="one transformer stack"):
        prune(depth, CNN, layers=1)
