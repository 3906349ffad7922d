"""Hugging Face Optimum: export to ONNX and fusion of the graph for ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from harness.contracts.adapter import Array
from harness.contracts.artifact import Artifact, Context, ConversionError, Made
from harness.contracts.cards import Form, Parameter, PassCard
from harness.toolchain.onnx_files import GRAPH, Session, save
from harness.toolchain.parity import require_close

CARD = PassCard(
    name="optimum",
    summary="export and graph fusion by Hugging Face Optimum; precision stays fp32",
    accepts=(Form("hf4", "fp32"),),
    makes=Form("onnx", "fp32"),
    source="https://huggingface.co/docs/optimum-onnx/onnxruntime/usage_guides/optimization",
    costs="exact",
    # Its graphs of language models ask for position_ids and compute every position's logits: not what the runtime feeds.
    calls=("forward",),
    modalities=("text", "image"),
    parameters={
        "level": Parameter(
            "auto",
            "O1: general; O2: and transformer layers fused; O3: and GELU approximated; auto: O2 where Optimum fuses the kind "
            "of model, else none",
            choices=("auto", "O1", "O2", "O3", "none"),
        ),
    },
)


def apply(source: Artifact, out: Path, parameters: Mapping[str, Any], context: Context) -> Made:
    """Export and fuse, both by Optimum, and compare with what transformers 5 answers to the checkpoint.

    Raises ConversionError where transformers 4 computes something else of the checkpoint, where Optimum fuses nothing of its
    kind, or where the logits differ by more than rounding, unless O3 was asked to approximate.
    """
    import onnx
    import transformers
    from optimum.exporters.onnx import main_export
    from optimum.exporters.tasks import TasksManager
    from parity4 import reference, require_parity

    difference = require_parity(source, context.auto_class)
    level = _level(source, parameters["level"])
    with TemporaryDirectory(dir=out) as scratch:
        context.progress(0.2, "exporting")
        folder = Path(scratch, "exported")
        task = TasksManager.infer_task_from_model(getattr(transformers, context.auto_class))  # Optimum's word
        main_export(str(source.path), folder, task=task, local_files_only=True, do_validation=False)
        exported = onnx.load(folder / GRAPH)
        if level != "none":
            context.progress(0.5, f"fusing by {level}")
            folder = _fused(folder, level)
        made = onnx.load(folder / GRAPH)
    files = save(made, out)
    context.progress(0.9, "comparing")
    inputs, expected = reference(source)
    # Where the tokenizer names no segments there is one; Optimum's graph may ask for it all the same.
    segments = {"token_type_ids": inputs["input_ids"] * 0} if "input_ids" in inputs else {}
    logits = Session(out).logits({**segments, **inputs})
    if level != "O3":
        require_close(expected, logits)
    effect = {
        "level_applied": level,
        "max_abs_logit_difference_of_transformers_4": difference,
        **_graph_effect(exported, made),
        **_logit_effect(expected, logits),
    }
    return Made(files, effect=effect)


def _level(source: Artifact, wanted: str) -> str:
    """The level to apply. Raises ConversionError where it needs fusions that Optimum does not have for the kind of model."""
    from optimum.onnxruntime.utils import ORTConfigManager
    from transformers import AutoConfig

    kind = AutoConfig.from_pretrained(source.path, local_files_only=True).model_type
    known = kind in ORTConfigManager._conf  # the table behind check_supported_model
    if wanted == "auto":
        return "O2" if known else "none"
    if wanted != "none" and not known:
        raise ConversionError(f"Optimum has no fusions for models of the kind {kind}: set level to none")
    return wanted


def _fused(folder: Path, level: str) -> Path:
    from optimum.onnxruntime import ORTOptimizer
    from optimum.onnxruntime.configuration import AutoOptimizationConfig

    target = folder.with_name("fused")
    optimizer = ORTOptimizer.from_pretrained(folder)
    optimizer.optimize(AutoOptimizationConfig.with_optimization_level(level), save_dir=target, file_suffix="")
    return target


def _graph_effect(before: Any, after: Any) -> dict[str, int]:
    """Operators before and after, and those that only ONNX Runtime knows."""
    return {
        "operators_before": len(before.graph.node),
        "operators_after": len(after.graph.node),
        "operators_fused_for_onnxruntime": sum(node.domain == "com.microsoft" for node in after.graph.node),
    }


def _logit_effect(expected: Array, logits: Array) -> dict[str, float]:
    import numpy as np

    agreement = float((expected.argmax(-1) == logits.argmax(-1)).mean())
    return {
        "max_abs_logit_difference": float(np.abs(expected - logits).max()),
        "top1_agreement_on_sample": round(agreement, 4),
    }
