"""The documentation is true: what it lists is what there is, and its examples fit the contracts."""

from __future__ import annotations

import json
import re
import shlex
import sys
import textwrap
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import numpy as np
import pytest
import yaml
from sklearn.metrics import balanced_accuracy_score

from harness import datasets, results, tasks, zoo
from harness.catalog import load_catalog
from harness.cli import main
from harness.collect.fidelity import BOUNDS, Tolerance
from harness.contracts import cards, prepared
from harness.contracts.artifact import ConversionError
from harness.errors import Exit
from harness.matrix import expand, load, spec
from harness.tasks import _positions

ROOT = Path(__file__).parents[2]

DOCS = ROOT / "docs"
NOXFILE = (ROOT / "noxfile.py").read_text("utf-8")
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))
PAGES = [*sorted(DOCS.glob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]


def code_blocks(page: Path, language: str) -> list[str]:
    found = re.finditer(rf"^( *)```{language}\n(.*?)^ *```", page.read_text("utf-8"), re.M | re.S)
    return [textwrap.dedent(block[2]) for block in found]


def run_block(block: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(block, "CONTRIBUTING.md", "exec"), names)
    return names


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.name)
def test_every_example_is_a_valid_matrix_with_cells(file: Path) -> None:
    assert expand.expand(load.load(file, load_catalog()))


@pytest.mark.parametrize("page", ["security.md"])
def test_every_test_that_a_page_names_is_there(page: str) -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", (DOCS / page).read_text("utf-8"))
    assert named
    for file, name in named:
        assert f"def {name}(" in (ROOT / file).read_text("utf-8"), f"{file}::{name}"


def test_there_are_examples() -> None:
    assert EXAMPLES


@pytest.mark.parametrize("block", code_blocks(DOCS / "matrix.md", "yaml"))
def test_yaml_in_the_reference_fits_the_file(block: str) -> None:
    whole = yaml.safe_load(code_blocks(DOCS / "matrix.md", "yaml")[1])
    spec.Matrix.model_validate({**whole, **(yaml.safe_load(block) or {})})


@pytest.mark.parametrize(
    ("file", "schema", "command"),
    [
        ("matrix.schema.json", spec.json_schema, "harness schema > docs/matrix.schema.json"),
        ("results.schema.json", results.json_schema, "harness schema results > docs/results.schema.json"),
    ],
)
def test_published_schemas_are_those_of_the_code(file: str, schema: Any, command: str) -> None:
    assert json.loads((DOCS / file).read_text("utf-8")) == schema(), f"write it again: {command}"


@pytest.mark.parametrize(
    "part",
    [spec.Matrix, spec.Model, spec.LimitsSpec, spec.Measure, spec.Report, spec.Include],
    ids=lambda part: part.__name__,
)
def test_the_reference_names_every_key(part: Any) -> None:
    text = (DOCS / "matrix.md").read_text("utf-8")
    assert [key for key in part.model_fields if f"`{key}`" not in text] == []


@pytest.mark.parametrize("part", [results.Results, results.Cell, results.Round], ids=lambda part: part.__name__)
def test_the_schema_page_names_every_field(part: Any) -> None:
    text = (DOCS / "results.md").read_text("utf-8")
    assert [key for key in part.model_fields if f"`{key}`" not in text] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_and_session_that_a_page_names_exists(page: Path) -> None:
    text = page.read_text("utf-8")
    sessions = re.findall(r"^@nox\.session\ndef (\w+)", (ROOT / "noxfile.py").read_text("utf-8"), re.M)
    assert set(re.findall(r"nox -s ([a-z]+)", text)) <= set(sessions)
    assert set(re.findall(r"(?:`|\$ )harness ([a-z]+)", text)) <= set(main.commands)


def test_the_rooms_of_the_architecture_are_those_of_the_tree() -> None:
    text = (DOCS / "architecture.md").read_text("utf-8")
    named = {name.rstrip("/") for name in re.findall(r"`(harness/[a-z_/.]+)`", text)}
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []
    parts = {path.relative_to(ROOT).as_posix() for path in (ROOT / "harness").iterdir()}
    assert {part for part in parts if "__" not in part and not part.endswith(".typed")} <= named


def test_every_status_is_explained_and_whether_it_fails_the_run() -> None:
    rows = re.findall(r"^\| `([\w-]+)` \|.*\| (yes|no) \|$", (DOCS / "statuses.md").read_text("utf-8"), re.M)
    assert dict(rows) == {status.value: "yes" if status.failed else "no" for status in results.Status}


