"""Build images, or the virtual environments that stand in for them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness import terminal
from harness.catalog import plugins
from harness.engines import registry
from harness.errors import UsageError, did_you_mean
from harness.runner.steps import hand_closure


def build(names: Sequence[str], work: Path, engine: str, images: Sequence[Path] = ()) -> None:
    """Build the named images, all of them where none is named; ``images`` are more folders of them.

    Raises UsageError for a name that is none, BuildFailed, EnvironmentProblem.
    """
    catalog = plugins.load(images)
    for name in names:
        if name not in catalog.images:
            raise UsageError(f"there is no image {name!r}", did_you_mean(name, sorted(catalog.images)))
    chosen, reason = registry.choose(engine, work)
    terminal.say(reason)
    for name in names or sorted(catalog.images):
        image = catalog.images[name]
        for place in chosen.places():
            built = chosen.refresh(image, hand_closure(catalog, image), place, terminal.say)
            terminal.say(f"{name}: {built.reference}")
