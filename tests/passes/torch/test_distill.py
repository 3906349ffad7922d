"""Distillation: the student is as small as asked for, starts from its teacher, and its losses vanish on the teacher."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertForTokenClassification, ResNetConfig, ResNetForImageClassification

from harness.contracts.artifact import ConversionError
from harness.toolchain.checkpoint import load_model
from tests.passes import tiny
from tests.passes.runtimes import answer
from tests.passes.steps import Steps

sys.path[:0] = [str(Path(__file__).parents[3] / "images/toolchains/torch")]

from distillation import Distillation  # noqa: E402
from passes import distill  # noqa: E402
from students import blocks, narrower, parameters, shallower  # noqa: E402
from training import collate  # noqa: E402

TEACHING = {"logits": 1.0, "features": 1.0, "attention": 1.0, "hard": 0.0}


@pytest.fixture
def encoder() -> BertForTokenClassification:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=6, num_attention_heads=2, intermediate_size=32, num_labels=3
    )
    model = BertForTokenClassification(config).eval()
    model.set_attn_implementation("eager")
    return model


@pytest.fixture
def network() -> ResNetForImageClassification:
    torch.manual_seed(0)
    config = ResNetConfig(
        num_channels=1, embedding_size=16, hidden_sizes=[16, 32], depths=[2, 2], layer_type="basic", num_labels=4
    )
    return ResNetForImageClassification(config).eval()


def test_a_student_starts_from_its_teachers_first_middle_and_last_layer(encoder: BertForTokenClassification) -> None:
    student = shallower(encoder, 3, copy=True)
    own, shown = student.bert.encoder.layer, encoder.bert.encoder.layer
    assert blocks(student) == 3
    for layer, source in zip(own, (shown[0], shown[2], shown[5]), strict=True):
        assert torch.equal(layer.output.dense.weight, source.output.dense.weight)
    assert torch.equal(student.classifier.weight, encoder.classifier.weight)


@pytest.mark.parametrize("layers", [6, 7])
def test_a_student_as_deep_as_its_teacher_is_an_error(encoder: BertForTokenClassification, layers: int) -> None:
    with pytest.raises(ConversionError, match="must be 1 to 5"):
        shallower(encoder, layers, copy=True)


def test_a_convolutional_student_has_fewer_blocks_and_channels(network: ResNetForImageClassification) -> None:
    student = narrower(network, depth=1, width=0.5)
    assert student.config.hidden_sizes == [8, 16]
    assert student.config.depths == [1, 1]
    assert parameters(student) < parameters(network) / 2


def test_a_convolutional_student_as_large_as_its_teacher_is_an_error(network: ResNetForImageClassification) -> None:
    with pytest.raises(ConversionError, match="no smaller"):
        narrower(network, depth=2, width=1.0)


def test_a_teacher_has_nothing_to_learn_from_itself(encoder: BertForTokenClassification) -> None:
    batch = collate([{"input_ids": np.arange(n), "labels": np.zeros(n, np.int64)} for n in (7, 4)])
    loss = Distillation(encoder, encoder, TEACHING, 2.0)
    assert float(loss(encoder, batch).detach()) == pytest.approx(0, abs=1e-5)
    assert set(loss.last()) == {"loss_logits", "loss_features", "loss_attention"}


def test_padding_teaches_nothing(encoder: BertForTokenClassification) -> None:
    student = shallower(encoder, 3, copy=False).eval()
    student.set_attn_implementation("eager")
    item = {"input_ids": np.arange(5), "labels": np.zeros(5, np.int64)}
    batch = collate([item])
    padded = {name: torch.nn.functional.pad(tensor, (0, 3)) for name, tensor in batch.items()}
    losses = [float(Distillation(encoder, student, TEACHING, 2.0)(student, b).detach()) for b in (batch, padded)]
    assert losses[1] == pytest.approx(losses[0], rel=0.05)


def test_feature_maps_of_other_widths_are_projected(network: ResNetForImageClassification) -> None:
    student = narrower(network, depth=1, width=0.5)
    loss = Distillation(network, student, TEACHING | {"hard": 1.0}, 2.0)
    pixels = np.random.default_rng(0).random((3, 1, 32, 32), np.float32)
    batch = collate([{"pixel_values": image, "labels": np.asarray(1)} for image in pixels])
    loss(student, batch).backward()
    assert all(parameter.grad is not None for parameter in loss.parameters())
    assert len(loss.parameters()) == 4


@pytest.mark.parametrize("task", [tiny.ENCODER, tiny.IMAGES])
def test_the_student_that_is_written_is_as_small_as_the_effect_says(task: str, steps: Steps, tmp_path: Path) -> None:
    shape = {} if task == tiny.ENCODER else {"depths": [2, 2]}
    source = tiny.checkpoint(task, tmp_path, **shape)
    made, effect = steps.apply(distill, source, epochs=1.0, batch=8)
    teacher, student = (load_model(artifact.path, artifact.manifest.auto_class) for artifact in (source, made))
    assert effect["parameters_before"] == parameters(teacher)
    assert effect["parameters"] == parameters(student) < parameters(teacher)
    assert effect["layers_removed"] == blocks(teacher) - blocks(student) > 0
    assert effect["training_steps"] == tiny.ROWS / 8
    logits, _ = answer(made, "pytorch", tiny.inputs(task))
    assert logits.shape == answer(source, "pytorch", tiny.inputs(task))[0].shape


def test_a_student_comes_to_choose_what_its_teacher_chooses(steps: Steps, tmp_path: Path) -> None:
    source = tiny.checkpoint(tiny.ENCODER, tmp_path, num_hidden_layers=3)
    chosen = {"student_layers": 2, "batch": 4, "learning_rate": 3e-3, "hard": 0.0, "copy_layers": False}
    agreements = [
        steps.apply(distill, source, **chosen, epochs=epochs)[1]["teacher_agreement_on_training_data"]
        for epochs in (0.2, 20.0)
    ]
    assert agreements[0] + 0.1 < agreements[1]
    assert agreements[1] > 0.8


def test_terms_that_are_turned_off_are_not_computed(steps: Steps, tmp_path: Path) -> None:
    off = {"logits": 0.0, "features": 0.0, "attention": 0.0}
    _, effect = steps.apply(distill, tiny.checkpoint(tiny.ENCODER, tmp_path), **off, epochs=1.0)
    assert {name for name in effect if name.startswith("loss_")} == {"loss_hard"}


def test_a_student_with_nothing_to_learn_from_is_an_error(steps: Steps, tmp_path: Path) -> None:
    off = {"logits": 0.0, "features": 0.0, "attention": 0.0, "hard": 0.0}
    with pytest.raises(ConversionError, match="nothing to learn from"):
        steps.apply(distill, tiny.checkpoint(tiny.ENCODER, tmp_path), **off)


def test_a_student_deeper_than_its_teacher_is_refused_before_it_is_trained(steps: Steps, tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="must be 1 to 1, not 5"):
        steps.apply(distill, tiny.checkpoint(tiny.ENCODER, tmp_path), student_layers=5)
