"""The history of a site: what git holds of earlier runs becomes series, a feed and a page; nothing of it is trusted."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.cli import main
from harness.errors import UsageError
from harness.report import render
from harness.report.history.runs import History, as_json, collect
from harness.report.site import described, publish
from harness.results import Cell, Results, Status
from tests.history_factory import FAST, MONDAY, RUN, TUESDAY, WEDNESDAY, at, changed, history, three
from tests.results_factory import failed, hostile


class Repository:
    """A real one, with results in ``reports/``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "reports" / "results.json"
        self.file.parent.mkdir(parents=True)
        self.git("init", "-q")

    def git(self, *words: str) -> str:
        names = ("-c", "user.name=a", "-c", "user.email=a@b.c")
        return subprocess.run(
            ["git", "-C", str(self.folder), *names, *words], check=True, capture_output=True, text=True
        ).stdout.strip()

    def write(self, run: Results | str) -> None:
        self.file.write_text(run if isinstance(run, str) else run.model_dump_json(), "utf-8")

    def commit(self, run: Results | str) -> str:
        self.write(run)
        self.git("add", ".")
        self.git("commit", "-qm", "Publish")
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repository")


def dates(found: History) -> list[str]:
    return [run.results.created_at for run in found.runs]


# --- what git holds -----------------------------------------------------------------------------------------------------


def test_the_runs_come_newest_first_each_with_its_commit(repository: Repository) -> None:
    commits = [repository.commit(at(when)) for when in (MONDAY, TUESDAY, WEDNESDAY)]
    found = collect(repository.file)
    assert dates(found) == [WEDNESDAY, TUESDAY, MONDAY]
    assert [run.revision for run in found.runs] == commits[::-1]
    assert described(found) == "history of 3 runs"


def test_a_run_that_is_not_committed_yet_comes_first(repository: Repository) -> None:
    repository.commit(at(MONDAY))
    repository.write(at(TUESDAY))
    found = collect(repository.file)
    assert dates(found) == [TUESDAY, MONDAY]
    assert found.newest.revision is None


def test_a_run_that_was_drawn_again_counts_once_as_of_its_first_commit(repository: Repository) -> None:
    first = repository.commit(at(MONDAY))
    repository.commit(at(MONDAY).model_copy(update={"title": "Another title"}))
    found = collect(repository.file)
    assert [(run.revision, run.results.title) for run in found.runs] == [(first, "Another title")]


@pytest.mark.parametrize(("newest", "expected"), [(1, [WEDNESDAY]), (2, [WEDNESDAY, TUESDAY])])
def test_there_are_no_more_runs_than_asked_for(repository: Repository, newest: int, expected: list[str]) -> None:
    for when in (MONDAY, TUESDAY, WEDNESDAY):
        repository.commit(at(when))
    assert dates(collect(repository.file, newest)) == expected


@pytest.mark.parametrize(
    "update", [{"schema_version": "0.9"}, {"created_at": "soon"}, {"created_at": "0001-01-01T00:00+14:00"}]
)
def test_a_run_of_another_schema_or_of_no_time_is_left_out(repository: Repository, update: dict[str, str]) -> None:
    repository.commit(at(MONDAY).model_copy(update=update))
    repository.commit(at(TUESDAY))
    found = collect(repository.file)
    assert (dates(found), found.unreadable) == ([TUESDAY], 1)


@pytest.mark.parametrize(
    "content", ["", "{}", "not json", "[" * 100_000, '{"schema_version": "2.0"}', '{"schema_version": "1.0"}']
)
def test_what_is_no_run_of_this_schema_is_counted_and_left_out(repository: Repository, content: str) -> None:
    repository.commit(content)
    repository.commit(at(TUESDAY))
    found = collect(repository.file)
    assert (dates(found), found.unreadable) == ([TUESDAY], 1)
    assert described(found) == "history of 1 run; left out 1 without results that can be read"


def test_a_commit_that_removed_the_results_is_no_run(repository: Repository) -> None:
    repository.commit(at(MONDAY))
    repository.git("rm", "-q", "reports/results.json")
    repository.git("commit", "-qm", "Remove")
    repository.file.parent.mkdir(exist_ok=True)
    repository.commit(at(TUESDAY))
    found = collect(repository.file)
    assert (dates(found), found.unreadable) == ([TUESDAY, MONDAY], 0)