def test_the_tolerances_of_the_methodology_are_those_of_the_gate() -> None:
    text = (DOCS / "methodology.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\w+)` \|.*\| ([\d.]+) % \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) % \|$", text, re.M)
    stated = {name: Tolerance(float(a) / 100, float(b), float(c), float(d) / 100) for name, a, b, c, d in rows}
    assert stated == BOUNDS
    passes = [tool.card for tool in load_catalog().passes if isinstance(tool.card, cards.PassCard)]
    costs = {card.name: card.costs for card in passes if isinstance(card.costs, str) and card.costs != "other"}
    named = {name: re.search(rf"^\| `{group}` \|.*`{name}`", text, re.M) for name, group in costs.items()}
    assert all(named.values()), named


def test_every_exit_code_is_explained() -> None:
    codes = re.findall(r"^\| (\d+) \|", (DOCS / "statuses.md").read_text("utf-8"), re.M)
    assert {int(code) for code in codes} == set(Exit)


def test_the_guide_s_pass_fits_the_contract() -> None:
    names = run_block(code_blocks(ROOT / "CONTRIBUTING.md", "python")[1])
    card = names["CARD"]
    assert isinstance(card, cards.PassCard)
    assert [parameter.problem(parameter.default) for parameter in card.parameters.values()] == [None]
    assert callable(names["apply"])


def test_the_guide_s_data_set_splits_without_overlap(tmp_path: Path) -> None:
    (tmp_path / "pang_lee_polarity.cor").write_text("".join(f"__label__neg review {n % 90}\n" for n in range(100)))
    names = run_block(code_blocks(ROOT / "CONTRIBUTING.md", "python")[2])
    train, held_out = (names["rows"](split, {"reviews": tmp_path}) for split in ("train", "evaluate"))
    assert (len(train), len(held_out)) == (72, 18)
    assert not {row["text"] for row in train} & {row["text"] for row in held_out}


def guide_block(begins: str) -> str:
    """The Python block of the guide whose docstring begins so."""
    (block,) = [block for block in code_blocks(ROOT / "CONTRIBUTING.md", "python") if block.startswith(f'"""{begins}')]
    return block


class WordTokenizer:
    """A token a word, as transformers' tokenizers are called."""

    model_max_length, mask_token_id = 64, 3

    @classmethod
    def from_pretrained(cls, path: Path, **options: Any) -> WordTokenizer:
        return cls()

    def __call__(self, texts: list[str], **options: Any) -> Any:
        if options.get("is_split_into_words"):
            return Single(input_ids=[1, 9, 2])
        edges = ([1], [2]) if options.get("add_special_tokens", True) else ([], [])
        return {"input_ids": [edges[0] + [10 + len(word) for word in text.split()] + edges[1] for text in texts]}


class Single(dict[str, Any]):
    """The encoding of one sequence in words."""

    def word_ids(self) -> list[int | None]:
        return [None, 0, None]


def test_the_guide_s_task_is_found_prepared_and_scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "plugin" / "fill_mask"
    folder.mkdir(parents=True)
    blocks = {"task": "The card of fill-mask", "prepare": "One hidden token", "score": "Hits: "}
    for name, begins in blocks.items():
        (folder / f"{name}.py").write_text(guide_block(begins))
    (folder / "__init__.py").write_text("")
    (tmp_path / "config.json").write_text("{}")
    monkeypatch.setattr(tasks, "__path__", [*tasks.__path__, str(tmp_path / "plugin")])
    monkeypatch.setitem(sys.modules, "transformers", SimpleNamespace(AutoTokenizer=WordTokenizer))
    monkeypatch.setattr(_positions, "token_limit", lambda path, tokenizer: 64)
    card, prepare, score = tasks.card("fill-mask"), tasks.prepare("fill-mask"), tasks.score("fill-mask")
    rows = [{"text": "a bb ccc"}, {"text": "dddd " * 40}]
    prepare.prepare_evaluation(rows, tmp_path, tmp_path)
    batches = list(score.evaluation_batches(tmp_path))
    assert [int((batch["input_ids"] == 3).sum()) for batch in batches] == [1, 1]
    logits = [np.eye(30)[[[12] * batch["input_ids"].shape[1]]] for batch in batches]  # always a word of two letters
    pairs = zip(logits, batches, strict=True)
    found = score.score([score.reduce({"logits": each}, batch) for each, batch in pairs], tmp_path)
    assert {name: measured.value for name, measured in found.metrics.items()} == {card.metrics[0].name: 0.5}
    assert [int((example["labels"] >= 0).sum()) for example in score.training_examples(tmp_path)] == [1, 1]
    prepare.prepare_workload(rows, tmp_path, {"batch": 1, "sequence_length": 8}, tmp_path)
    assert {batch["input_ids"].shape for batch in prepared.load_batches(tmp_path)} == {(1, 8)}


