"""A first matrix file."""

from __future__ import annotations

import re
from pathlib import Path

from harness.catalog import places
from harness.contracts.files import write_atomically
from harness.errors import UsageError, told_of_disk

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
    text = text.replace("--matrix FILE", file.name)
    with told_of_disk(file):
        schema = file.with_name(SCHEMA)
        if not schema.exists():
            write_atomically(schema, (places.schemas() / SCHEMA).read_bytes())
        write_atomically(file, re.sub(r"\$schema=\S+", f"$schema={SCHEMA}", text, count=1))
