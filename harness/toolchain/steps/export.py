"""The step that changes the format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.contracts.artifact import AppliedExport, AppliedPass, Context
from harness.contracts.cards import ExporterCard
from harness.toolchain.artifacts import finish, read_artifact, require_accepted, require_weights, tool


def run(spec: Mapping[str, Any], out: Path, context: Context) -> None:
    """Export, and record it; passes stay what they were."""
    source = read_artifact(context.inputs["artifact"])
    module = tool("exporters", spec["exporter"])
    card: ExporterCard = module.CARD
    require_accepted(card, source.form)
    made = module.export(source, out, context)
    require_weights(out, made)
    applied = AppliedExport(card.name, spec["toolchain"], made.effect, card.source)
    growth = sum((out / name).stat().st_size for name in made.weights) / sum(f.stat().st_size for f in source.weights)
    passes = [_in_new_file(each, growth) for each in source.manifest.passes]
    manifest = replace(source.manifest, exports=[*source.manifest.exports, applied], passes=passes)
    finish(manifest, card.result(source.form), made, out)


def _in_new_file(done: AppliedPass, growth: float) -> AppliedPass:
    """A pass's record after an export: bits per weight are those of the new file, whose embeddings may be wider."""
    if "bits_per_weight" not in done.effect:
        return done
    bits = round(growth * done.effect["bits_per_weight"], 3)
    return replace(done, effect={**done.effect, "bits_per_weight": bits})
