"""The step that applies one pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.contracts.artifact import AppliedPass, Context, ConversionError
from harness.contracts.cards import PassCard
from harness.toolchain.artifacts import (
    finish,
    read_artifact,
    require_accepted,
    require_changed,
    require_weights,
    tool,
)


def run(spec: Mapping[str, Any], out: Path, context: Context) -> None:
    """Apply it, and record what it did and what it may cost."""
    source = read_artifact(context.inputs["artifact"])
    module = tool("passes", spec["pass"])
    card: PassCard = module.CARD
    require_accepted(card, source.form)
    parameters = _parameters(card, spec["parameters"])
    made = module.apply(source, out, parameters, context)
    require_weights(out, made)
    require_changed(source, out, made)
    costs = card.tolerance(parameters)
    applied = AppliedPass(card.name, spec["toolchain"], parameters, made.effect, card.source, costs)
    manifest = replace(source.manifest, passes=[*source.manifest.passes, applied])
    finish(manifest, card.result(source.form, parameters), made, out)


def _parameters(card: PassCard, given: Mapping[str, Any]) -> dict[str, Any]:
    unknown = sorted(given.keys() - card.parameters.keys())
    if unknown:
        raise ConversionError(f"{card.name} has no parameter {', '.join(unknown)}")
    complete = card.complete(given)
    for name, parameter in card.parameters.items():
        if problem := parameter.problem(complete[name]):
            raise ConversionError(f"{card.name}: {name}: {problem}")
    return complete
