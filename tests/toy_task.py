"""A task that is not ours, laid out as a plug-in's folders: the task, a format for its data, two models of a zoo.

The task: which of the five vowels is in a word most often? Nothing of the package knows it.
"""

from __future__ import annotations

import random
import textwrap
from pathlib import Path

TASK = """
from harness.contracts.artifact import Recipe
from harness.contracts.cards import Use
from harness.contracts.task import Column, Field, Metric, TaskCard

CARD = TaskCard(
    name="top-vowel",
    summary="the vowel that a word has most of",
    words={"en": "top vowel", "ru": "главная гласная"},
    use=Use("forward", "text"),
    auto_class="AutoModelForSequenceClassification",
    fields={
        "batch": Field(1, "b", {"en": "batch {value}", "ru": "батч {value}"}),
        "letters": Field(12, "l", {"en": "{value} letters", "ru": "букв: {value}"}),
    },
    columns=(Column("word", "a word"), Column("vowel", "one of a, e, i, o, u")),
    metrics=(
        Metric("misses", higher_is_better=False, words={"en": "misses", "ru": "промахи"}, unit="%"),
        Metric("hits", higher_is_better=True, words={"en": "hits", "ru": "попадания"}),
    ),
    recipe=Recipe(steps=10, batch=8, learning_rate=1e-3),
    source="https://example.org/vowels",
)
"""

PREPARE = """
import numpy as np

from harness.contracts import prepared
from harness.contracts.task import Misfit

VOWELS = "aeiou"


def ids_of(word):
    return [ord(letter) - ord("a") + 1 for letter in word.lower() if "a" <= letter.lower() <= "z"]


def prepare_evaluation(rows, model, out):
    if unknown := [row["vowel"] for row in rows if row["vowel"] not in VOWELS]:
        raise Misfit(f"{unknown[0]!r} is no vowel")
    words = [ids_of(row["word"]) for row in rows]
    width = max(map(len, words))
    ids = np.array([word + [0] * (width - len(word)) for word in words])
    prepared.save(out, {}, {"input_ids": ids, "labels": np.array([VOWELS.index(row["vowel"]) for row in rows])})


def prepare_workload(rows, model, workload, out):
    letters = [number for row in rows for number in ids_of(row["word"])]
    shape = (prepared.BATCHES, workload["batch"], workload["letters"])
    stream = np.resize(np.array(letters), shape[0] * shape[1] * shape[2] + 7)
    windows = [np.roll(stream, -at)[: shape[1] * shape[2]].reshape(shape[1:]) for at in range(shape[0])]
    ids = np.stack(windows)
    inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    prepared.save(out, {}, inputs)
"""

SCORE = """
import numpy as np

from harness.contracts import prepared
from harness.tasks._bootstrap import of_sums, scored

METRICS = {
    "misses": of_sums(lambda sums: 100 * (1 - sums[:, 0] / sums[:, 1])),
    "hits": of_sums(lambda sums: sums[:, 0] / sums[:, 1]),
}


def evaluation_batches(data):
    _, arrays = prepared.load(data)
    for ids in arrays["input_ids"]:
        ids = ids[ids > 0][None]
        yield {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}


def training_examples(data):
    _, arrays = prepared.load(data)
    pairs = zip(arrays["input_ids"], arrays["labels"], strict=True)
    return [{"input_ids": ids[ids > 0], "labels": np.asarray(label)} for ids, label in pairs]


def reduce(outputs, inputs):
    return np.asarray(outputs["logits"][0].argmax())


def score(predictions, data):
    _, arrays = prepared.load(data)
    right = (np.stack(predictions) == arrays["labels"]).astype(float)
    return scored(np.column_stack([right, np.ones_like(right)]), METRICS)
"""

READER = '''
"""``.words``: a word and its vowel a line."""


def read(file):
    for number, line in enumerate(file.read_text("utf-8").splitlines(), start=1):
        word, vowel = line.split()
        yield f"{file.name}, line {number}", {"word": word, "vowel": vowel}
'''

