"""Pruning: what is written is as sparse, as narrow or as shallow as the effect says, and an ordinary checkpoint.

Runs where the torch toolchain is installed, on tiny random models.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from harness.toolchain.steps import compress
from transformers import (
    BertConfig,
    BertForTokenClassification,
    LlamaConfig,
    LlamaForCausalLM,
    ResNetConfig,
    ResNetForImageClassification,
)

from harness.contracts.artifact import ConversionError
from harness.tasks import _storage
from harness.toolchain.checkpoint import load_model
from tests.passes.contexts import AUTO_CLASSES, ENCODER, IMAGES, LANGUAGE, make_context, make_manifest

IMAGE = Path(__file__).parents[3] / "images" / "toolchains" / "torch"
BERT, CNN, LLAMA = ENCODER, IMAGES, LANGUAGE
SENTENCES = 24

Prune = Callable[..., tuple[Any, dict[str, Any]]]


@pytest.fixture(autouse=True)
def _toolchain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MATRIX_IMAGE_DIR", str(IMAGE))
    monkeypatch.syspath_prepend(str(IMAGE))
    torch.manual_seed(0)
    torch.set_num_threads(1)


@pytest.fixture
def prune(tmp_path: Path) -> Prune:
    """Apply a pass to the tiny model of a task: the model as loaded from what was written, and the effect."""

    def apply(name: str, task: str, **parameters: Any) -> tuple[Any, dict[str, Any]]:
        source, data, out = (tmp_path / part for part in ("source", "data", "out"))
        for folder in (source, data, out):
            folder.mkdir()
        model = MODELS[task]()
        model.save_pretrained(source)
        (source / "manifest.json").write_text(json.dumps(make_manifest(task)))
        _write_data(task, data)
        spec = {"task": task, "pass": name, "parameters": parameters, "toolchain": "torch"}
        compress(spec, out, make_context(task, {"artifact": source, "calibration": data}, threads=1))
        written = json.loads((out / "manifest.json").read_text())
        return load_model(out, AUTO_CLASSES[task]), written["passes"][-1]["effect"]

    return apply


def _bert() -> Any:
    names = dict(enumerate(["O", "B-PER", "I-PER"]))
    config = BertConfig(
        vocab_size=60, hidden_size=32, num_attention_heads=4, intermediate_size=64, num_hidden_layers=3, id2label=names
    )
    return BertForTokenClassification(config)


def _cnn() -> Any:
    config = ResNetConfig(
        num_channels=1, embedding_size=16, hidden_sizes=[16, 32], depths=[2, 2], layer_type="basic", num_labels=3
    )
    return ResNetForImageClassification(config)


def _llama() -> Any:
    config = LlamaConfig(
        vocab_size=60,
        hidden_size=32,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=64,
        num_hidden_layers=4,
        tie_word_embeddings=True,
    )
    return LlamaForCausalLM(config)


MODELS: Mapping[str, Callable[[], Any]] = {BERT: _bert, CNN: _cnn, LLAMA: _llama}


def _write_data(task: str, folder: Path) -> None:
    random = np.random.default_rng(0)
    if task == CNN:
        images = random.random((SENTENCES, 1, 32, 32)).astype(np.float32)
        _storage.save(folder, {"task": task}, {"pixel_values": images, "labels": random.integers(0, 3, SENTENCES)})
        return
    ids, offsets = _storage.flatten([random.integers(0, 60, 8).tolist() for _ in range(SENTENCES)])
    arrays = {"input_ids": ids, "offsets": offsets}
    facts: dict[str, Any] = {"task": task, "window": 8}
    if task == BERT:
        first, words = _storage.flatten([list(range(8))] * SENTENCES)
        arrays |= {"first": first, "word_offsets": words, "gold": random.integers(0, 3, len(first))}
        facts |= {"labels": ["O", "B-PER", "I-PER"], "tags": ["O", "B-PER", "I-PER"]}
    _storage.save(folder, facts, arrays)


@pytest.mark.parametrize("scope", ["layer", "global"])
@pytest.mark.parametrize("task", MODELS)
def test_magnitude_reaches_the_sparsity_that_was_asked_for(prune: Prune, task: str, scope: str) -> None:
    _, effect = prune("magnitude", task, sparsity=0.7, scope=scope)
    assert effect["sparsity"] == pytest.approx(0.7, abs=0.002)


def test_magnitude_leaves_embeddings_and_the_head_alone(prune: Prune) -> None:
    model, _ = prune("magnitude", BERT, sparsity=0.9)
    assert (model.classifier.weight != 0).all()
    assert (model.bert.embeddings.word_embeddings.weight[1:] != 0).all()


def test_magnitude_keeps_the_largest_weights(prune: Prune) -> None:
    model, _ = prune("magnitude", BERT, sparsity=0.5)
    torch.manual_seed(0)
    before = _bert().bert.encoder.layer[0].output.dense.weight
    after = model.bert.encoder.layer[0].output.dense.weight
    assert before[after == 0].abs().max() < before[after != 0].abs().min()


@pytest.mark.parametrize(("pattern", "group", "keep"), [("2:4", 4, 2), ("4:8", 8, 4)])
def test_a_pattern_holds_in_every_group_of_input_channels(prune: Prune, pattern: str, group: int, keep: int) -> None:
    model, effect = prune("magnitude", CNN, pattern=pattern)
    weight = model.resnet.encoder.stages[1].layers[1].layer[0].convolution.weight
    nonzero = (weight.permute(0, 2, 3, 1).reshape(-1, group) != 0).sum(dim=1)
    assert (nonzero == keep).all()
    assert (effect["share_of_groups_in_pattern"], effect["tensors_left_dense"]) == (1.0, 1)  # the stem has one channel


def test_a_pattern_refuses_another_sparsity(prune: Prune) -> None:
    with pytest.raises(ConversionError, match="leave sparsity out"):
        prune("magnitude", BERT, pattern="2:4", sparsity=0.7)


@pytest.mark.parametrize("task", [BERT, CNN])
def test_movement_reaches_the_sparsity_that_was_asked_for(prune: Prune, task: str) -> None:
    _, effect = prune("movement", task, sparsity=0.6, epochs=4.0, batch=4)
    assert effect["sparsity"] == pytest.approx(0.6, abs=0.01)


@pytest.mark.parametrize("importance", ["taylor", "magnitude"])
def test_structured_halves_every_width_of_a_cnn(prune: Prune, importance: str) -> None:
    model, effect = prune("structured", CNN, importance=importance, recovery_steps=2)
    assert (model.config.embedding_size, model.config.hidden_sizes) == (8, [8, 16])
    assert effect["parameters_after"] < 0.4 * effect["parameters_before"]
    assert effect["macs_after"] < effect["macs_before"]


def test_structured_removes_the_channels_that_do_nothing(prune: Prune, monkeypatch: pytest.MonkeyPatch) -> None:
    dead = _llama()
    for layer in dead.model.layers:
        layer.mlp.down_proj.weight.data[:, ::2] = 0
    ids = torch.arange(8)[None]
    with torch.inference_mode():
        expected = dead(ids).logits
    monkeypatch.setitem(MODELS, LLAMA, lambda: dead)  # type: ignore[index]
    model, effect = prune("structured", LLAMA, ratio=0.5, recovery_steps=0)
    with torch.inference_mode():
        torch.testing.assert_close(model(ids).logits, expected)
    assert effect["ffn_width"] == model.config.intermediate_size == 32


def test_structured_removes_heads_with_the_hidden_width_so_that_their_size_stays(prune: Prune) -> None:
    model, effect = prune("structured", BERT, width="all", recovery_steps=2)
    attention = model.bert.encoder.layer[0].attention.self
    assert (attention.num_attention_heads, attention.attention_head_size, model.config.hidden_size) == (2, 8, 16)
    assert (effect["heads"], effect["hidden_width"], effect["ffn_width"]) == (2, 16, 32)


def test_structured_says_where_it_cannot_remove_heads(prune: Prune) -> None:
    with pytest.raises(ConversionError, match="use width: ffn"):
        prune("structured", LLAMA, width="all")


@pytest.mark.parametrize("task", [BERT, LLAMA])
def test_depth_drops_the_layers_that_change_nothing(prune: Prune, task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = MODELS[task]().eval()
    idle = 1
    if task == LLAMA:  # a layer that adds nothing to the residual stream
        whole.model.layers[idle].mlp.down_proj.weight.data.zero_()
        whole.model.layers[idle].self_attn.o_proj.weight.data.zero_()
    monkeypatch.setitem(MODELS, task, lambda: whole)  # type: ignore[index]
    model, effect = prune("depth", task, layers=1, recovery_steps=0)
    assert model.config.num_hidden_layers == whole.config.num_hidden_layers - 1
    assert effect["layers_removed"] == 1
    if task == LLAMA:
        ids = torch.arange(8)[None]
        with torch.inference_mode():
            torch.testing.assert_close(model(ids).logits, whole(ids).logits)
        assert effect["layers_dropped"] == str(idle + 1)


def test_depth_refuses_to_drop_all_layers(prune: Prune) -> None:
    with pytest.raises(ConversionError, match="drop 2 at most"):
        prune("depth", BERT, layers=3)


def test_depth_says_that_a_cnn_has_no_layers_to_drop(prune: Prune) -> None:
    with pytest.raises(ConversionError, match="one transformer stack"):
        prune("depth", CNN, layers=1)
