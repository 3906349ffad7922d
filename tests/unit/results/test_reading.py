"""Results are read whatever schema they were written in; what cannot be read is told with file and field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from harness.cli import main
from harness.errors import UsageError
from harness.report import render
from harness.report.history.compare import compare
from harness.report.table.build import build
from harness.report.table.columns import vocabulary
from harness.results import SCHEMA_VERSION, Results, parse, read
from tests.results_factory import results

FIRST = Path(__file__).parents[2] / "data" / "results-1.json"


@pytest.fixture(scope="module")
def old() -> dict[str, Any]:
    """The published results of schema 1."""
    data: dict[str, Any] = json.loads(FIRST.read_text("utf-8"))
    assert data["schema_version"] == "1.0"
    return data


@pytest.fixture(scope="module")
def migrated() -> Results:
    found = read(FIRST)
    assert found
    return found


def test_results_of_schema_1_are_read_with_their_machine(old: dict[str, Any], migrated: Results) -> None:
    assert migrated.schema_version == SCHEMA_VERSION
    host = old["environment"]["host"]
    machine = migrated.machines[host]
    assert (machine.name, machine.cpu) == (host, old["environment"]["cpu"])
    assert [cell.machine for cell in migrated.cells] == [host if cell["latency_ms"] else None for cell in old["cells"]]
    assert None in {cell.machine for cell in migrated.cells}


def test_the_numbers_of_schema_1_stay_what_they_were(old: dict[str, Any], migrated: Results) -> None:
    written = json.loads(migrated.model_dump_json())
    for before, after in zip(old["cells"], written["cells"], strict=True):
        assert kept(before, after) == before


def kept(before: Any, after: Any) -> Any:
    """``after`` without the keys that are new."""
    if isinstance(before, dict):
        return {name: kept(value, after[name]) for name, value in before.items()}
    if isinstance(before, list):
        return [kept(one, other) for one, other in zip(before, after, strict=True)]
    return after


def test_the_words_of_schema_1_come_with_the_results(migrated: Results) -> None:
    words = vocabulary(migrated).words
    metrics = {cell.quality.metric for cell in migrated.cells if cell.quality}
    assert metrics == set(migrated.metrics)
    assert {name for cell in migrated.cells for name in cell.workload} == set(migrated.workload_fields)
    assert {cell.task for cell in migrated.cells} == set(migrated.tasks)
    assert all(words[f"metric.{name}"].keys() >= {"en", "ru"} for name in metrics)


def test_results_of_schema_1_are_reported_and_compared(migrated: Results, tmp_path: Path) -> None:
    render(migrated, tmp_path, before=migrated)
    assert read(tmp_path / "results.json") == migrated
    found = compare(migrated, migrated)
    assert len(found.changes) == len(migrated.cells)
    assert not found.regressed
    assert found.apart == 0
    assert len(build(migrated).machines) == 1


def test_the_commands_take_results_of_schema_1(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_bytes(FIRST.read_bytes())
    assert CliRunner().invoke(main, ["report", "--out", str(tmp_path)]).exit_code == 0
    assert json.loads((tmp_path / "results.json").read_text("utf-8"))["schema_version"] == SCHEMA_VERSION
    assert CliRunner().invoke(main, ["compare", str(FIRST), str(tmp_path / "results.json")]).exit_code == 0


def test_a_machine_without_a_fingerprint_is_named_by_its_processor(old: dict[str, Any]) -> None:
    environment = {name: value for name, value in old["environment"].items() if name != "host"}
    found = parse(json.dumps({**old, "environment": environment}).encode())
    assert list(found.machines) == [old["environment"]["cpu"]]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("NVIDIA L4, 23034 MiB, 550.54.15", ("NVIDIA L4", 23034 << 20, "550.54.15")),
        ("a card, unknown", ("a card, unknown", None, None)),
    ],
)
def test_a_gpu_of_schema_1_is_taken_apart(old: dict[str, Any], line: str, expected: tuple[object, ...]) -> None:
    found = parse(json.dumps({**old, "environment": {**old["environment"], "gpu": [line]}}).encode())
    ((gpu,),) = [machine.gpu for machine in found.machines.values()]
    assert (gpu.name, gpu.memory_bytes, gpu.driver) == expected


def broken(change: dict[str, Any]) -> str:
    return json.dumps({**json.loads(results().model_dump_json()), **change})


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("{", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ("[]", "it is not an object"),
        ("{}", "its schema_version is missing"),
        ('{"schema_version": "9.1"}', "its schema_version is '9.1'"),
        ('{"schema_version": 2}', "its schema_version is 2"),
        ('{"schema_version": "1.0"}', "broken results of schema 1: KeyError('environment')"),
        ('{"schema_version": "1.0", "environment": 3, "cells": []}', "broken results of schema 1"),
        (broken({"seed": "many"}), "seed: Input should be a valid integer"),
        (broken({"surplus": 1}), "surplus: Extra inputs are not permitted"),
        (broken({"machines": {}}), "its machine 'f3a9c1d2' is not among machines"),
    ],
    ids=range(11),
)
def test_what_is_broken_is_told_with_its_file_and_field(tmp_path: Path, content: str, told: str) -> None:
    file = tmp_path / "results.json"
    file.write_text(content, "utf-8")
    with pytest.raises(UsageError) as caught:
        read(file)
    assert str(file) in caught.value.problem
    assert told in caught.value.problem
    done = CliRunner().invoke(main, ["report", "--out", str(tmp_path)])
    assert done.exit_code == 2
    assert "does not exist" not in done.output
    assert file.read_text("utf-8") == content


def test_the_first_wrong_field_is_named_by_its_path(tmp_path: Path) -> None:
    data = json.loads(results().model_dump_json())
    data["cells"][3]["latency_ms"]["p50"] = "fast"
    data["cells"][4]["status"] = "nonsense"
    with pytest.raises(UsageError, match=r"cells\.3\.latency_ms\.p50: .*\(and 1 more\)"):
        parse(json.dumps(data).encode())


def test_what_does_not_exist_is_none_and_a_folder_is_told(tmp_path: Path) -> None:
    assert read(tmp_path / "results.json") is None
    with pytest.raises(UsageError, match="is not a file"):
        read(tmp_path)
    done = CliRunner().invoke(main, ["report", "--out", str(tmp_path)])
    assert "does not exist" in done.output


@pytest.mark.parametrize("language", ["xx", "", "../en", "EN"])
def test_a_language_that_the_report_does_not_speak_is_told(language: str) -> None:
    with pytest.raises(UsageError, match="language: Input should be 'en' or 'ru'"):
        parse(broken({"language": language}).encode())