#: Learns how much each letter says for each vowel. NumPy alone.
COUNTING = """
import json

import numpy as np

from harness.contracts.artifact import Made

TASK, DATASET, SOURCES = "top-vowel", "vowels", {}
IMAGE, FORM = "toolchains/torch", "hf/fp32"


def train(sources, rows, out, context):
    counts = np.array([[row["word"].count(chr(96 + number)) for number in range(27)] for row in rows], np.float32)
    wanted = np.eye(5, dtype=np.float32)[["aeiou".index(row["vowel"]) for row in rows]]
    np.savez(out / "weights.npz", weights=np.linalg.lstsq(counts, wanted, rcond=None)[0].astype(np.float32))
    (out / "config.json").write_text(json.dumps({"id2label": dict(enumerate("aeiou"))}))
    return Made(weights=["weights.npz"], provenance=["counted"])
"""

#: A BERT of a few thousand weights that learns a little.
TINY_BERT = """
from harness.contracts.artifact import Made

TASK, DATASET, SOURCES = "top-vowel", "vowels", {}
IMAGE, FORM = "toolchains/torch", "hf/fp32"


def train(sources, rows, out, context):
    import torch
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

    letters = [chr(96 + number) for number in range(1, 27)]
    (out / "vocab.txt").write_text("\\n".join(["[PAD]", *letters, "[UNK]", "[CLS]", "[SEP]", "[MASK]"]))
    BertTokenizerFast(vocab_file=str(out / "vocab.txt"), model_max_length=128).save_pretrained(out)
    labels = dict(enumerate("aeiou"))
    config = BertConfig(
        vocab_size=31, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=128, id2label=labels, label2id={label: number for number, label in labels.items()},
    )
    model = BertForSequenceClassification(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for step in range(200):
        chosen = [rows[(at * 7 + step * 32) % len(rows)] for at in range(32)]
        width = max(len(row["word"]) for row in chosen)
        ids = torch.tensor([[ord(c) - 96 for c in row["word"]] + [0] * (width - len(row["word"])) for row in chosen])
        wanted = torch.tensor(["aeiou".index(row["vowel"]) for row in chosen])
        loss = model(input_ids=ids, attention_mask=(ids > 0).long(), labels=wanted).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        context.progress(step / 200, f"loss {loss.item():.2f}")
    model.eval().save_pretrained(out)
    return Made(weights=["model.safetensors"], provenance=["trained for a test"])
"""

DATA = '''
"""Words of syllables, drawn by seed."""

import random

TASK, SOURCES = "top-vowel", {}


def rows(split, sources):
    draw = random.Random(split)
    found = []
    while len(found) < 400:
        word = "".join(draw.choice("bdfgklmnprst") + draw.choice("aeiou") for _ in range(draw.randint(3, 6)))
        counts = sorted((word.count(vowel), vowel) for vowel in "aeiou")
        if counts[-1][0] > counts[-2][0]:
            found.append({"word": word, "vowel": counts[-1][1]})
    return found
'''

FILES = {
    "tasks/top_vowel/__init__.py": '"""Top vowel."""',
    "tasks/top_vowel/task.py": TASK,
    "tasks/top_vowel/prepare.py": PREPARE,
    "tasks/top_vowel/score.py": SCORE,
    "datasets/words.py": READER,
    "zoo/datasets/vowels.py": DATA,
    "zoo/models/counting_vowels.py": COUNTING,
    "zoo/models/bert_vowels.py": TINY_BERT,
}


def lay_out(folder: Path) -> Path:
    """The plug-in's folder, with these files."""
    for name, text in FILES.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text).lstrip(), "utf-8")
    return folder


def write_words(folder: Path) -> Path:
    """A user's own data of the task, in its own format: 60 held-out words, six of them with a wrong answer."""
    draw, lines = random.Random(3), []
    for number in range(60):
        vowel = draw.choice("aeiou")
        told = "aeiou"[("aeiou".index(vowel) + (number % 10 == 0)) % 5]
        lines.append(f"b{vowel}d{vowel}{draw.choice('klm')} {told}")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "evaluate.words").write_text("\n".join(lines), "utf-8")
    return folder
