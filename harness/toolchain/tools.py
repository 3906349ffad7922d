"""The passes and exporters of the image that a step runs in."""

from __future__ import annotations

import os
from pathlib import Path
from types import ModuleType

from harness.contracts.artifact import ConversionError
from harness.contracts.cards import ExporterCard, Form, PassCard
from harness.contracts.loading import load_file


def tool(kind: str, name: str) -> ModuleType:
    """A module of ``passes`` or ``exporters``; modules beside their folders can be imported while it runs."""
    image = Path(os.environ["MATRIX_IMAGE_DIR"])
    stem = name.replace("-", "_")
    try:
        return load_file(image / kind / f"{stem}.py", f"matrix_{kind}_{stem}", siblings=image)
    except FileNotFoundError:
        raise ConversionError(f"this toolchain has no {name} among its {kind}") from None


def require_accepted(card: PassCard | ExporterCard, form: Form) -> None:
    """Raise ConversionError where the card does not take the form."""
    if form not in card.accepts:
        raise ConversionError(f"{card.name} takes {', '.join(map(str, card.accepts))}, not {form}")
