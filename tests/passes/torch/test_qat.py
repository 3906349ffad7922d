"""Quantization-aware training: what is rounded while training, and that the integer graph computes the same."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torchao.quantization.pt2e import FakeQuantize
from transformers import BertConfig, BertForTokenClassification, ResNetConfig, ResNetForImageClassification

from harness.contracts.artifact import ConversionError
from harness.toolchain.checkpoint import load_model
from tests.passes import tiny
from tests.passes.runtimes import answer
from tests.passes.steps import Steps

sys.path[:0] = [str(Path(__file__).parents[3] / "images/toolchains/torch")]

import encoder_graph  # noqa: E402
from fake_quantization import fake_quantize, fold_norms, freeze_ranges, to_integers  # noqa: E402
from passes import qat  # noqa: E402


@pytest.fixture
def encoder() -> BertForTokenClassification:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, num_labels=3
    )
    return BertForTokenClassification(config).eval()


@pytest.fixture
def network() -> ResNetForImageClassification:
    torch.manual_seed(0)
    config = ResNetConfig(
        num_channels=1, embedding_size=16, hidden_sizes=[16, 32], depths=[1, 1], layer_type="basic", num_labels=4
    )
    model = ResNetForImageClassification(config)
    with torch.no_grad():
        model(**pixels(8))  # in training mode: norms that are not the identity
    return model.eval()


def tokens(batch: int, length: int) -> dict[str, torch.Tensor]:
    ids = torch.from_numpy(np.random.default_rng(batch).integers(1, 50, (batch, length)))
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def pixels(batch: int) -> dict[str, torch.Tensor]:
    return {"pixel_values": torch.from_numpy(np.random.default_rng(batch).random((batch, 1, 32, 32), np.float32))}


def test_folding_norms_changes_no_logit(network: ResNetForImageClassification) -> None:
    with torch.no_grad():
        before = network(**pixels(3)).logits
        assert fold_norms(network, pixels(2)) == 6
        assert torch.allclose(network(**pixels(3)).logits, before, atol=1e-5)


def test_layers_that_read_the_same_tensor_share_its_range(encoder: BertForTokenClassification) -> None:
    assert fake_quantize(encoder, tokens(2, 7)) == 13
    attention = encoder.bert.encoder.layer[0].attention
    assert attention.self.query.reads is attention.self.key.reads is attention.self.value.reads
    assert attention.output.dense.reads is not attention.self.query.reads


def test_a_convolutions_output_is_rounded_once_after_its_relu(network: ResNetForImageClassification) -> None:
    fold_norms(network, pixels(2))
    fake_quantize(network, pixels(2))
    first, second = network.resnet.encoder.stages[1].layers[0].layer
    assert isinstance(first.convolution.writes, nn.Identity)
    assert isinstance(first.activation[1], FakeQuantize)
    assert isinstance(second.convolution.reads, nn.Identity)  # rounded where it was written
    assert isinstance(second.convolution.writes, FakeQuantize)  # a sum follows, changed in place before its ReLU


def test_frozen_ranges_stay(encoder: BertForTokenClassification) -> None:
    fake_quantize(encoder, tokens(2, 7))
    with torch.no_grad():
        encoder(**tokens(2, 7))
        freeze_ranges(encoder)
        scale = encoder.classifier.reads.scale.clone()
        encoder(**tokens(5, 9))
    assert torch.equal(encoder.classifier.reads.scale, scale)


def test_a_model_without_products_is_an_error() -> None:
    class Mean(nn.Module):  # type: ignore[misc]
        def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
            return pixel_values.mean()

    with pytest.raises(ConversionError, match="no linear layer"):
        fake_quantize(Mean(), pixels(2))


@pytest.mark.parametrize("kind", ["encoder", "network"])
def test_the_integer_graph_answers_like_the_trained_model(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    model = request.getfixturevalue(kind)
    seen, unseen = (tokens(2, 7), tokens(3, 11)) if kind == "encoder" else (pixels(2), pixels(3))
    fold_norms(model, seen)
    fake_quantize(model, seen)
    with torch.no_grad():
        model(**seen)
        freeze_ranges(model)
        trained = model(**unseen).logits.numpy()
    to_integers(model)
    encoder_graph.write(model, {name: tensor.numpy() for name, tensor in seen.items()}, tmp_path)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    (answer,) = session.run(["logits"], {name: tensor.numpy() for name, tensor in unseen.items()})
    assert np.abs(answer - trained).max() < 0.05 * np.abs(trained).max()  # a step of rounding here and there


@pytest.mark.parametrize(("task", "layers", "norms"), [(tiny.ENCODER, 13, 0), (tiny.IMAGES, 7, 6)])
def test_every_product_of_the_written_graph_is_one_of_integers(
    task: str, layers: int, norms: int, steps: Steps, tmp_path: Path
) -> None:
    source = tiny.checkpoint(task, tmp_path)
    made, effect = steps.apply(qat, source, epochs=2.0, batch=8)
    stored = {tensor.name: tensor for tensor in onnx.load(made.path / "model.onnx").graph.initializer}
    integers = [
        tensor for tensor in stored.values() if tensor.data_type == onnx.TensorProto.INT8 and len(tensor.dims) > 1
    ]
    assert effect["tensors_quantized"] == len(integers) == layers
    assert effect["norms_folded"] == norms
    assert effect["training_steps"] == 2 * tiny.ROWS / 8
    count = sum(parameter.numel() for parameter in load_model(source.path, source.manifest.auto_class).parameters())
    assert effect["share_of_weights_quantized"] == pytest.approx(
        sum(np.prod(tensor.dims) for tensor in integers) / count, abs=1e-4
    )
    size = sum(file.stat().st_size for file in made.weights)
    assert effect["bits_per_weight"] == pytest.approx(8 * size / count, abs=1e-3)


@pytest.mark.parametrize("task", [tiny.ENCODER, tiny.IMAGES])
def test_onnx_runtime_runs_the_written_graph_at_any_shape(task: str, steps: Steps, tmp_path: Path) -> None:
    made, effect = steps.apply(qat, tiny.checkpoint(task, tmp_path), epochs=1.0)
    assert effect["top1_agreement_with_trained"] >= 0.98
    for batch, length in ((1, 5), (4, 17)):
        logits, _ = answer(made, "onnxruntime", tiny.inputs(task, batch, length))
        assert logits.shape[0] == batch
        assert np.isfinite(logits).all()


def test_training_with_rounding_lowers_the_loss(steps: Steps, tmp_path: Path) -> None:
    source = tiny.checkpoint(tiny.IMAGES, tmp_path)
    losses = [steps.apply(qat, source, epochs=epochs, batch=8, learning_rate=3e-3)[1]["loss"] for epochs in (0.3, 10.0)]
    assert losses[1] < 0.8 * losses[0]


def test_training_on_numbers_that_are_none_is_an_error(steps: Steps, tmp_path: Path) -> None:
    source = tiny.checkpoint(tiny.ENCODER, tmp_path)
    tensors = load_file(source.weights[0])
    tensors["classifier.bias"][0] = torch.nan
    save_file(tensors, source.weights[0], {"format": "pt"})
    with pytest.raises(ConversionError, match="training diverged at step 1 of"):
        steps.apply(qat, source)
