"""Exporters that make checkpoints: of GGUF files, and for transformers 4."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from gguf.quants import dequantize, quantize
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from harness.contracts.artifact import Artifact, ConversionError
from tests.passes import tiny
from tests.passes.runtimes import answer
from tests.passes.steps import Steps

sys.path[:0] = [str(Path(__file__).parents[3] / "images/toolchains/torch")]

from exporters import hf, hf4  # noqa: E402
from passes import bf16  # noqa: E402

WIDTH, HIDDEN, HEADS, LAYERS, WORDS = 64, 128, 4, 2, 97
Q8_0, F32 = gguf.GGMLQuantizationType.Q8_0, gguf.GGMLQuantizationType.F32


@pytest.fixture
def quantized(tmp_path: Path) -> Artifact:
    """A GGUF file of a Llama whose matrices are in Q8_0, with a tokenizer of bytes and a few merges."""
    folder = tmp_path / "gguf"
    folder.mkdir()
    writer = gguf.GGUFWriter(folder / "model.gguf", "llama")
    writer.add_block_count(LAYERS)
    writer.add_context_length(1024)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(WORDS)
    tokens = [*("<|endoftext|>", "Ġ"), *map(chr, range(ord("!"), ord("~") + 1)), "th"]
    assert len(tokens) == WORDS
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.CONTROL, *[gguf.TokenType.NORMAL] * (WORDS - 1)])
    writer.add_token_merges(["t h"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    draw = np.random.default_rng(0)
    shapes = {"token_embd": (WORDS, WIDTH), "output": (WORDS, WIDTH)}
    for at in range(LAYERS):
        shapes |= {f"blk.{at}.attn_{part}": (WIDTH, WIDTH) for part in ("q", "k", "v", "output")}
        shapes |= {f"blk.{at}.ffn_{part}": (HIDDEN, WIDTH) for part in ("gate", "up")}
        shapes |= {f"blk.{at}.ffn_down": (WIDTH, HIDDEN)}
    for name, shape in shapes.items():
        stored = quantize((draw.standard_normal(shape) / 8).astype(np.float32), Q8_0)
        writer.add_tensor(f"{name}.weight", stored, raw_dtype=Q8_0)
    norms = ["output_norm", *(f"blk.{at}.{part}_norm" for at in range(LAYERS) for part in ("attn", "ffn"))]
    for name in norms:
        writer.add_tensor(f"{name}.weight", (1 + draw.standard_normal(WIDTH) / 8).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return tiny.artifact(folder, "gguf/mixed", tiny.LANGUAGE, ["model.gguf"])


def test_the_weights_of_a_gguf_file_come_out_as_it_dequantizes_them(quantized: Artifact, steps: Steps) -> None:
    made, effect = steps.export(hf, quantized)
    assert made.form == hf.CARD.makes
    assert effect["max_abs_logit_difference"] == 0
    stored = {tensor.name: tensor for tensor in gguf.GGUFReader(quantized.weights[0]).tensors}
    written = load_file(made.path / "model.safetensors")
    names = {"token_embd": "model.embed_tokens", "output": "lm_head", "blk.1.ffn_down": "model.layers.1.mlp.down_proj"}
    for name, ours in names.items():
        tensor = stored[f"{name}.weight"]
        assert np.array_equal(written[f"{ours}.weight"].numpy(), dequantize(tensor.data, tensor.tensor_type))
    assert {tensor.dtype for tensor in written.values()} == {torch.float32}
    assert len(written) == len(stored)


def test_the_checkpoint_of_a_gguf_file_has_its_configuration_and_tokenizer(quantized: Artifact, steps: Steps) -> None:
    made, _ = steps.export(hf, quantized)
    model = AutoModelForCausalLM.from_pretrained(made.path, local_files_only=True)
    config = model.config
    assert (config.num_hidden_layers, config.hidden_size, config.intermediate_size) == (LAYERS, WIDTH, HIDDEN)
    assert not hasattr(config, "quantization_config")
    tokenizer = AutoTokenizer.from_pretrained(made.path, local_files_only=True)
    assert tokenizer.decode(tokenizer("the other").input_ids, skip_special_tokens=True) == "the other"
    assert any(f"Q8_0 ({2 + 7 * LAYERS} tensors)" in line for line in made.manifest.provenance)


def test_a_checkpoint_from_a_gguf_file_is_one_for_other_exporters(quantized: Artifact, steps: Steps) -> None:
    from exporters import onnx

    made, _ = steps.export(onnx, steps.export(hf, quantized)[0])
    ids = np.random.default_rng(0).integers(1, WORDS, (2, 7))
    logits, _ = answer(made, "onnxruntime", {"input_ids": ids})
    assert logits.shape == (2, 7, WORDS)


@pytest.mark.parametrize("task", [tiny.ENCODER, tiny.IMAGES, tiny.LANGUAGE])
def test_transformers_4_is_given_the_same_weights_and_the_logits_to_compare(
    task: str, steps: Steps, tmp_path: Path
) -> None:
    source = tiny.checkpoint(task, tmp_path)
    made, _ = steps.export(hf4, source)
    assert made.weights[0].read_bytes() == source.weights[0].read_bytes()
    with np.load(made.path / "parity.npz") as arrays:
        inputs = {name: array for name, array in arrays.items() if name != "logits"}
        expected, _ = answer(source, "pytorch", inputs)
        assert np.allclose(arrays["logits"], expected, atol=1e-5)
        assert len(expected) == 3


def test_transformers_4_finds_its_own_words_in_the_configuration(steps: Steps, tmp_path: Path) -> None:
    source = tiny.checkpoint(tiny.LANGUAGE, tmp_path, rope_parameters={"rope_type": "default", "rope_theta": 50000.0})
    made, effect = steps.export(hf4, source)
    config = json.loads((made.path / "config.json").read_text("utf-8"))
    assert config["rope_theta"] == 50000.0
    assert "rope_parameters" not in config
    tokenizer = json.loads((made.path / "tokenizer_config.json").read_text("utf-8"))
    assert tokenizer["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert "rope_theta" in effect["keys_rewritten"]


def test_scaled_rotary_positions_cannot_be_told_to_transformers_4(steps: Steps, tmp_path: Path) -> None:
    rope = {"rope_type": "linear", "rope_theta": 10000.0, "factor": 2.0}
    with pytest.raises(ConversionError, match="rotary positions of the type linear"):
        steps.export(hf4, tiny.checkpoint(tiny.LANGUAGE, tmp_path, rope_parameters=rope))


def test_a_checkpoint_in_16_bits_is_refused(steps: Steps, tmp_path: Path) -> None:
    source, _ = steps.apply(bf16, tiny.checkpoint(tiny.LANGUAGE, tmp_path))
    with pytest.raises(ConversionError, match="hf4 takes hf/fp32, not hf/bf16"):
        steps.export(hf4, source)
    with pytest.raises(ConversionError, match="hf takes gguf/mixed, not hf/bf16"):
        steps.export(hf, source)