def test_outside_a_checkout_the_history_is_the_run_alone(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text(at(MONDAY).model_dump_json(), "utf-8")
    found = collect(tmp_path / "results.json")
    assert dates(found) == [MONDAY]
    assert "this run alone" in described(found)


def test_without_git_the_history_is_the_run_alone(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    repository.commit(at(MONDAY))
    repository.write(at(TUESDAY))
    monkeypatch.setenv("PATH", "")
    assert dates(collect(repository.file)) == [TUESDAY]


def test_a_shallow_checkout_is_told(repository: Repository, tmp_path: Path) -> None:
    for when in (MONDAY, TUESDAY):
        repository.commit(at(when))
    repository.git("clone", "-q", "--depth", "1", f"file://{repository.folder}", str(tmp_path / "clone"))
    found = collect(tmp_path / "clone" / "reports" / "results.json")
    assert dates(found) == [TUESDAY]
    assert "git fetch --unshallow" in described(found)


def test_results_of_another_schema_cannot_be_published(tmp_path: Path) -> None:
    render(RUN, tmp_path / "reports")
    (tmp_path / "reports" / "results.json").write_text("{}")
    with pytest.raises(UsageError, match="holds no results of schema"):
        publish(tmp_path / "reports", tmp_path / "site", {})


# --- as data ------------------------------------------------------------------------------------------------------------


def test_every_cell_has_its_numbers_in_the_order_of_the_runs() -> None:
    data = json.loads(as_json(three()))
    latency = next(cell.latency_ms for cell in RUN.cells if cell.id == FAST)
    assert latency
    series = data["cells"][FAST]
    assert series["latency_p50_ms"] == [latency.p50, 2 * latency.p50, latency.p50]
    assert series["latency_interval_ms"][0] == list(latency.interval or ())
    assert series["status"] == ["ok"] * 3
    assert {len(values) for cell in data["cells"].values() for name, values in cell.items() if name != "metric"} == {3}
    assert [run["statuses"]["ok"] for run in data["runs"]] == [22, 21, 22]


def test_a_run_without_a_cell_has_nulls_for_it() -> None:
    series = json.loads(as_json(three()))["cells"][RUN.cells[0].id]
    assert [value is None for value in series["latency_p50_ms"]] == [False, True, False]
    assert [value is None for value in series["status"]] == [False, True, False]


def test_a_cell_that_failed_has_its_status_and_no_number() -> None:
    crashed = changed(FAST, lambda cell: failed(cell.model, cell.method, cell.runtime, Status.CRASHED, "boom"))
    series = json.loads(as_json(history(at(TUESDAY, crashed), at(MONDAY))))["cells"][FAST]
    assert series["status"] == ["crashed", "ok"]
    assert series["latency_p50_ms"][0] is series["quality"][0] is None
    assert series["metric"] == "f1"


def test_qualities_of_another_metric_are_no_part_of_the_series() -> None:
    def other(cell: Cell) -> Cell:
        assert cell.quality
        return cell.model_copy(update={"quality": cell.quality.model_copy(update={"metric": "accuracy"})})

    series = json.loads(as_json(history(at(TUESDAY), at(MONDAY, changed(FAST, other)))))["cells"][FAST]
    assert [value is None for value in series["quality"]] == [False, True]


# --- the site -----------------------------------------------------------------------------------------------------------


def test_the_command_publishes_the_history_and_says_how_long_it_is(repository: Repository) -> None:
    repository.commit(at(MONDAY))
    render(at(TUESDAY), repository.file.parent)
    words = ["publish", "--out", str(repository.file.parent), "--to", str(repository.folder / "site")]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    assert "history of 2 runs" in done.stderr
    assert len(json.loads((repository.folder / "site" / "history.json").read_text())["runs"]) == 2
    CliRunner().invoke(main, [*words, "--history", "1", "--url", "https://example.org"])
    assert len(json.loads((repository.folder / "site" / "history.json").read_text())["runs"]) == 1
    assert "https://example.org/history.html#" in (repository.folder / "site" / "feed.xml").read_text("utf-8")


def test_an_address_that_is_none_is_told(tmp_path: Path) -> None:
    render(RUN, tmp_path / "reports")
    with pytest.raises(UsageError, match="is no address"):
        publish(tmp_path / "reports", tmp_path / "site", {}, url="example.org")


@pytest.mark.parametrize("run", [RUN, hostile()], ids=["plain", "hostile"])
def test_the_report_of_the_site_leads_to_its_history_and_back(tmp_path: Path, run: Results) -> None:
    render(run, tmp_path / "reports")
    publish(tmp_path / "reports", tmp_path / "site", {})
    page = (tmp_path / "site" / "index.html").read_text("utf-8")
    assert page.count('<a href="history.html">') == 1
    assert '<a href="index.html">' in (tmp_path / "site" / "history.html").read_text("utf-8")
    assert 'href="history.html"' not in (tmp_path / "reports" / "index.html").read_text("utf-8")
