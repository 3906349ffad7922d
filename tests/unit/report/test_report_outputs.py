import base64
import csv
import hashlib
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from jsonschema import Draft202012Validator

from harness import report
from harness.report.charts.quality import Key
from harness.report.files.data import as_csv
from harness.report.files.markdown import render_charts, render_markdown
from harness.report.html.report_page import render_html
from harness.report.language.markup import escape, fence
from harness.report.language.voice import Voice
from harness.report.table.build import build
from harness.results import Results, Status, json_schema
from tests.results_factory import HOSTILE, failed, hostile, results, wrap


@pytest.fixture(scope="module", params=["en", "ru", "hostile", "few", "empty", "all-failed"])
def run(request: pytest.FixtureRequest) -> Results:
    made = {
        "en": results,
        "ru": lambda: results(language="ru"),
        "hostile": hostile,
        "few": lambda: results(rounds=1),
        "empty": lambda: wrap([]),
        "all-failed": lambda: wrap([failed("minilm-ner", "original", "pytorch", Status.BUILD_FAILED, "no network")]),
    }
    return made[request.param]()


@pytest.fixture
def written(run: Results, tmp_path: Path) -> Path:
    report.render(run, tmp_path / "reports")
    return tmp_path / "reports"


class Elements(HTMLParser):
    """Tags with their attributes, and what stays open."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in ("meta", "input"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_all_files_are_written_and_nothing_else(run: Results, written: Path) -> None:
    names = {path.name for path in written.iterdir()}
    assert names >= {"index.html", "README.md", "results.json", "results.csv"}
    assert all(name.startswith("pareto-") and name.endswith(".svg") for name in names - {
        "index.html", "README.md", "results.json", "results.csv"})  # fmt: skip


def test_results_json_is_valid_and_reads_back(run: Results, written: Path) -> None:
    text = (written / "results.json").read_text("utf-8")
    Draft202012Validator.check_schema(json_schema())
    Draft202012Validator(json_schema()).validate(json.loads(text, parse_constant=pytest.fail))
    assert Results.model_validate_json(text) == run


def test_the_page_is_well_formed_and_loads_nothing(run: Results, written: Path) -> None:
    elements = Elements((written / "index.html").read_text("utf-8"))
    assert elements.open == []
    tags = [tag for tag, _ in elements.found]
    assert tags.count("main") == tags.count("h1") == 1
    assert [a.get("type") for tag, a in elements.found if tag == "script"] == ["application/json", None]
    assert not {"img", "link", "iframe", "object", "base"} & set(tags)
    for _, attributes in elements.found:
        assert not {"src", "srcset", "action", "onerror", "onclick", "style"} & set(attributes)
    ids = [attributes["id"] for _, attributes in elements.found if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = {
        a["href"][1:].removeprefix("cell=")
        for tag, a in elements.found
        if tag == "a" and (a.get("href") or "").startswith("#")
    }
    assert targets <= set(ids)


def test_the_policy_names_the_only_script(written: Path) -> None:
    page = (written / "index.html").read_text("utf-8")
    script = re.search(r"<script>(.*?)</script>\n</body>", page, re.DOTALL)
    assert script
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page
    assert "default-src 'none'" in page


def test_both_reports_say_how_many_rounds_were_noisy_and_left_out() -> None:
    cell = next(
        cell for cell in results().cells if cell.latency_ms and any(each.noisy for each in cell.latency_ms.rounds)
    )
    assert cell.latency_ms
    rounds = [each.model_copy(update={"counts": each.noisy is None}) for each in cell.latency_ms.rounds]
    run = wrap([cell.model_copy(update={"latency_ms": cell.latency_ms.model_copy(update={"rounds": rounds})})])
    page = re.sub(r"<[^>]+>", "", render_html(run, build(run)))
    for text in (page, render_markdown(run, build(run), [])):
        assert f"Noisy rounds: 1 of {len(rounds)}" in text
        assert "Left out: 1," in text


def test_the_csv_has_a_line_a_cell(run: Results, written: Path) -> None:
    text = (written / "results.csv").read_bytes().decode("utf-8")
    lines = list(csv.DictReader(io.StringIO(text)))
    assert len(lines) == len(run.cells)
    assert not any(value in ("nan", "inf", "None") for line in lines for value in line.values())


def test_charts_are_xml_and_stand_alone(written: Path) -> None:
    for path in written.glob("*.svg"):
        root = ElementTree.fromstring(path.read_text("utf-8"))
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert {"href", "onerror"}.isdisjoint(name for element in root.iter() for name in element.attrib)


def test_writing_again_replaces_the_files(run: Results, written: Path) -> None:
    before = {path.name: path.read_bytes() for path in written.iterdir()}
    report.render(run, written)
    assert {path.name: path.read_bytes() for path in written.iterdir()} == before


def test_a_broken_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "index.html").write_text("old")

    def no_space(self: Path, target: Path) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(Path, "replace", no_space)
    with pytest.raises(OSError, match="no space"):
        report.render(results(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["index.html"]
    assert (tmp_path / "index.html").read_text() == "old"


def test_the_markdown_opens_with_the_courses_table() -> None:
    lines = render_markdown(results(), build(results()), []).splitlines()
    assert lines[2] == (
        "| Model | Method | Weights size | Inference time CPU ms | Inference time GPU ms | RAM MB | VRAM MB | Quality |"
    )
    assert lines[4].startswith("| smollm2-135m | original · pytorch | 538 MB | 1484 ±")


def test_every_line_of_a_markdown_table_has_its_columns(run: Results, written: Path) -> None:
    text = (written / "README.md").read_text("utf-8")
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(widths) == 1, block


def test_a_failure_is_told_with_its_reason_in_every_output() -> None:
    run = results()
    outputs = [render_html(run, build(run)), render_markdown(run, build(run), []), as_csv(build(run))]
    assert all("compile took longer than 600 s" in output for output in outputs)


def test_a_diverged_speed_is_struck_through() -> None:
    text = render_markdown(results(), build(results()), [])
    assert re.search(r"\| smollm2-135m \| fp16 · onnxruntime \| 270 MB \| ~~1373 ±[^|]+~~ \|", text)


def test_html_and_markdown_print_the_same_numbers() -> None:
    run = results()
    page, text = render_html(run, build(run)), render_markdown(run, build(run), [])
    for row in re.findall(r"^\| [^|]+ \| [^|]+ · [^|]+ \| (.+) MB \| (?:~~)?(\S+) ±", text, re.MULTILINE):
        assert all(number in page for number in row)


def test_a_chart_is_named_after_its_model_unless_it_has_several() -> None:
    run = results()
    longer = [c.model_copy(update={"workload": {"batch": 8}, "id": c.id + "8"}) for c in run.cells if "ner" in c.model]
    table = build(run.model_copy(update={"cells": [*run.cells, *longer]}))
    files = render_charts(table, Key(table.names("method"), table.names("runtime")), Voice("en", str, str))
    assert set(files) == {
        "pareto-smollm2-135m.svg",
        "pareto-minilm-ner-cpu-batch1-sequence-length128.svg",
        "pareto-minilm-ner-cpu-batch8.svg",
        "pareto-digits-cnn.svg",
    }


def test_the_workload_is_named_where_a_model_has_several() -> None:
    run = results()
    longer = [c.model_copy(update={"workload": {"batch": 8}, "id": c.id + "8"}) for c in run.cells if "ner" in c.model]
    table = build(run.model_copy(update={"cells": [*run.cells, *longer]}))
    text = render_markdown(run, table, [])
    assert "| minilm-ner (batch 8) | original · pytorch |" in text
    assert "| digits-cnn | original · pytorch |" in text


def test_devices_share_a_line_of_the_courses_table() -> None:
    cell = next(c for c in results().cells if c.status is Status.OK)
    gpu = cell.model_copy(update={"device": "cuda", "id": "gpu", "vram_bytes": 1_250_000_000, "vram_reason": None})
    table = build(wrap([cell, gpu]))
    line = render_markdown(wrap([cell, gpu]), table, []).splitlines()[4]
    assert line.count("1484") == 2
    assert "| 1250 |" in line


def test_hostile_strings_stay_text_in_markdown() -> None:
    text = render_markdown(hostile(), build(hostile()), [])
    outside = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    assert "<img" not in outside
    assert "\u202e" not in text
    assert escape("a|b\n<i>*x*`") == r"a\|b &lt;i&gt;\*x\*\`"
    assert fence("```\nx").startswith("````\n")


def test_spreadsheets_get_no_formula() -> None:
    cell = failed("minilm-ner", "original", "pytorch", Status.CRASHED, '=HYPERLINK("x")')
    assert "'=HYPERLINK" in as_csv(build(wrap([cell])))


def test_hostile_strings_stay_text_in_the_page() -> None:
    page = render_html(hostile(), build(hostile()))
    assert "<img" not in page
    assert "\u202e" not in page
    assert page.count("</script>") == 2
    assert HOSTILE not in page


def test_a_workload_field_without_a_word_keeps_its_name() -> None:
    cell = results().cells[0].model_copy(update={"workload": {"beams": 4}})
    assert "beams 4" in re.sub("<.*?>", "", render_html(wrap([cell]), build(wrap([cell]))))
