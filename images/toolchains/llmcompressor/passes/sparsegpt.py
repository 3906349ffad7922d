"""SparseGPT by llm-compressor: weights are removed one column after another, and those that stay make up for the loss."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.contracts.artifact import Artifact, Context, Made
from harness.contracts.cards import Form, Parameter, PassCard

CARD = PassCard(
    name="sparsegpt",
    summary="one-shot pruning that updates the weights that stay, by llm-compressor (formerly SparseML)",
    accepts=(Form("hf", "fp32"),),
    source="Frantar & Alistarh, 2023, https://arxiv.org/abs/2301.00774; https://docs.vllm.ai/projects/llm-compressor",
    costs="other",
    calls=("forward", "generate"),
    modalities=("text",),
    parameters={
        "sparsity": Parameter(0.5, "share of every layer's weights that become zero", minimum=0.01, maximum=0.99),
        "pattern": Parameter(
            "unstructured", "2:4: of four neighbours in a row two are zero", choices=("unstructured", "2:4")
        ),
        "samples": Parameter(32, "training rows to calibrate on", minimum=1),
        "sequence_length": Parameter(512, "tokens of a row that are used", minimum=8),
        "block_size": Parameter(128, "columns whose weights are chosen together", minimum=4),
        "damping": Parameter(
            0.01, "added to the Hessian's diagonal, as a share of its mean", minimum=1e-6, maximum=1.0
        ),
    },
    needs_training_data=True,
)


def apply(source: Artifact, out: Path, parameters: Mapping[str, Any], context: Context) -> Made:
    """Prune every linear layer but the head on rows of the train split; the file stays dense, with zeros in it."""
    from llmcompressor.modifiers.pruning import SparseGPTModifier
    from sparsify import IGNORED, STRUCTURES, prune, require_pattern

    require_pattern(parameters)
    modifier = SparseGPTModifier(
        sparsity=parameters["sparsity"],
        mask_structure=STRUCTURES[parameters["pattern"]],
        block_size=parameters["block_size"],
        dampening_frac=parameters["damping"],
        ignore=IGNORED,
    )
    return prune(modifier, source, out, parameters, context)
