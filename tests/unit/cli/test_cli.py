"""The command line: help with examples, one-message errors, light to start."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from harness import __version__
from harness.cli import main
from harness.commands import doctor
from harness.results import json_schema

ROOT = Path(__file__).parents[3]
GOOD = (ROOT / "examples" / "first.yaml").read_text("utf-8")


def harness(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def plan(tmp_path: Path, text: str, *arguments: str) -> Result:
    (tmp_path / "m.yaml").write_text(text, "utf-8")
    return harness("plan", "-m", tmp_path / "m.yaml", "--work", tmp_path / "work", "--engine", "host", *arguments)


@pytest.mark.parametrize("command", [[], *([name] for name in sorted(main.commands))], ids=lambda words: "".join(words))
def test_help_shows_examples(command: list[str]) -> None:
    result = harness(*command, "--help")
    assert result.exit_code == 0
    assert f"examples:\n  {'  ' if not command else ''}".rstrip() in result.output
    assert f"harness {' '.join(command)}".strip() in result.output.split("examples:")[1]


def test_help_starts_without_heavy_libraries() -> None:
    heavy = ["docker", "torch", "jinja2", "pydantic", "numpy", "rich", "huggingface_hub", "transformers"]
    code = (
        "import sys; from click.testing import CliRunner; from harness.cli import main;"
        f"CliRunner().invoke(main, ['--help']); print(sorted(set({heavy}) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"


def test_the_version_is_the_packages() -> None:
    assert harness("--version").output == f"harness, version {__version__}\n"


def test_a_broken_matrix_is_exit_code_2_with_its_place_and_cure(tmp_path: Path) -> None:
    result = plan(tmp_path, GOOD.replace("runtimes:", "runtime:"))
    assert result.exit_code == 2
    assert "unknown key 'runtime'" in result.output
    assert "hint: did you mean 'runtimes'?" in result.output
    assert "Traceback" not in result.output


def test_a_missing_matrix_is_exit_code_2_with_a_cure(tmp_path: Path) -> None:
    result = harness("plan", "-m", tmp_path / "none.yaml", "--engine", "host")
    assert result.exit_code == 2
    assert "none.yaml: No such file or directory\n  hint: name an existing file" in result.output


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("--only=runtime=pytorhc", "no cell has the runtime 'pytorhc'\n  hint: did you mean 'pytorch'?"),
        ("--skip=method=orignal", "no cell has the method 'orignal'\n  hint: did you mean 'original'?"),
        ("--only=engine=docker", "'engine=docker' does not pick cells"),
        ("--only=pytorch", "write AXIS=VALUE,VALUE"),
        ("--cell=nothing", "there is no cell 'nothing'"),
        ("--failed", "nothing has failed yet"),
    ],
)
def test_a_wrong_selection_is_told_with_what_is_near(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str, told: str
) -> None:
    monkeypatch.chdir(tmp_path)  # `--failed` looks for reports/ here
    result = plan(tmp_path, GOOD, option)
    assert result.exit_code == 2
    assert told in result.output


def test_a_selection_that_leaves_nothing_is_refused(tmp_path: Path) -> None:
    result = plan(tmp_path, GOOD, "--only", "runtime=pytorch", "--skip", "runtime=pytorch")
    assert result.exit_code == 2
    assert "the selection leaves no cell" in result.output


def test_a_plan_as_json_is_json_alone_on_standard_output(tmp_path: Path) -> None:
    result = plan(tmp_path, GOOD, "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)
    assert "host engine" in result.stderr


def test_a_plan_leaves_no_trace(tmp_path: Path) -> None:
    plan(tmp_path, GOOD)
    assert [path.name for path in tmp_path.iterdir()] == ["m.yaml"]


def test_a_matrix_that_asks_for_more_cpus_than_there_are_is_exit_code_3(tmp_path: Path) -> None:
    result = plan(tmp_path, GOOD.replace("limits:", "#") + "\nlimits: {cpus: 4096}\n")
    assert result.exit_code == 3
    assert "limits.cpus is 4096" in result.output


def test_a_report_without_results_is_exit_code_2_with_a_cure(tmp_path: Path) -> None:
    result = harness("report", "--out", tmp_path)
    assert result.exit_code == 2
    assert "does not exist\n  hint: measure something first" in result.output


def test_init_writes_a_matrix_that_can_be_planned(tmp_path: Path) -> None:
    assert harness("init", "--out", tmp_path / "mine.yaml").exit_code == 0
    assert plan(tmp_path, (tmp_path / "mine.yaml").read_text("utf-8")).exit_code == 0


def test_init_never_writes_over_a_file(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("precious")
    assert harness("init", "--out", tmp_path / "mine.yaml").exit_code == 2
    assert (tmp_path / "mine.yaml").read_text() == "precious"


def test_schemas_are_printed_as_json() -> None:
    assert json.loads(harness("schema", "results").output) == json_schema()


def test_clean_says_what_a_dry_run_would_free_and_frees_nothing(tmp_path: Path) -> None:
    step = tmp_path / "work" / "steps" / "ab" / "abc"
    step.mkdir(parents=True)
    (step / "file").write_bytes(bytes(2_000_000))
    result = harness("clean", "--work", tmp_path / "work", "--dry-run")
    assert "would free 2 MB: 1 steps" in result.output
    assert step.exists()


def test_clean_refuses_an_age_that_is_none(tmp_path: Path) -> None:
    result = harness("clean", "--work", tmp_path, "--older-than", "soon")
    assert result.exit_code == 2
    assert "write a number and a unit" in result.output


def test_a_matrix_may_be_named_without_an_option(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(GOOD, "utf-8")
    where = ("--work", tmp_path / "work", "--engine", "host", "--json")
    named, plain = harness("plan", "-m", tmp_path / "m.yaml", *where), harness("plan", tmp_path / "m.yaml", *where)
    assert plain.exit_code == 0
    assert plain.stdout == named.stdout
    assert harness("run", tmp_path / "m.yaml", "--plan", *where).stdout == named.stdout


def test_two_matrix_files_are_one_too_many(tmp_path: Path) -> None:
    result = harness("plan", "a.yaml", "-m", "b.yaml")
    assert result.exit_code == 2
    assert "two matrix files are named: a.yaml and b.yaml\n  hint: name one of them" in result.output


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (["images", "--engine", "host", "onnxruntime"], "there is no image 'onnxruntime'\n  hint: did you mean"),
        (["images", "--engine", "host", "runtimes/onxruntime"], "did you mean 'runtimes/onnxruntime'?"),
        (["lock", "layers/torhc"], "there is no image 'layers/torhc'\n  hint: did you mean 'layers/torch'?"),
        (["images", "--images", ".", "null"], "holds no images"),
    ],
)
def test_a_wrong_image_is_told_with_what_is_near(command: list[str], told: str) -> None:
    result = harness(*command)
    assert result.exit_code == 2
    assert told in result.output


def test_a_part_of_a_cell_s_name_finds_the_cells_that_hold_it(tmp_path: Path) -> None:
    result = plan(tmp_path, GOOD, "--cell", "digits-cnn/int8-dynamic")
    assert (
        "did you mean 'digits-cnn/int8-dynamic/pytorch/cpu/b1-i32' or 'digits-cnn/int8-dynamic/onnxruntime/"
        in result.output
    )


def test_images_of_the_host_engine_are_what_is_installed(tmp_path: Path) -> None:
    result = harness("images", "--engine", "host", "--work", tmp_path, "runtimes/null")
    assert result.exit_code == 0
    assert f"runtimes/null: {sys.executable}" in result.stderr


def test_an_artifact_that_is_not_made_is_told_with_the_command_that_makes_it(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(GOOD, "utf-8")
    cell = "digits-cnn/original/onnxruntime/cpu/b1-i32"
    where = ("-m", tmp_path / "m.yaml", "--work", tmp_path / "work", "--engine", "host")
    result = harness("artifact", cell, *where, "--out", tmp_path / "artifact")
    assert result.exit_code == 2
    assert f"hint: run `harness run --cell {cell}` first" in result.output
    result = harness("artifact", cell, *where, "--out", tmp_path)
    assert f"{tmp_path} is not empty" in result.output


def test_init_writes_the_schema_that_its_matrix_names_and_leaves_one_that_is_there(tmp_path: Path) -> None:
    harness("init", "--out", tmp_path / "mine.yaml")
    schema = tmp_path / "matrix.schema.json"
    assert "$schema=matrix.schema.json" in (tmp_path / "mine.yaml").read_text("utf-8")
    assert json.loads(schema.read_text("utf-8")) == json.loads(harness("schema").output)
    schema.write_text("mine")
    assert harness("init", "--out", tmp_path / "other.yaml").exit_code == 0
    assert schema.read_text() == "mine"


def test_images_and_the_machine_s_name_can_come_from_the_environment() -> None:
    for command in ("run", "plan", "selftest"):
        told = harness(command, "--help").output
        assert "MATRIX_MACHINE" in told
        assert "MATRIX_IMAGES" in told
    result = CliRunner(env={"MATRIX_IMAGES": str(ROOT / "docs")}).invoke(main, ["doctor", "--engine", "host"])
    assert f"{ROOT / 'docs'} holds no images" in result.output


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (KeyboardInterrupt(), 130, "stopped; what is done is kept: run the same command again to go on"),
        (OSError(errno.ENOSPC, "full", "/some/file"), 3, "error: the disk of /some/file: no space left"),
        (OSError(errno.EDQUOT, "full", "/some/file"), 3, "error: the disk of /some/file: the quota is used up"),
        (OSError(errno.EROFS, "no"), 3, "it is mounted read-only"),
        (OSError(errno.EIO, "no"), 3, "input/output error"),
    ],
)
def test_what_comes_from_outside_is_one_line_whatever_the_command_does(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, told: str
) -> None:
    def strike(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(doctor, "examine", strike)
    result = harness("doctor")
    assert result.exit_code == code
    assert told in result.output
    assert "Traceback" not in result.output


def test_an_error_that_is_not_of_the_disk_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def strike(*_: object, **__: object) -> None:
        raise OSError(errno.ESRCH, "no")

    monkeypatch.setattr(doctor, "examine", strike)
    assert isinstance(harness("doctor").exception, OSError)
