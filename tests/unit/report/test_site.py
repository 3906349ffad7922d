"""The published site is whole and self-contained, or the user is told what to do."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.cli import main
from harness.errors import UsageError
from harness.matrix.spec import json_schema as matrix_schema
from harness.report import render
from harness.report.site import publish
from harness.results import json_schema as results_schema
from tests.results_factory import results

PARTS = {
    "index.html",
    "README.md",
    "results.json",
    "results.csv",
    "matrix.schema.json",
    "results.schema.json",
    "history.html",
    "history.json",
    "feed.xml",
    ".nojekyll",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("published")
    render(results(), folder / "reports")
    words = ["publish", "--out", str(folder / "reports"), "--to", str(folder / "public" / "site")]
    assert CliRunner().invoke(main, words).exit_code == 0
    return folder / "public" / "site"


def names(site: Path) -> set[str]:
    return {path.name for path in site.iterdir()}


def test_the_site_holds_the_report_its_data_its_history_and_the_schemas(site: Path) -> None:
    assert names(site) >= PARTS
    assert any(name.endswith(".svg") for name in names(site))


def test_the_schemas_are_those_of_the_code(site: Path) -> None:
    assert json.loads((site / "matrix.schema.json").read_text("utf-8")) == matrix_schema()
    assert json.loads((site / "results.schema.json").read_text("utf-8")) == results_schema()


def test_every_link_leads_to_a_file_beside_it_so_that_any_host_and_any_path_will_do(site: Path) -> None:
    pages = "".join((site / name).read_text("utf-8") for name in ("index.html", "history.html", "feed.xml"))
    text = (site / "README.md").read_text("utf-8")
    links = {*re.findall(r'(?:href|src)="([^"#]+)', pages), *re.findall(r"\]\(([^)#]+)\)", text)}
    assert links
    assert links <= names(site)


def test_publishing_again_brings_the_site_up_to_date(tmp_path: Path) -> None:
    render(results(), tmp_path / "reports")
    publish(tmp_path / "reports", tmp_path / "site", {})
    (tmp_path / "reports" / "README.md").write_text("newer")
    publish(tmp_path / "reports", tmp_path / "site", {})
    assert (tmp_path / "site" / "README.md").read_text() == "newer"


def test_without_a_report_the_cure_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="run `harness run` first"):
        publish(tmp_path, tmp_path / "site", {})
    assert not (tmp_path / "site").exists()
