"""Wanda by llm-compressor: in every row, the weights with the smallest product of magnitude and input norm become zero."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.contracts.artifact import Artifact, Context, Made
from harness.contracts.cards import Form, Parameter, PassCard

CARD = PassCard(
    name="wanda",
    summary="one-shot pruning by magnitude times the norm of the input, by llm-compressor (formerly SparseML)",
    accepts=(Form("hf", "fp32"),),
    source="Sun, Liu, Bair & Kolter, 2023, https://arxiv.org/abs/2306.11695; "
    "https://docs.vllm.ai/projects/llm-compressor",
    costs="other",
    calls=("forward", "generate"),
    modalities=("text",),
    parameters={
        "sparsity": Parameter(0.5, "share of every row's weights that become zero", minimum=0.01, maximum=0.99),
        "pattern": Parameter(
            "unstructured", "2:4: of four neighbours in a row two are zero", choices=("unstructured", "2:4")
        ),
        "samples": Parameter(32, "training rows to calibrate on", minimum=1),
        "sequence_length": Parameter(512, "tokens of a row that are used", minimum=8),
    },
    needs_training_data=True,
)


def apply(source: Artifact, out: Path, parameters: Mapping[str, Any], context: Context) -> Made:
    """Prune every linear layer but the head on rows of the train split; weights that stay are as they were."""
    from llmcompressor.modifiers.pruning import WandaPruningModifier
    from sparsify import IGNORED, STRUCTURES, prune, require_pattern

    require_pattern(parameters)
    modifier = WandaPruningModifier(
        sparsity=parameters["sparsity"], mask_structure=STRUCTURES[parameters["pattern"]], ignore=IGNORED
    )
    return prune(modifier, source, out, parameters, context)
