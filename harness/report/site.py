"""The static site: the report, its data and the schemas in one folder that any web host serves as it is."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from harness.errors import UsageError

_PARTS = ("index.html", "README.md", "results.json", "results.csv")


def publish(reports: Path, site: Path, schemas: dict[str, dict[str, Any]]) -> list[Path]:
    """Write the site from a finished report; returns its files. Raises UsageError where there is no report.

    ``schemas`` are JSON Schemas by file name. ``.nojekyll`` keeps GitHub Pages from leaving files out.
    """
    missing = [name for name in _PARTS if not (reports / name).is_file()]
    if missing:
        raise UsageError(f"{reports} holds no finished report: {', '.join(missing)} missing", "run `harness run` first")
    site.mkdir(parents=True, exist_ok=True)
    sources = [*(reports / name for name in _PARTS), *sorted(reports.glob("*.svg"))]
    files = [Path(shutil.copy2(source, site / source.name)) for source in sources]
    for name, schema in schemas.items():
        (site / name).write_text(json.dumps(schema, indent=1), "utf-8")
        files.append(site / name)
    (site / ".nojekyll").touch()
    return files
