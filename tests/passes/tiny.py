"""Tiny models with random weights of real architectures, and random rows that fit them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from harness import tasks
from harness.contracts import prepared, values
from harness.contracts.adapter import Array
from harness.contracts.artifact import MANIFEST, Artifact, Manifest
from harness.contracts.cards import Form
from harness.contracts.files import write_json
from harness.tasks._ragged import flatten
from harness.toolchain.artifacts import read_artifact
from harness.toolchain.checkpoint import cast as rounded
from harness.toolchain.parity import SENTENCE

ENCODER, IMAGES, LANGUAGE = "token-classification", "image-classification", "text-generation"
LABELS = ["O", "B-PER", "I-PER"]
WORDS = 80  # of the vocabulary
ROWS = 24  # of the train split
WINDOW = 32  # tokens of a row at most
EDGE = 32  # of an image
PRECISIONS = {"float16": "fp16", "bfloat16": "bf16"}


def artifact(folder: Path, form: str, task: str, weights: list[str]) -> Artifact:
    """A folder as an artifact that no pass has touched: its manifest is written. ``hf`` is ``hf/fp32``."""
    told = Form.parse(form)
    facts = tasks.card(task).facts
    return _written(folder, Manifest(format=told.format, precision=told.precision, weights=weights, **facts))


def relabelled(source: Artifact, **changes: Any) -> Artifact:
    """The same folder with a manifest that says something else: ``changes`` are its fields."""
    return _written(source.path, replace(source.manifest, **changes))


def _written(folder: Path, manifest: Manifest) -> Artifact:
    write_json(folder / MANIFEST, values.dump(manifest))
    return read_artifact(folder)


def checkpoint(task: str, folder: Path, **changes: Any) -> Artifact:
    """An hf checkpoint in a new folder below ``folder``; ``changes`` are keys of its configuration.

    A BERT, a ResNet or a Llama. Weights are drawn wider than transformers draws them, so that logits differ enough to be
    compared.
    """
    import torch

    torch.manual_seed(0)
    torch.set_num_threads(2)
    path = folder / f"checkpoint-{task}"
    model = _model(task, changes)
    if task == IMAGES:
        _settle(model)
    model.eval().save_pretrained(path)
    if task != IMAGES:
        tokenizer(pads=task == ENCODER).save_pretrained(path)
    return artifact(path, "hf", task, ["model.safetensors"])


def cast(source: Artifact, dtype: str) -> Artifact:
    """A checkpoint in 16 bits, in a new folder beside it; passes that do this are of the torch toolchain."""
    path = source.path.with_name(f"{source.path.name}-{dtype}")
    path.mkdir()
    made = rounded(source, path, dtype)
    return artifact(path, f"hf/{PRECISIONS[dtype]}", source.manifest.task, made.weights)


def inputs(task: str, batch: int = 3, length: int = 11) -> dict[str, Array]:
    """Inputs as the worker gives them: random ids, or smooth images."""
    draw = np.random.default_rng(batch)
    if task == IMAGES:
        return {"pixel_values": _smooth(draw, batch)}
    ids = draw.integers(2, WORDS, (batch, length))
    if task == LANGUAGE:
        return {"input_ids": ids}
    return {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}


def rows(task: str, folder: Path) -> Path:
    """The prepared train split of a task, in a folder below ``folder``."""
    path = folder / f"train-{task}"
    if path.exists():
        return path
    path.mkdir()
    draw = np.random.default_rng(0)
    if task == IMAGES:  # a class is a brightness: it can be learnt, and few answers hang on the last bit of a number
        labels = draw.integers(0, 4, ROWS)
        pixels = _smooth(draw, ROWS, labels / 3)
        prepared.save(path, {"image_size": EDGE}, {"pixel_values": pixels, "labels": labels})
        return path
    lengths = draw.integers(8, WINDOW, ROWS)
    ids, offsets = flatten([draw.integers(2, WORDS, length).tolist() for length in lengths])
    arrays = {"input_ids": ids, "offsets": offsets}
    if task == LANGUAGE:
        prepared.save(path, {"window": WINDOW}, arrays)
        return path
    first, words = flatten([list(range(length)) for length in lengths])
    arrays |= {"first": first, "word_offsets": words, "gold": draw.integers(0, len(LABELS), len(first))}
    prepared.save(path, {"labels": LABELS, "tags": LABELS}, arrays)
    return path


def _smooth(draw: np.random.Generator, count: int, brightness: Array | None = None) -> Array:
    """Images of 4 by 4 squares, in 0..1; brighter and darker ones, so that a network's answers differ."""
    levels = draw.random(count, np.float32) if brightness is None else brightness.astype(np.float32)
    squares = 0.7 * levels[:, None, None, None] + 0.3 * draw.random((count, 1, 4, 4), np.float32)
    return squares.repeat(EDGE // 4, axis=2).repeat(EDGE // 4, axis=3)


def _settle(model: Any) -> None:
    """Give norms statistics that are not the identity, and logits the mean 0 and the deviation 1 over smooth images."""
    import torch

    pixels = torch.from_numpy(_smooth(np.random.default_rng(1), 16))
    head = model.classifier[-1]
    with torch.no_grad():
        for _ in range(20):
            model.train()(pixels)
        logits = model.eval()(pixels).logits
        if isinstance(head, torch.nn.Linear):
            spread = (logits - logits.mean(0)).std()
            head.bias.copy_((head.bias - logits.mean(0)) / spread)
            head.weight.div_(spread)


def _model(task: str, changes: dict[str, Any]) -> Any:
    import transformers

    config: dict[str, Any]
    if task == IMAGES:
        config = {"embedding_size": 16, "hidden_sizes": [16, 32], "depths": [1, 1], "layer_type": "basic"}
        config |= {"num_channels": 1, "num_labels": 4, "image_size": EDGE}
        return transformers.ResNetForImageClassification(transformers.ResNetConfig(**config | changes))
    config = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    config |= {"vocab_size": WORDS, "initializer_range": 0.125, "max_position_embeddings": 128}
    if task == ENCODER:
        config |= {"id2label": dict(enumerate(LABELS))}
        return transformers.BertForTokenClassification(transformers.BertConfig(**config | changes))
    config |= {"num_key_value_heads": 2, "tie_word_embeddings": True}
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**config | changes))


def tokenizer(pads: bool) -> Any:
    """A tokenizer of whole words: those of the sentence that conversions are compared on."""
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = ["[UNK]", "[PAD]", *dict.fromkeys(SENTENCE.replace(".", " .").split())]
    made = Tokenizer(models.WordLevel({word: at for at, word in enumerate(words)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    special = {"unk_token": "[UNK]", **({"pad_token": "[PAD]"} if pads else {})}
    return transformers.PreTrainedTokenizerFast(tokenizer_object=made, model_max_length=128, **special)
