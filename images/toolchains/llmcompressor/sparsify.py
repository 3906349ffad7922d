"""One-shot pruning of a checkpoint by a modifier of llm-compressor: what the passes of this image share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from calibration import HEADS, calibrate, examples

from harness.contracts.artifact import Artifact, Context, ConversionError, Made
from harness.toolchain.checkpoint import WEIGHTS, copy_companions, load_model, tensors
from harness.toolchain.parity import require_close, sample_inputs, source_logits

#: The library's notation of a pattern; 0:0 is none.
STRUCTURES = {"unstructured": "0:0", "2:4": "2:4"}
#: Heads stay dense, as in both papers.
IGNORED = [rf"re:(.*\.)?{head}\.?$" for head in HEADS]  # the library puts a dot behind the name of a layer by itself


def require_pattern(parameters: Mapping[str, Any]) -> None:
    """Raise ConversionError where the sparsity contradicts the pattern."""
    if parameters["pattern"] == "2:4" and parameters["sparsity"] != 0.5:
        raise ConversionError(
            "the pattern 2:4 is a sparsity of 0.5: leave sparsity at 0.5, or take pattern unstructured"
        )


def prune(modifier: Any, source: Artifact, out: Path, parameters: Mapping[str, Any], context: Context) -> Made:
    """Prune every linear layer but the head, layer after layer, each calibrated on what the pruned ones before it give.

    ``modifier`` is llm-compressor's. Everything else of the checkpoint, its configuration too, stays byte for byte. Raises
    ConversionError where nothing was pruned, or the written checkpoint answers differently from the pruned model.
    """
    import torch

    model = load_model(source.path, context.auto_class)
    layers = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and not name.endswith(HEADS)
    }
    rows = examples(context, parameters["samples"], parameters["sequence_length"])
    calibrate(model, [modifier], rows, context)
    context.progress(0.9, "writing")
    copy_companions(source, out)
    pruned = {f"{name}.weight": module.weight.detach().contiguous() for name, module in layers.items()}
    _write(source, out, pruned)
    effect = {
        "examples": len(rows),
        **_effect(source, out, list(pruned), parameters["pattern"]),
        **_parity(model.eval(), out, context),
    }
    return Made([WEIGHTS], effect=effect)


def _write(source: Artifact, out: Path, pruned: Mapping[str, Any]) -> None:
    from safetensors.torch import save_file

    stored = tensors(source)
    if missing := sorted(pruned.keys() - stored.keys()):
        raise ConversionError(f"the checkpoint does not hold the pruned layers by name: {', '.join(missing[:3])}")
    save_file({**stored, **pruned}, out / WEIGHTS, {"format": "pt"})


def _effect(source: Artifact, out: Path, names: list[str], pattern: str) -> dict[str, Any]:
    """Zeros, counted in the written file; raises ConversionError where no layer holds more than before."""
    from safetensors.torch import load_file

    before, after = tensors(source), load_file(out / WEIGHTS)
    zeros = {name: int((after[name] == 0).sum()) for name in names}
    changed = [name for name in names if zeros[name] > int((before[name] == 0).sum())]
    if not changed:
        raise ConversionError("no linear layer lost a weight: raise sparsity")
    numbers = sum(after[name].numel() for name in names)
    whole = sum(tensor.numel() for tensor in after.values())
    effect = {
        "tensors_pruned": len(changed),
        "sparsity": round(sum(zeros.values()) / numbers, 4),
        "lowest_tensor_sparsity": round(min(zeros[name] / after[name].numel() for name in names), 4),
        "sparsity_of_whole_model": round(sum(int((tensor == 0).sum()) for tensor in after.values()) / whole, 4),
    }
    if pattern == "2:4":
        fours = [after[name].flatten().view(-1, 4) for name in names if after[name].shape[-1] % 4 == 0]
        kept = sum(int(((group == 0).sum(1) >= 2).sum()) for group in fours)
        effect["share_of_groups_in_pattern"] = round(kept / max(1, sum(len(group) for group in fours)), 4)
    return effect


def _parity(model: Any, out: Path, context: Context) -> dict[str, float]:
    """That the written checkpoint, read again, gives the logits of the model in memory."""
    inputs = sample_inputs(out, model.config, context.use, 2)
    difference = require_close(source_logits(model, inputs), source_logits(load_model(out, context.auto_class), inputs))
    return {"max_abs_logit_difference": difference}
