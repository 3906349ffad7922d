"""The published site is whole, or the user is told what to do."""

from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.report import render
from harness.report.site import publish
from tests.results_factory import results


def test_the_site_holds_the_report_its_data_and_the_schemas(tmp_path: Path) -> None:
    render(results(), tmp_path / "reports")
    publish(tmp_path / "reports", tmp_path / "site", {"results.schema.json": {}})
    names = {path.name for path in (tmp_path / "site").iterdir()}
    assert {"index.html", "README.md", "results.json", "results.csv", "results.schema.json", ".nojekyll"} <= names
    assert any(name.endswith(".svg") for name in names)


def test_without_a_report_the_cure_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="run `harness run` first"):
        publish(tmp_path, tmp_path / "site", {})