def test_the_guide_s_metric_is_scikit_learn_s() -> None:
    names = run_block(guide_block("Balanced accuracy"))
    assert names["METRIC"].name in names["METRICS"]
    draw = np.random.default_rng(0)
    tallies = draw.integers(0, 4, (50, 2)).astype(float)
    wanted, predicted = tallies.T
    (found,) = names["METRICS"]["balanced_accuracy"](np.ones((1, 50)), tallies)
    assert found == pytest.approx(balanced_accuracy_score(wanted, predicted))


def test_the_guide_s_format_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ft.py").write_text(guide_block("``.ft``"))
    monkeypatch.setattr(datasets, "__path__", [*datasets.__path__, str(tmp_path)])
    file = tmp_path / "evaluate.ft"
    file.write_text("__label__good A fine film.\n\n__label__bad A long one.\n")
    rows = list(datasets.with_columns(datasets.read(file), tasks.card("text-classification").columns))
    assert rows == [
        ("evaluate.ft, line 1", {"text": "A fine film.", "label": "good"}),
        ("evaluate.ft, line 3", {"text": "A long one.", "label": "bad"}),
    ]
    file.write_text("__label__good fine\nbad film\n")
    with pytest.raises(ConversionError, match=r"evaluate\.ft, line 2: expected __label__ and a class, found 'bad'"):
        list(datasets.read(file))


def test_the_page_of_the_matrix_names_every_task_format_and_data_set() -> None:
    text = (DOCS / "matrix.md").read_text("utf-8")
    wanted = [*tasks.names(), *zoo.datasets(), *(f".{name}" for name in datasets.formats())]
    assert [name for name in wanted if f"`{name}`" not in text] == []
    fields = {name for task in tasks.names() for name in tasks.card(task).fields}
    assert [name for name in sorted(fields) if f"`{name}: " not in text] == []


def test_the_page_of_runtimes_lists_every_runtime_with_its_folder() -> None:
    rows = re.findall(r"^\| `([\w-]+)` \|.*\| `([\w-]+)` \|$", (DOCS / "runtimes.md").read_text("utf-8"), re.M)
    assert dict(rows) == {name: runtime.module.parent.name for name, runtime in load_catalog().runtimes.items()}


def commands(page: Path) -> list[list[str]]:
    """What the page tells people to type, as words: the lines behind `$`, without comments, with what a `\\` continues."""
    text = "\n".join(code_blocks(page, "console")).replace("\\\n", " ")
    return [shlex.split(line[2:], comments=True) for line in text.splitlines() if line.startswith("$ ")]


COMMANDS = {f"{page.name}: {' '.join(words)}": words for page in PAGES for words in commands(page)}


def parse(words: list[str]) -> None:
    """Parse a command line as `harness` would, without running it. Raises click.UsageError."""
    name, command, rest = main.resolve_command(click.Context(main), words)
    assert command is not None
    command.make_context(name, rest)


@pytest.mark.parametrize("words", [w for w in COMMANDS.values() if w[0] == "harness"], ids=" ".join)
def test_every_harness_command_on_a_page_parses(words: list[str], tmp_path: Path) -> None:
    (tmp_path / "my-images").mkdir()
    parse([word.replace("~", str(tmp_path)) for word in words[1:]])


@pytest.mark.parametrize("words", [w for w in COMMANDS.values() if "nox" in w and "-s" in w], ids=" ".join)
def test_every_nox_command_on_a_page_is_a_session_with_words_that_its_command_takes(words: list[str]) -> None:
    sessions, _, rest = " ".join(words[words.index("-s") + 1 :]).partition(" -- ")
    program = {"matrix": "run", "images": "images", "report": "report", "publish": "publish", "lock": "lock"}
    for session in shlex.split(sessions):
        assert re.search(rf"^def {session.partition('(')[0]}\(session", NOXFILE, re.M), session
        if rest and session in program:
            parse([program[session], *shlex.split(rest)])


@pytest.mark.parametrize("words", COMMANDS.values(), ids=" ".join)
def test_every_command_on_a_page_is_of_a_program_that_the_page_s_reader_has(words: list[str]) -> None:
    assert words[0] in ("harness", "nox", "pipx", "pip", "docker", "python", "uv", "uvx") or "=$(" in words[0]


def test_pages_have_commands_and_a_wrong_one_does_not_parse() -> None:
    assert len(COMMANDS) > 25
    for wrong in (["run", "--no-such-option"], ["no-such-command"], ["artifact"]):
        with pytest.raises(click.UsageError):
            parse(wrong)


def test_the_readme_tells_how_to_run_and_to_test_and_then_how_to_get_a_harness_that_can_be_typed() -> None:
    matrix, tests, install, run = commands(ROOT / "README.md")[:4]
    assert (matrix, tests) == (["pipx", "run", "nox", "-s", "matrix"], ["pipx", "run", "nox", "-s", "tests"])
    assert (install, run) == (["pipx", "install", "."], ["harness", "run"])
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["scripts"]
    assert scripts == {"harness": "harness.__main__:main"}
