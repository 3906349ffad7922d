"""What comes from outside stays text: on the terminal, and in every file that is drawn."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import sys
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import example, given
from hypothesis import strategies as st

from harness import report, terminal
from harness.cli import main
from harness.report.files.data import as_csv
from harness.report.files.export import export
from harness.report.history.feed import as_atom
from harness.report.html.history_page import render_history
from harness.report.site import publish
from harness.report.table.build import build
from harness.results import Results, Status, parse
from harness.runner import progress
from harness.untrusted_text import visible, visible_json
from tests.history_factory import at, history
from tests.in_process import plan
from tests.results_factory import failed, results, wrap

#: Clears the screen, sets the title, types an answer, the same in one byte of C1, turns the text, rings.
NASTY = "\x1b[2J\x1b]0;owned\x07\x1b[6n\x9b2J\x90q\u202e\u2066\x08\x7f\r\U000e0041[/weights] :bomb:"
FORBIDDEN = [c for c in NASTY if c not in "[/weights] :bomb:;owned0Jq6n2" and c != "]"]


def harmless(text: str) -> bool:
    return not any(c in text for c in FORBIDDEN if c != "\r") and "\r" not in text.replace("\r\n", "")


@given(st.text())
@example(NASTY)
def test_visible_text_moves_nothing_and_json_holds_the_same(text: str) -> None:
    shown = visible(text)
    assert harmless(shown)
    assert visible(shown) == shown
    shown.encode("utf-8")
    whole = json.dumps({text: text}, ensure_ascii=False)
    assert json.loads(visible_json(whole)) == {text: text}
    assert harmless(visible_json(whole))


def data_of(text: str) -> str:
    """A CSV without the marks that are no controls: fields keep them."""
    return "".join(c for c in text if unicodedata.category(c) != "Cf")


def test_what_is_said_and_shown_is_visible(capfd: pytest.CaptureFixture[str]) -> None:
    terminal.say(NASTY)
    terminal.show(NASTY + "\udc80")
    said = capfd.readouterr()
    assert harmless(said.err)
    assert harmless(said.out)
    assert "\\u001b[2J" in said.err


@pytest.mark.parametrize("kind", ["plain", "json"])
def test_progress_is_visible(kind: Any, capfd: pytest.CaptureFixture[str]) -> None:
    assert harmless(played(kind, capfd))


def test_markup_does_not_end_the_bar_and_controls_do_not_reach_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal of its own: the bar's own sequences are there, and none of those from outside."""
    controller, worker = pty.openpty()
    with os.fdopen(worker, "w", encoding="utf-8") as screen:
        monkeypatch.setattr(sys, "stderr", screen)
        monkeypatch.setenv("TERM", "xterm-256color")
        monkeypatch.setenv("COLUMNS", "1000")
        shown = progress.make("tty")
        play(shown)
    drawn = b""
    with contextlib.suppress(OSError):  # EIO: all was read
        while True:
            drawn += os.read(controller, 100_000)
    os.close(controller)
    for sequence in ("\x1b[2J", "\x1b]0;owned", "\x1b[6n", "\x9b", "\x90", "\u202e", "\x07", "\x08"):
        assert sequence.encode() not in drawn
    assert b"[/weights] :bomb:" in drawn
    assert b"crashed" in drawn


def play(shown: progress.Progress) -> None:
    step = next(iter(plan().steps.values()))
    shown.begin(3, 1.0)
    shown.step(step)
    shown.inside(NASTY, 0.5, f"[bold]{NASTY}[/nothing]")
    if isinstance(shown, progress.Tty):
        shown._last = 0
    shown.inside("[/weights]", None, NASTY)
    shown.done(step, "crashed", 1.0, 2.0, NASTY)
    shown.say(f"[red]{NASTY}")
    shown.end()


def played(kind: Any, capfd: pytest.CaptureFixture[str]) -> str:
    play(progress.make(kind))
    return capfd.readouterr().err


def nasty() -> Results:
    """Every text of a run holds what must reach nobody."""
    run = wrap([*results(rounds=2).cells, failed("m", "original", "pytorch", Status.CRASHED, "it broke")])
    data = json.loads(run.model_dump_json())

    def spoil(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {name: spoil(part, name) for name, part in value.items()}
        if isinstance(value, list):
            return [spoil(part, key) for part in value]
        kept = ("status", "language", "schema_version", "created_at", "measured_at", "device", "task", "machine")
        return f"{value}{NASTY}" if isinstance(value, str) and key not in kept else value

    return parse(json.dumps(spoil(data)).encode())


def test_no_control_reaches_a_file_that_is_drawn(tmp_path: Path) -> None:
    run = nasty()
    report.render(run, tmp_path / "reports", before=run)
    publish(tmp_path / "reports", tmp_path / "site", {})
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 10
    for file in files:
        text = file.read_bytes().decode("utf-8")
        assert harmless(text if file.suffix != ".csv" else data_of(text)), file.name
    made = history(at("2026-11-24T04:12:09Z", run))
    texts = [export(run, format_) for format_ in ("json", "markdown", "latex")]
    for text in (*texts, render_history(made), as_atom(made)):
        assert harmless(text)


@pytest.mark.parametrize("command", [["compare"], ["export"], ["export", "--format", "csv"]])
def test_no_control_reaches_the_terminal(command: list[str], tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text(nasty().model_dump_json(), "utf-8")
    file = str(tmp_path / "results.json")
    done = CliRunner().invoke(main, [*command, file, *([file] if command == ["compare"] else [])])
    assert done.exit_code == 0, done.output
    assert harmless(data_of(done.output) if "csv" in command else done.output)


def test_an_error_is_visible(tmp_path: Path) -> None:
    matrix = tmp_path / "matrix.yaml"
    matrix.write_text('"\\e[2J\\u202e": 1\nmodels: "\\x9b2J"\n# \u202e\u2028\n', "utf-8")
    done = CliRunner().invoke(main, ["plan", str(matrix)])
    assert done.exit_code == 2
    assert harmless(done.output)


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1", "\n=1", "  =1", "\u3000=1", "\u00a0=1", "\u200b=1", "\ufeff=1", "＝1", "＋1",
     "－1", "＠x", " ＝1", "a;=1", "a; =1", "a\t=1", "a\n=1", "\tx", "\x00=1", "\x1b=1"],
)  # fmt: skip
def test_no_field_is_a_formula(text: str) -> None:
    table = as_csv(build(wrap([failed("minilm-ner", "original", "pytorch", Status.CRASHED, text)])))
    for piece in table.replace('"', "").replace("\t", ";").replace("\r\n", ",").replace("\n", ";").split(","):
        for field in piece.split(";"):
            bare = field.strip(" \u3000\u00a0\u200b\ufeff")
            assert not bare.startswith(tuple("=+-@＝＋－＠")), repr(field)
