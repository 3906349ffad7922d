"""Lock files, taken apart: which requirements of an image lie in the layer that it shares with other images."""

from __future__ import annotations

import re
from collections.abc import Iterable

from harness.catalog import Image
from harness.errors import UsageError

#: A requirement and the lines of its hashes.
_ENTRY = re.compile(r"^[^\s#].*(?:\n[ \t]+.*)*", re.MULTILINE)


def entries(lock: str) -> list[str]:
    """The requirements of a lock file, each with its hashes, in their order."""
    return _ENTRY.findall(lock)


def split(image: Image) -> tuple[str, str]:
    """Two lock files: that of the image's layer, which is empty where it has none, and what the image has besides.

    Raises UsageError where the layer has a requirement that the image has not, or has in another version.
    """
    own = entries(image.requirements.read_text("utf-8"))
    shared = entries(image.layer.requirements.read_text("utf-8")) if image.layer else []
    if image.layer and (strangers := [entry.split()[0] for entry in shared if entry not in own]):
        raise UsageError(
            f"{image.requirements}: {strangers[0]} of {image.layer.name} is not locked here, but the image shares that layer",
            f"harness lock {image.layer.name} {image.name}",
        )
    return _text(shared), _text(entry for entry in own if entry not in shared)


def _text(requirements: Iterable[str]) -> str:
    return "".join(f"{requirement}\n" for requirement in requirements)
