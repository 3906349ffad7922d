"""llama.cpp's converter and its block formats: what is in the GGUF file, and that llama.cpp computes nearly the same."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from gguf import GGUFReader
from gguf.quants import dequantize

from harness.contracts.adapter import Array
from harness.contracts.artifact import Artifact, ConversionError
from harness.toolchain.parity import SENTENCE
from tests.passes import tiny
from tests.passes.runtimes import answer, drift, generated, reference
from tests.passes.steps import Steps

sys.path[:0] = [str(Path(__file__).parents[3] / "images/toolchains/llamacpp")]

from exporters import gguf as exporter  # noqa: E402
from passes import gguf, int4, int8_dynamic  # noqa: E402

WIDTH = 256  # what the formats with large blocks need


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """A Llama whose rows are whole blocks.

    Its tokenizer is one of SentencePiece for llama.cpp's converter, as the first Llamas have it, and one of words for
    transformers, which reads that only with packages that this toolchain does not have: ids of either are ids of the model.
    """
    import sentencepiece

    tmp_path = tmp_path_factory.mktemp("source")
    folder = tmp_path / "checkpoint"
    (tmp_path / "text.txt").write_text("\n".join([SENTENCE, *SENTENCE.split()] * 40), "utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(tmp_path / "text.txt"), model_prefix=str(tmp_path / "tokenizer"), vocab_size=320, model_type="bpe",
        byte_fallback=True, hard_vocab_limit=False, minloglevel=2,
    )  # fmt: skip
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "tokenizer.model"))
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=pieces.vocab_size(), hidden_size=WIDTH, intermediate_size=512, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=512, initializer_range=0.06,
    )  # fmt: skip
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    tiny.tokenizer(pads=False).save_pretrained(folder)
    (folder / "tokenizer.model").write_bytes((tmp_path / "tokenizer.model").read_bytes())
    return tiny.artifact(folder, "hf", tiny.LANGUAGE, ["model.safetensors"])


@pytest.fixture(scope="module")
def graph(source: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """Its GGUF file in fp32: the converter takes seconds."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        return Steps(tmp_path_factory.mktemp("graph"), monkeypatch).export(exporter, source)[0]


def logits(artifact: Artifact) -> Array:
    return answer(artifact, "llamacpp", tiny.inputs(tiny.LANGUAGE))[0]


def tensors(artifact: Artifact) -> dict[str, Any]:
    return {tensor.name: tensor for tensor in GGUFReader(artifact.weights[0]).tensors}


def test_llama_cpp_answers_like_the_checkpoint_and_goes_on_from_its_cache(source: Artifact, steps: Steps) -> None:
    made, effect = steps.export(exporter, source)
    assert effect["max_abs_logit_difference"] < 1e-2
    assert effect["tensors_by_type"] == {"F32": len(tensors(made))}
    inputs = tiny.inputs(tiny.LANGUAGE)
    expected = reference(source, inputs)
    assert drift(expected, logits(made)) < 0.01
    assert drift(expected[:, 4:], generated(made, "llamacpp", inputs["input_ids"], prompt=5)) < 0.01


@pytest.mark.parametrize(("dtype", "precision"), [("float16", "fp16"), ("bfloat16", "bf16")])
def test_a_file_keeps_the_precision_of_its_checkpoint(
    dtype: str, precision: str, source: Artifact, steps: Steps
) -> None:
    made, effect = steps.export(exporter, tiny.cast(source, dtype))
    assert made.form.precision == precision
    kind = {"fp16": "F16", "bf16": "BF16"}[precision]
    assert effect["tensors_by_type"] == dict(Counter(t.tensor_type.name for t in tensors(made).values()).most_common())
    assert effect["tensors_by_type"][kind] == 2 + 2 * 7  # embedding, head and every matrix
    assert all(t.tensor_type.name == "F32" for name, t in tensors(made).items() if "norm" in name)


def test_a_tokenizer_that_llama_cpp_does_not_know_is_an_error(steps: Steps, tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match=r"llama\.cpp's converter does not take this checkpoint"):
        steps.export(exporter, tiny.checkpoint(tiny.LANGUAGE, tmp_path))


@pytest.mark.parametrize(
    ("module", "parameters", "bits", "most"),
    [
        (int8_dynamic, {}, 8.5, 0.05),
        (int4, {}, 5.5, 0.3),
        (gguf, {"type": "Q6_K"}, 7.0, 0.1),
        (gguf, {"type": "Q5_0"}, 6.0, 0.2),
        (gguf, {"type": "Q2_K"}, 4.0, 1.0),
    ],
    ids=["int8-dynamic", "int4", "Q6_K", "Q5_0", "Q2_K"],
)
def test_llama_cpp_computes_nearly_the_same_with_fewer_bits(
    module: ModuleType, parameters: dict[str, str], bits: float, most: float, graph: Artifact, steps: Steps
) -> None:
    made, effect = steps.apply(module, graph, **parameters)
    before, after = tensors(graph), tensors(made)
    changed = [name for name, tensor in after.items() if tensor.tensor_type != before[name].tensor_type]
    count = sum(int(tensor.n_elements) for tensor in before.values())
    assert effect["tensors_changed"] == len(changed) == 2 + 2 * 7
    assert effect["share_of_weights_quantized"] == pytest.approx(
        sum(int(after[name].n_elements) for name in changed) / count, abs=1e-4
    )
    change = max(
        float(
            np.abs(
                dequantize(after[n].data, after[n].tensor_type) - before[n].data.reshape(-1, before[n].shape[0])
            ).max()
        )
        for n in changed
    )
    assert effect["max_abs_weight_change"] == pytest.approx(change)
    matrices = sum(int(after[name].n_bytes) for name in changed)
    assert 8 * matrices / sum(int(after[name].n_elements) for name in changed) <= bits
    assert 0 < drift(logits(graph), logits(made)) < most


def test_the_named_types_are_in_the_file(graph: Artifact, steps: Steps) -> None:
    assert set(steps.apply(int8_dynamic, graph)[1]["tensors_by_type"]) == {"Q8_0"}
    made, effect = steps.apply(int4, graph)
    assert made.form.precision == "q4_k_m"
    assert set(effect["tensors_by_type"]) == {"Q4_K", "Q6_K"}
    assert effect["tensors_fallen_back"] == 0


def test_the_form_is_that_of_the_type_that_was_asked_for(graph: Artifact, steps: Steps) -> None:
    made, effect = steps.apply(gguf, graph, type="Q5_K_S")
    assert str(made.form) == "gguf/q5_k_s"
    assert "Q5_K" in effect["tensors_by_type"]
    with pytest.raises(ConversionError, match="type: expected one of Q8_0"):
        steps.apply(gguf, graph, type="Q1_0")


def test_a_quantized_file_is_not_quantized_again(graph: Artifact, steps: Steps) -> None:
    made, _ = steps.apply(int8_dynamic, graph)
    with pytest.raises(ConversionError, match="int4 takes gguf/fp32, not gguf/q8_0"):
        steps.apply(int4, made)
