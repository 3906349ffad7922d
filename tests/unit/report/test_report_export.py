"""The exported table: the report's own numbers in each format, text from outside as text, mistakes in one line."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from harness.cli import main
from harness.errors import UsageError
from harness.report.files import latex
from harness.report.files.data import as_csv
from harness.report.files.export import export
from harness.report.files.markdown import course_rows, voice
from harness.report.table.build import build
from harness.report.table.columns import vocabulary
from harness.results import Results, Status
from harness.untrusted_text import one_line
from tests.results_factory import HOSTILE, hostile, results, wrap

SAY = voice("en", vocabulary(results()))
FORMATS = ("csv", "json", "markdown", "latex")
#: All that ``latex.escape`` may write in place of a letter; what is left over must be no special of LaTeX.
WRITTEN = re.compile(
    r"\\[{}%_&#$]|\\(?:text[a-z]+|ldots)\{\}|\\char34\{\}|\{[`'\[\]*]?\}|\$(?:\\pm|\\times|-)\$|---|\\,|~"
)
SPECIALS = set("\\{}%_&#$~^<>|\"`'[]*")


def markdown_rows(text: str) -> list[list[str]]:
    lines = [line.strip("|").split(" | ") for line in text.splitlines() if line.startswith("| ")][2:]
    return [[cell.strip() for cell in line] for line in lines]


def row_of(text: str, *names: str) -> list[str]:
    """What follows these names in the first row that opens with them."""
    return next(row[len(names) :] for row in markdown_rows(text) if row[: len(names)] == list(names))


def unmarked(text: str) -> str:
    """A number without what marks it as diverged, and with the signs of Markdown in place of those of LaTeX."""
    signs = {r"\textdagger{}": "", "~~": "", r"$\pm$": "±", r"\,": "\u202f", "---": "—", r"\\": ""}
    for sign, plain in signs.items():
        text = text.replace(sign, plain)
    return text.strip()


def test_the_numbers_are_those_of_the_markdown_report() -> None:
    run = results()
    report = {(row.model, *row.method.split(" · ")): row.cells for row in course_rows(build(run), SAY)}
    columns = ["model", "method", "runtime", "weights", "cpu_ms", "gpu_ms", "ram", "vram", "quality"]
    text = export(run, "markdown", columns=columns)
    assert report
    for key, (weights, *others) in report.items():
        assert row_of(text, *key) == [weights.removesuffix(" MB"), *others]


def test_latex_and_markdown_hold_the_same_numbers() -> None:
    columns = ["model", "method", "runtime", "weights", "cpu_ms", "ram", "quality"]
    lines = re.findall(r"^(?!\\).+ & .+ \\\\$", export(results(), "latex", columns=columns), re.M)[1:]
    found = [[unmarked(cell) for cell in line.split(" & ")] for line in lines]
    expected = markdown_rows(export(results(), "markdown", columns=columns))
    assert found == [[unmarked(cell) for cell in row] for row in expected]


def test_a_row_without_numbers_has_dashes_and_its_status() -> None:
    columns = ["model", "method", "runtime", "cpu_ms", "gpu_ms", "quality", "status"]
    row = row_of(export(results(), "markdown", columns=columns), "smollm2-135m", "int8-dynamic", "openvino")
    assert row == ["—", "—", "—", "timed out"]


def test_a_diverged_speed_is_marked_and_the_mark_explained() -> None:
    assert "~~1373 ± " in export(results(), "markdown").replace("±\u202f", "± ")
    text = export(results(), "latex")
    assert re.search(r"& 1373 \$\\pm\$\\,\d+\\textdagger\{\} &", text)
    assert "the outputs left the reference" in text
    assert "textdagger" not in export(results(), "latex", models=["minilm-ner"])


def test_latex_has_a_part_a_group_with_its_workload() -> None:
    text = export(results(), "latex")
    assert text.count(r"\midrule") == len(build(results()).groups) == text.count(r"\textbf{")
    assert r"\textbf{minilm-ner}, cpu, batch 1, 128 tokens} \\" in text
    assert [text.count(rf"\{end}{{{part}}}") for part in ("table", "tabular") for end in ("begin", "end")] == [1] * 4


def test_every_line_of_the_latex_table_has_its_columns() -> None:
    for run in (results(), hostile()):
        lines = re.findall(r"^(?!\\multicolumn).+ \\\\$", export(run, "latex"), re.M)
        assert {len(re.findall(r"(?<!\\)&", line)) for line in lines} == {8}


def test_csv_and_json_have_the_raw_values_of_the_csv_report() -> None:
    run = results()
    assert export(run, "csv") == as_csv(build(run))
    whole = json.loads(export(run, "json"))
    assert [cell["latency_p50_ms"] for cell in whole] == [
        row.cell.latency_ms and row.cell.latency_ms.p50 for row in build(run).rows
    ]
    assert list(whole[0]) == next(csv.reader(io.StringIO(as_csv(build(run)))))


def test_chosen_columns_come_in_the_order_asked_for() -> None:
    chosen = ["weights_bytes", "id", "id"]
    assert export(results(), "csv", columns=chosen).startswith("weights_bytes,id\r\n")
    assert list(json.loads(export(results(), "json", columns=chosen))[0]) == ["weights_bytes", "id"]
    assert export(results(), "markdown", columns=["status", "method"]).startswith("| Status | Method |\n| --- | --- |")


@pytest.mark.parametrize("format_", FORMATS)
def test_only_the_models_asked_for_are_there_and_their_ratios_stay(format_: str) -> None:
    one, all_ = export(results(), format_, ["digits-cnn"]), export(results(), format_)
    assert "minilm" in all_
    assert "minilm" not in one
    if format_ == "json":
        assert json.loads(one) == [cell for cell in json.loads(all_) if cell["model"] == "digits-cnn"]


def test_the_speed_against_the_baseline_can_be_asked_for() -> None:
    text = export(results(), "markdown", columns=["model", "method", "runtime", "speed"])
    (speed,) = row_of(text, "minilm-ner", "int8-dynamic", "onnxruntime")
    assert re.fullmatch(r"3\.\d+× \\\[3\.\d+,\xa03\.\d+\\\] faster", speed)
    assert row_of(text, "minilm-ner", "original", "pytorch") == ["—"]


def test_the_words_are_in_the_language_of_the_results() -> None:
    assert "| Модель | Метод | Среда |" in export(results(language="ru"), "markdown")
    assert "измерено" in export(results(language="ru"), "latex")


@pytest.mark.parametrize("format_", ["markdown", "latex"])
def test_hostile_strings_stay_text_and_are_cut(format_: str) -> None:
    text = export(hostile(), format_)
    assert "<img" not in text
    assert "\u202e" not in text
    assert "x" * 200 not in text


def test_hostile_strings_keep_their_cells_in_markdown() -> None:
    text = export(hostile(), "markdown")
    widths = {len(re.findall(r"(?<!\\)\|", line)) for line in text.splitlines() if line.startswith("|")}
    assert len(widths) == 1


def test_hostile_strings_keep_their_fields_in_data() -> None:
    run = hostile()
    lines = list(csv.DictReader(io.StringIO(export(run, "csv"))))
    assert [line["model"] for line in lines] == [cell["model"] for cell in json.loads(export(run, "json"))]
    assert lines[0]["model"] == HOSTILE
    assert "\u202e" not in export(run, "json")


def test_a_formula_is_inert_in_csv_and_itself_in_json() -> None:
    run = wrap([results().cells[0].model_copy(update={"model": "=1+1"})])
    assert json.loads(export(run, "json", columns=["model"])) == [{"model": "=1+1"}]
    assert export(run, "csv", columns=["model"]) == "model\r\n'=1+1\r\n"


@given(st.text(st.sampled_from("\\{}%_&#$~^<>|\"`'[]*-ab …·†±×−—\u202f\xa0\u202e\n")) | st.text())
def test_escaped_latex_holds_no_special_of_its_own(text: str) -> None:
    assert not set(WRITTEN.sub("", latex.escape(one_line(text)))) & SPECIALS


@given(st.text(st.sampled_from("-—a"), max_size=8))
def test_dashes_stay_as_many_and_as_long_as_they_are(text: str) -> None:
    written = re.findall(r"-+", latex.escape(text))
    assert written == ["-" if dash == "-" else "---" for dash in text if dash != "a"]


def test_two_commas_are_no_quote() -> None:
    assert latex.escape("a,,b") == "a,{},b"


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"models": ["minilm-nre"]}, "no cell has the model 'minilm-nre'\n  hint: did you mean 'minilm-ner'?"),
        ({"models": ["x"]}, "hint: expected one of: smollm2-135m, minilm-ner, digits-cnn"),
        ({"columns": ["cpu-ms"]}, "latex has no column 'cpu-ms'\n  hint: did you mean 'cpu_ms'?"),
        ({"columns": ["?"]}, "hint: expected one of: model, method, runtime, device, machine, workload"),
    ],
)
def test_what_there_is_not_is_told_with_what_there_is(wrong: dict[str, list[str]], told: str) -> None:
    with pytest.raises(UsageError) as caught:
        export(results(), "latex", **wrong)
    assert told in str(caught.value)


def test_columns_of_data_and_of_tables_are_two_vocabularies() -> None:
    with pytest.raises(UsageError, match="csv has no column 'cpu_ms'"):
        export(results(), "csv", columns=["cpu_ms"])


def test_results_without_a_cell_are_told() -> None:
    with pytest.raises(UsageError, match="no cell"):
        export(wrap([]), "markdown")


def harness(run: Results, folder: Path, *arguments: str) -> Result:
    file = folder / "results.json"
    file.write_text(run.model_dump_json(), "utf-8")
    return CliRunner().invoke(main, ["export", str(file), *arguments])


def test_the_command_prints_the_table_alone(tmp_path: Path) -> None:
    done = harness(results(), tmp_path, "--format", "json", "--model", "digits-cnn", "--columns", "id, status")
    assert done.exit_code == 0
    assert {cell["status"] for cell in json.loads(done.stdout)} >= {Status.OK, Status.CRASHED}


def test_the_command_writes_into_a_file(tmp_path: Path) -> None:
    done = harness(results(), tmp_path, "--format", "csv", "--out", str(tmp_path / "new" / "t.csv"))
    assert (done.exit_code, done.stdout) == (0, "")
    assert (tmp_path / "new" / "t.csv").read_bytes().decode() == export(results(), "csv")


def test_the_command_tells_a_wrong_column_in_one_message(tmp_path: Path) -> None:
    done = harness(results(), tmp_path, "--columns", "qualty")
    assert done.exit_code == 2
    assert "error: markdown has no column 'qualty'\n  hint: did you mean 'quality'?" in done.output


def test_the_command_tells_where_there_are_no_results(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "none.json"):  # a folder is no results file either
        done = CliRunner().invoke(main, ["export", str(place)])
        assert done.exit_code == 2
        assert "is neither a file nor a git revision" in done.output
