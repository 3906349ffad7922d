"""Matrix files that are made to hurt: each is told in a line, soon, and none is a traceback."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.catalog import load_catalog
from harness.errors import HarnessError, UsageError
from harness.matrix import document, load
from harness.matrix.document import MatrixError
from tests.fuzz.targets.matrix import read as read_to_the_plan

CATALOG = load_catalog()
GOOD = """\
models:
  - {name: a, source: "zoo:digits-cnn", task: image-classification, dataset: "zoo:digits"}
methods: [original, fp16]
runtimes: [pytorch, onnxruntime]
limits: {memory: 4GiB, timeout: 10m}
"""


def told(text: str) -> str:
    with pytest.raises(MatrixError) as caught:
        load.parse(text, "matrix.yaml", CATALOG)
    return str(caught.value)


def test_aliases_that_multiply_are_refused() -> None:
    bomb = "b0: &b0 [x, x, x]\n" + "".join(f"b{i}: &b{i} [{', '.join([f'*b{i - 1}'] * 3)}]\n" for i in range(1, 30))
    assert "100,000 values" in told(bomb)


@pytest.mark.parametrize(
    "text",
    [
        "a: " + "9" * 5000,
        "models: !!int model",
        "a: !!timestamp 2020-99-99",
        "a: !!float x",
        "a: !!bool maybe",
        "[" * 9000,
    ],
)
def test_a_value_that_its_tag_cannot_hold_is_told(text: str) -> None:
    assert told(text).startswith("matrix.yaml:1:")


@pytest.mark.parametrize(
    "change",
    [("4GiB", f"{'9' * 400}GiB"), ("10m", ".inf"), ("10m", ".nan"), ("4GiB", "-.inf"), ("10m", f"{'9' * 400}h")],
)
def test_a_limit_beyond_all_bounds_is_told_at_its_line(change: tuple[str, str]) -> None:
    assert told(GOOD.replace(*change)).startswith("matrix.yaml:5:")


def test_a_pipe_or_a_device_in_place_of_the_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for file in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(UsageError, match="not a regular file"):
            load.load(file, CATALOG)


def test_a_wrong_type_does_not_hide_the_other_mistakes() -> None:
    message = told(GOOD.replace("original, fp16", "original, 5, fp61").replace("pytorch, onn", "pytorch, pytorhc, onn"))
    assert "unknown pass 'fp61'" in message
    assert "'pytorhc'" in message
    assert "methods[1]" in message


def test_of_very_many_mistakes_twenty_are_told_and_the_rest_counted() -> None:
    message = told(GOOD.replace("original, fp16", "original, " + ", ".join(f"nothing-{i}" for i in range(500))))
    assert message.count("unknown pass") == document.MAX_TOLD
    assert "480 more mistakes" in message


@given(st.data())
def test_no_mutation_of_a_matrix_file_is_a_traceback(data: st.DataObject) -> None:
    text = GOOD
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text) - 1))
        length = data.draw(st.integers(0, 12))
        text = text[:at] + data.draw(st.sampled_from(PIECES) | st.text(max_size=6)) + text[at + length :]
    with contextlib.suppress(UsageError):  # a mistake that is told; anything else fails here
        load.parse(text, "matrix.yaml", CATALOG)


PIECES = [
    "[",
    "{",
    "&a ",
    "*a",
    "!!int ",
    "!!set ",
    ": ",
    "- ",
    "\n",
    "\t",
    "null",
    "1e999",
    ".nan",
    "0x",
    "|\n",
    "#",
    "<<: *a",
]


EVERYTHING = """
models:
  - {name: a, source: "hf:nonsense", task: image-clasification, dataset: "zoo:digitz", trust: maybe}
  - {name: a, source: "zoo:digits-cnn", task: image-classification, dataset: "zoo:digits"}
  - 7
