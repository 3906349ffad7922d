"""Calibration data for NNCF: rows of the training split, as the graph's own inputs."""

from __future__ import annotations

from typing import Any

from harness.contracts.artifact import Context
from harness.toolchain.data import calibration_rows


def feeds(graph: Any, context: Context, wanted: int, length: int | None = None) -> list[dict[str, Any]]:
    """Feeds of ``graph``, one row of the training split each, in an order that the seed sets; texts cut to ``length`` tokens.

    A language model's graph also gets its ``attention_mask``, ``logits_to_keep`` (the last position, for calibration reads no
    logits) and ``beam_idx``. NNCF empties the key-value cache before every feed, so that a row never follows another.
    """
    import numpy as np

    taken = {name for port in graph.inputs for name in port.get_names()}
    rows = calibration_rows(context, wanted)
    if "beam_idx" in taken:
        texts = [row["input_ids"][:, :length].astype(np.int64) for row in rows]
        rows = [
            {
                "input_ids": ids,
                "attention_mask": np.ones_like(ids),
                "logits_to_keep": np.array([ids.shape[1] - 1]),
                "beam_idx": np.arange(len(ids), dtype=np.int32),
            }
            for ids in texts
        ]
    return [{name: row[name] for name in row.keys() & taken} for row in rows]
