"""Checkpoints as people bring them become one layout, or are refused with what they lack."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoModelForTokenClassification

from harness.contracts.artifact import Artifact, ConversionError, Recipe
from harness.contracts.artifact import Context as StepContext
from harness.toolchain.artifacts import read_artifact
from harness.toolchain.steps import normalize
from tests.passes import tiny

Normalize = Callable[..., Artifact]


@pytest.fixture
def normalized(tmp_path: Path) -> Normalize:
    """Run the step; ``base`` is the model of an adapter alone."""

    def run(source: Artifact, precision: str = "fp32", trust: bool = False, base: Artifact | None = None) -> Artifact:
        out = tmp_path / f"out-{precision}"
        out.mkdir()
        inputs = {"artifact": source.path} | ({"base": base.path} if base else {})
        told = source.manifest
        context = StepContext(
            seed=0,
            threads=2,
            task=told.task,
            use=told.use,
            auto_class=told.auto_class,
            recipe=Recipe(0, 0, 0.0),
            progress=lambda fraction, message: None,
            inputs=inputs,
        )
        normalize.run({"precision": precision, "trust": trust}, out, context)
        return read_artifact(out)

    return run


def weights(artifact: Artifact) -> dict[str, Any]:
    (file,) = artifact.weights
    return dict(load_file(file))


@pytest.mark.parametrize("task", [tiny.LANGUAGE, tiny.ENCODER, tiny.IMAGES])
def test_a_plain_checkpoint_keeps_every_number(task: str, tmp_path: Path, normalized: Normalize) -> None:
    source = tiny.checkpoint(task, tmp_path)
    made, before = weights(normalized(source)), weights(source)
    assert made.keys() == before.keys()
    assert all(torch.equal(made[name], before[name]) for name in made)


def test_shards_and_pickles_give_the_same_as_one_file(tmp_path: Path, normalized: Normalize) -> None:
    source = tiny.checkpoint(tiny.LANGUAGE, tmp_path)
    expected = weights(source)
    model = AutoModelForCausalLM.from_pretrained(source.path)
    (source.path / "model.safetensors").unlink()
    model.save_pretrained(source.path, max_shard_size="40KB")
    shards = sorted(file.name for file in source.path.glob("*.safetensors"))
    assert len(shards) > 1
    made = weights(normalized(tiny.relabelled(source, weights=shards)))
    assert all(torch.equal(made[name], expected[name]) for name in expected)
    for file in source.path.glob("model*"):
        file.unlink()
    torch.save(model.state_dict(), source.path / "pytorch_model.bin")
    made = weights(normalized(tiny.relabelled(source, weights=["pytorch_model.bin"]), precision="fp16"))
    assert all(torch.equal(made[name], expected[name].half()) for name in expected)


def test_bf16_is_kept_or_widened_without_loss(tmp_path: Path, normalized: Normalize) -> None:
    source = tiny.cast(tiny.checkpoint(tiny.LANGUAGE, tmp_path), "bfloat16")
    before = weights(source)
    kept, wide = normalized(source, "bf16"), normalized(source, "fp32")
    assert all(torch.equal(weights(kept)[name], before[name]) for name in before)
    assert all(torch.equal(weights(wide)[name], before[name].float()) for name in before)
    assert wide.manifest.provenance == ["the weights are stored in bf16, here in fp32"]
    assert json.loads((wide.path / "config.json").read_text())["dtype"] == "float32"


def test_a_missing_tensor_is_named(tmp_path: Path, normalized: Normalize) -> None:
    source = tiny.checkpoint(tiny.LANGUAGE, tmp_path)
    stored = weights(source)
    del stored["model.layers.1.mlp.up_proj.weight"]
    save_file(stored, source.path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ConversionError, match=r"lacks 1 tensor that .* needs: model\.layers\.1\.mlp\.up_proj\.weight$"):
        normalized(source)


def test_a_model_without_its_head_is_refused(tmp_path: Path, normalized: Normalize) -> None:
    source = tiny.checkpoint(tiny.ENCODER, tmp_path)
    body = {name: tensor for name, tensor in weights(source).items() if not name.startswith("classifier")}
    save_file(body, source.path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ConversionError, match="without a head for this task"):
        normalized(source)


def test_tensors_of_another_shape_are_named(tmp_path: Path, normalized: Normalize) -> None:
    source = tiny.checkpoint(tiny.ENCODER, tmp_path)
    config = json.loads((source.path / "config.json").read_text())
    for key in ("id2label", "label2id"):
        del config[key]
    (source.path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ConversionError, match=r"classifier\.bias is \[3\], expected \[2\]; is id2label"):
        normalized(source)


def test_unused_tensors_are_told(tmp_path: Path, normalized: Normalize) -> None:
    source = tiny.checkpoint(tiny.ENCODER, tmp_path)
    save_file(
        {**weights(source), "bert.left.over": torch.zeros(2)}, source.path / "model.safetensors", {"format": "pt"}
    )
    made = normalized(source)
    assert made.manifest.provenance == ["tensors of the checkpoint that the model does not use: bert.left.over"]
    assert "bert.left.over" not in weights(made)


def adapter(base: Artifact, folder: Path) -> dict[str, Any]:
    """Write a LoRA adapter of a base; the weights that it should lead to."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(1)
    model = AutoModelForTokenClassification.from_pretrained(base.path)
    config = LoraConfig(r=2, lora_alpha=4, target_modules=["query", "value"], init_lora_weights=False)
    wrapped = get_peft_model(model, config)
    wrapped.save_pretrained(folder)
    merged: dict[str, Any] = wrapped.merge_and_unload().state_dict()
    return merged


