"""Text as encoders take it; tokenizers are those of transformers, handed in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness.contracts.adapter import Array
from harness.contracts.prepared import BATCHES
from harness.contracts.task import Misfit
from harness.tasks import _positions
from harness.tasks._ragged import flatten, windows


def inputs(ids: Array, segments: Array | None = None) -> dict[str, Array]:
    """``input_ids``, ``attention_mask`` and ``token_type_ids`` [batch, tokens] of token ids, none of them padding."""
    return {
        "input_ids": ids,
        "attention_mask": np.ones_like(ids),
        "token_type_ids": np.zeros_like(ids) if segments is None else segments,
    }


LONGEST = 512  # tokens of an example for a model that says no limit


def token_limit(tokenizer: Any, model: Path) -> int:
    """How many tokens an example may have, special ones included."""
    return _positions.token_limit(model, tokenizer) or LONGEST


def packed(items: Sequence[Sequence[int]], tokenizer: Any, limit: int, batch: int, length: int) -> dict[str, Array]:
    """Inputs [batches, batch, length] of a workload: texts that follow each other fill every sequence to its end.

    ``items`` are the token ids of each text without special tokens. Raises Misfit where ``length`` does not fit the model, or
    there is too little text.
    """
    if length > limit:
        raise Misfit(f"the model takes at most {limit} tokens, the workload asks for {length}")
    before, after = _special_tokens(tokenizer)
    inner = length - len(before) - len(after)
    if inner < 1:
        raise Misfit(f"a sequence of {length} tokens has no room beside the special tokens")
    chosen = windows(flatten(items)[0], inner, BATCHES * batch)
    edges = [np.tile(np.array(part, dtype=np.int64), (len(chosen), 1)) for part in (before, after)]
    return inputs(np.concatenate([edges[0], chosen, edges[1]], axis=1).reshape(BATCHES, batch, length))


def first_subtokens(word_ids: Sequence[int | None], words: int) -> list[int]:
    """Where each word's first sub-token stands in the sequence, -1 for a word that has none."""
    first = [-1] * words
    for at, word in enumerate(word_ids):
        if word is not None and first[word] < 0:
            first[word] = at
    return first


def _special_tokens(tokenizer: Any) -> tuple[list[int], list[int]]:
    """What the tokenizer puts before and after a sequence."""
    encoded = tokenizer(["a"], is_split_into_words=True)
    inner = [at for at, word in enumerate(encoded.word_ids()) if word is not None]
    return encoded["input_ids"][: inner[0]], encoded["input_ids"][inner[-1] + 1 :]
