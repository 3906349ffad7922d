"""The step that changes the format."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.contracts.artifact import Context
from harness.contracts.cards import ExporterCard
from harness.toolchain.artifacts import finish, in_manifest, read_artifact, require_weights
from harness.toolchain.tools import require_accepted, tool


def run(spec: Mapping[str, Any], out: Path, context: Context) -> None:
    """Export, and record it; passes stay what they were."""
    source = read_artifact(context.inputs["artifact"])
    module = tool("exporters", spec["exporter"])
    card: ExporterCard = module.CARD
    require_accepted(card, source.form)
    made = module.export(source, out, context)
    require_weights(out, made)
    entry = {"name": card.name, "toolchain": spec["toolchain"], "effect": made.effect, "source": card.source}
    exports = [*source.manifest.get("exports", []), entry]
    growth = sum((out / name).stat().st_size for name in made.weights) / sum(f.stat().st_size for f in source.weights)
    passes = [_in_new_file(each, growth) for each in source.manifest["passes"]]
    form = in_manifest(card.result(source.form))
    finish({**source.manifest, **form, "exports": exports, "passes": passes}, made, out)


def _in_new_file(done: Mapping[str, Any], growth: float) -> Mapping[str, Any]:
    """A pass's record after an export: bits per weight are those of the new file, whose embeddings may be wider."""
    effect = done["effect"]
    if "bits_per_weight" not in effect:
        return done
    return {**done, "effect": {**effect, "bits_per_weight": round(growth * effect["bits_per_weight"], 3)}}