@pytest.mark.parametrize("alone", [False, True])
def test_an_adapter_is_merged(alone: bool, tmp_path: Path, normalized: Normalize) -> None:
    base = tiny.checkpoint(tiny.ENCODER, tmp_path)
    wanted = adapter(base, tmp_path / "adapter")
    for file in (tmp_path / "adapter").iterdir():
        if not alone and file.name.startswith("adapter"):
            shutil.copyfile(file, base.path / file.name)
    if alone:
        source = tiny.artifact(tmp_path / "adapter", "hf", tiny.ENCODER, ["adapter_model.safetensors"])
        made = normalized(source, base=base)
    else:
        made = normalized(base)
    found = weights(made)
    assert found.keys() <= wanted.keys()
    assert all(torch.allclose(found[name], wanted[name], atol=1e-6) for name in found)
    assert made.manifest.provenance == ["LORA adapter merged into the weights (rank 2)"]
    assert not list(made.path.glob("adapter*"))


def test_an_adapter_of_another_base_is_refused(tmp_path: Path, normalized: Normalize) -> None:
    base = tiny.checkpoint(tiny.ENCODER, tmp_path)
    adapter(base, tmp_path / "adapter")
    other = tiny.checkpoint(tiny.ENCODER, tmp_path / "other", num_hidden_layers=1)
    source = tiny.artifact(tmp_path / "adapter", "hf", tiny.ENCODER, ["adapter_model.safetensors"])
    with pytest.raises(ConversionError, match="does not fit its base"):
        normalized(source, base=other)


def test_a_checkpoint_without_a_tokenizer_is_refused(tmp_path: Path, normalized: Normalize) -> None:
    source = tiny.checkpoint(tiny.LANGUAGE, tmp_path)
    for file in source.path.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(ConversionError, match="has no tokenizer"):
        normalized(source)


@pytest.mark.parametrize("processor", [None, "plain", "crop"])
def test_images_are_prepared_as_the_processor_does(processor: str | None, tmp_path: Path) -> None:
    from transformers import ViTImageProcessorPil

    from harness.tasks import _images

    (tmp_path / "config.json").write_text(json.dumps({"num_channels": 3, "image_size": 16}))
    options: dict[str, Any] = {"size": {"height": 16, "width": 16}, "image_mean": [0.4] * 3, "image_std": [0.2] * 3}
    if processor == "crop":
        options |= {
            "size": {"height": 24, "width": 24},
            "do_center_crop": True,
            "crop_size": {"height": 16, "width": 16},
        }
    draw = np.random.default_rng(0)
    images = [draw.integers(0, 256, (20, 30, 3), dtype=np.uint8) for _ in range(3)]
    if processor is None:
        found = _images.pixels(images, tmp_path)
        assert found.shape == (3, 3, 16, 16)
        assert 0 <= found.min() <= found.max() <= 1
        return
    library = ViTImageProcessorPil(**options)
    library.save_pretrained(tmp_path)
    wanted = library(images=images, return_tensors="np")["pixel_values"]
    assert np.array_equal(_images.pixels(images, tmp_path), wanted)
    assert np.array_equal(_images.pixels([image.astype(np.int64) for image in images], tmp_path), wanted)
    assert np.array_equal(_images.pixels([image / 255 for image in images], tmp_path), wanted)


def test_positions_are_those_that_tokens_can_have(tmp_path: Path) -> None:
    import transformers

    from harness.tasks._positions import token_limit

    unlimited = replace_limit(tiny.tokenizer(pads=True))
    small = {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
        "vocab_size": 40,
    }
    families = {
        "roberta": (
            transformers.RobertaConfig(max_position_embeddings=66, **small),
            "AutoModelForTokenClassification",
            64,
        ),
        "bert": (transformers.BertConfig(max_position_embeddings=64, **small), "AutoModelForTokenClassification", 64),
        "gpt2": (transformers.GPT2Config(n_positions=48, n_embd=16, n_layer=1, n_head=2), "AutoModelForCausalLM", 48),
        "opt": (
            transformers.OPTConfig(max_position_embeddings=40, word_embed_proj_dim=16, ffn_dim=16, **small),
            "AutoModelForCausalLM",
            40,
        ),
        "llama": (transformers.LlamaConfig(max_position_embeddings=96, **small), "AutoModelForCausalLM", 96),
    }
    for name, (config, auto, limit) in families.items():
        folder = tmp_path / name
        config.save_pretrained(folder)
        (folder / "manifest.json").write_text(json.dumps({"auto_class": auto}))
        assert token_limit(folder, unlimited) == limit, name


def replace_limit(tokenizer: Any) -> Any:
    tokenizer.model_max_length = int(1e30)
    return tokenizer
