"""Steps of a toolchain: a pass or an exporter applied to an artifact, with all that the runner checks about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from harness import tasks
from harness.contracts.artifact import Artifact, Context
from harness.toolchain.artifacts import read_artifact
from harness.toolchain.steps import compress, export
from tests.passes import tiny


@dataclass
class Steps:
    """Runs passes and exporters, each into a folder of its own below ``folder``."""

    folder: Path
    monkeypatch: pytest.MonkeyPatch
    numbers: Any = field(default_factory=count)

    def apply(self, module: ModuleType, source: Artifact, **parameters: Any) -> tuple[Artifact, dict[str, Any]]:
        """What a pass made, and its effect; parameters that are left out have their defaults."""
        made = self._run(compress, module, source, {"pass": module.CARD.name, "parameters": parameters})
        return made, made.manifest.passes[-1].effect

    def export(self, module: ModuleType, source: Artifact) -> tuple[Artifact, dict[str, Any]]:
        """What an exporter made, and its effect."""
        made = self._run(export, module, source, {"exporter": module.CARD.name})
        return made, made.manifest.exports[-1].effect

    def _run(self, kind: ModuleType, module: ModuleType, source: Artifact, spec: dict[str, Any]) -> Artifact:
        image = Path(str(module.__file__)).parents[1]
        self.monkeypatch.setenv("MATRIX_IMAGE_DIR", str(image))
        out = self.folder / f"{next(self.numbers)}-{module.CARD.name}"
        out.mkdir()
        task = tasks.card(source.manifest.task)
        context = Context(
            seed=0,
            threads=2,
            task=task.name,
            use=source.use,
            auto_class=source.manifest.auto_class,
            recipe=task.recipe,
            progress=lambda fraction, message: None,
            inputs={"artifact": source.path, "calibration": tiny.rows(task.name, self.folder)},
        )
        kind.run({"toolchain": image.name, **spec}, out, context)
        return read_artifact(out)