methods: [original, 5, fp61, {name: m, passes: [{magnitude: {sparsity: [1], foo: 2}}, nopass]}, original]
runtimes: [pytorch, {a: 1}, pytorhc, pytorch]
workloads: {image-classification: [{batch: 1, sise: 3}]}
limits: {cpus: many}
exclude: [{runtime: cython}]
report: {baseline: {runtime: nothing}}
limits: {}
"""


def test_wrong_types_hide_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document, "MAX_TOLD", 100)
    message = told(EVERYTHING)
    for part in (
        "models[0].trust",
        "'hf:nonsense' does not name a repository",
        "unknown task 'image-clasification'",
        "the zoo has no dataset 'digitz'",
        "models[1] has the same name as models[0]",
        "models[2]:",
        "methods[1]:",
        "unknown pass 'fp61'",
        "parameters.sparsity: expected a whole number, a number, text or true or false, got [1]",
        "unknown pass 'nopass'",
        "methods[4] has the same name as methods[0]",
        "runtimes[1]:",
        "unknown runtime 'pytorhc'",
        "runtimes[3] has the same name as runtimes[0]",
        "workload has no 'sise'",
        "exclude names the unknown runtime 'cython'",
        "the baseline names the unknown runtime 'nothing'",
        "the key 'limits' is here twice",
    ):
        assert message.count(part) == 1, part
    assert "left-out" not in message


@given(st.data())
def test_a_wrong_type_anywhere_hides_no_unknown_name(data: st.DataObject) -> None:
    good = 'models: [{name: a, source: "zoo:digits-cnn", task: image-classification, dataset: "zoo:digits", trust: TRUST}]\n'
    good += "methods: [METHOD, fp61]\nruntimes: [RUNTIME, pytorhc]\nlimits: LIMITS\nexclude: [EXCLUDE]\n"
    fine = {
        "TRUST": "false",
        "METHOD": "original",
        "RUNTIME": "pytorch",
        "LIMITS": "{cpus: 1}",
        "EXCLUDE": "{device: cuda}",
    }
    wrong = st.sampled_from(["[]", "{}", "5", "null", "[[1]]", "{a: b}", "2001-01-01", "1.5", "{name: {}}", "true"])
    spoiled = data.draw(st.dictionaries(st.sampled_from(sorted(fine)), wrong, min_size=1))
    for mark, value in (fine | spoiled).items():
        good = good.replace(mark, value)
    message = told(good)
    assert "unknown pass 'fp61'" in message
    assert "unknown runtime 'pytorhc'" in message


def test_a_long_line_is_shown_around_the_mistake() -> None:
    message = told(GOOD.replace("original, fp16", "original, " + "fp16-x, " * 5_000 + "fp61"))
    assert len(message) < 20_000
    assert "^" in message


@pytest.mark.parametrize(
    "tag", ["int", "float", "bool", "timestamp", "binary", "null", "set", "omap", "pairs", "seq", "map"]
)
@pytest.mark.parametrize("value", ["''", "'-'", "'+'", "x", "':'", "'0x'", "[]", "{}", "'1:'", "'é'", "'.'", "'_'"])
def test_no_tag_of_yaml_is_a_traceback(tag: str, value: str) -> None:
    told(f"models: !!{tag} {value}\n")
    told(f"models: [!!{tag} {value}, !!{tag} x]\n")


@pytest.mark.parametrize(
    "source",
    ["path:~nosuchuser/x", "path:~", "path:/dev/zero", "path:/proc/self/mem", "path:/proc/self/fd/0", "path:pipe",
     "path:loop", "path:" + "x" * 5000, "path:" + "x/" * 3000, "path:matrix.yaml/x", "path:/root/../dev/tty",
     "hf:" + "a" * 5000 + "/b", "pypi:x==1/" + "../" * 50, "zoo:" + "z" * 5000, "path:\\udcff"],
)  # fmt: skip
@pytest.mark.parametrize("key", ["source", "dataset"])
def test_no_source_is_a_traceback(source: str, key: str, tmp_path: Path) -> None:
    """Up to the plan, which looks at what sources are."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    given_ = {"source": "zoo:digits-cnn", "dataset": "zoo:digits", key: source}
    model = f'models: [{{name: a, task: image-classification, source: "{given_["source"]}", dataset: "{given_["dataset"]}"}}]'
    with contextlib.suppress(HarnessError):
        read_to_the_plan(f"{model}\nmethods: [original]\nruntimes: [pytorch]\n".encode(), tmp_path)


def test_a_huge_file_or_a_folder_in_place_of_the_file_is_told_at_once(tmp_path: Path) -> None:
    with (tmp_path / "huge").open("wb") as huge:
        huge.write(b"a: b\n#")
        huge.truncate(2**40)  # sparse: nobody reads a terabyte of zeros
    for name, problem in (("huge", "larger than|special characters|not allowed|control"), (".", "a folder")):
        with pytest.raises(UsageError, match=problem):
            load.load(tmp_path / name, CATALOG)
    (tmp_path / "long").write_text("# " + "x" * 2_000_000)
    with pytest.raises(UsageError, match="larger than 1,000,000 characters"):
        load.load(tmp_path / "long", CATALOG)
