"""Where the files that belong to the package lie: ``images/``, ``examples/`` and the JSON schemas.

A checkout, and an editable install of one, uses its own top-level folders. A wheel carries copies in ``harness/_data``; see
``force-include`` in pyproject.toml.
"""

from __future__ import annotations

import json
import subprocess
from importlib import metadata
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
_CARRIED = PACKAGE / "_data"  # in a wheel only


def checkout() -> Path | None:
    """The repository that the package runs from; None where it was installed from a wheel."""
    return None if _CARRIED.is_dir() else PACKAGE.parent


def images() -> Path:
    """The folders of images that come with the package."""
    return (checkout() or _CARRIED) / "images"


def examples() -> Path:
    """Matrix files to start from."""
    return (checkout() or _CARRIED) / "examples"


def schemas() -> Path:
    """``matrix.schema.json`` and ``results.schema.json``."""
    root = checkout()
    return root / "docs" if root else _CARRIED / "schemas"


def shared(root: Path, *names: str) -> Path:
    """A file or folder that images share, such as ``base``: that of their own root, else the one of the package.

    A plug-in's folder of images needs no Dockerfile and no base image of its own.
    """
    own = root.joinpath(*names)
    return own if own.exists() else images().joinpath(*names)


def revision() -> str | None:
    """The git commit of the code: of the checkout, or of the repository that pip installed from; None where none is known."""
    root = checkout()
    if root:
        return _commit(root)
    try:
        origin = metadata.distribution("compression-matrix").read_text("direct_url.json")
    except metadata.PackageNotFoundError:
        return None
    commit = json.loads(origin or "{}").get("vcs_info", {}).get("commit_id")
    return str(commit)[:12] if commit else None


def _commit(root: Path) -> str | None:
    """The git commit of a checkout, with ``+`` where its code differs from it.

    Only the code counts: a report that is drawn into the checkout does not make another revision of it.
    """
    git = ["git", "-C", str(root)]
    try:
        commit = _told([*git, "rev-parse", "--short=12", "HEAD"])
        return commit + ("+" if _told([*git, "status", "--porcelain", "--", "harness", "images"]) else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _told(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout.strip()
