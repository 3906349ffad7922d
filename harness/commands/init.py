"""A first matrix file."""

from __future__ import annotations

import re
from pathlib import Path

from harness.catalog import places
from harness.errors import UsageError

SCHEMA = "matrix.schema.json"


def write(file: Path) -> None:
    """Write the first example as ``file``, and the schema that editors check it by beside it, unless one is there.

    Raises UsageError where ``file`` exists or its folder does not.
    """
    if file.exists():
        raise UsageError(f"{file} exists", "name another file with --out")
    if not file.parent.is_dir():
        raise UsageError(f"there is no folder {file.parent}", "make it first, or name another file with --out")
    text = (places.examples() / "first.yaml").read_text("utf-8")
    schema = file.with_name(SCHEMA)
    if not schema.exists():
        schema.write_bytes((places.schemas() / SCHEMA).read_bytes())
    text = text.replace("--matrix FILE", file.name)
    file.write_text(re.sub(r"\$schema=\S+", f"$schema={SCHEMA}", text, count=1), "utf-8")
