"""Mistakes in a matrix file are told with their place and their cure, all at once."""

from pathlib import Path

import pytest

from harness.catalog import load_catalog
from harness.errors import UsageError
from harness.matrix import spec
from harness.matrix.document import MatrixError

CATALOG = load_catalog()
GOOD = """\
models:
  - name: digits-cnn
    source: zoo:digits-cnn
    task: image-classification
    dataset: zoo:digits
methods: [original, fp16]
runtimes: [pytorch]
"""


def told(text: str) -> str:
    with pytest.raises(MatrixError) as caught:
        spec.parse(text, "matrix.yaml", CATALOG)
    return str(caught.value)


def test_a_good_file_is_read() -> None:
    matrix = spec.parse(GOOD, "matrix.yaml", CATALOG)
    assert [method.name for method in matrix.methods] == ["original", "fp16"]
    assert matrix.methods[0].passes == []


def test_an_unknown_key_is_told_with_line_column_caret_and_the_nearest_name() -> None:
    message = told(GOOD.replace("    task:", "    taks:"))
    assert "matrix.yaml:4:5: unknown key 'taks'" in message
    assert "did you mean 'task'?" in message
    assert "  4 |     taks: image-classification\n    |     ^^^^" in message


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("[pytorch]", "[pytorhc]", "did you mean 'pytorch'?"),
        ("[original, fp16]", "[original, fp61]", "did you mean 'fp16'?"),
        ("zoo:digits-cnn", "zoo:digit-cnn", "did you mean 'digits-cnn'?"),
        ("zoo:digits-cnn", "digits-cnn", "expected hf:org/name@revision"),
        ("image-classification", "image-clasification", "did you mean 'image-classification'?"),
        ("name: digits-cnn", "name: no", "put it in quotes"),
        ("[pytorch]", "[null]", "put it in quotes"),
        ("[pytorch]", "[]", "runtimes is empty"),
        ("[pytorch]", "[pytorch]\nlimits: {memory: lots}", "expected a size such as 4GiB"),
        ("[pytorch]", "[pytorch]\nmethods: [original]", "the key 'methods' is here twice, first in line 6"),
        ("methods: [original, fp16]\n", "", "the key 'methods' is missing in the matrix"),
        ("runtimes:", "\truntimes:", "replace the tab"),
    ],
)
def test_a_mistake_is_told_with_its_cure(old: str, new: str, expected: str) -> None:
    assert expected in told(GOOD.replace(old, new))


def test_two_models_of_one_name_are_refused() -> None:
    model = GOOD[GOOD.index("  - name") : GOOD.index("methods")]
    assert "models[1] has the same name as models[0]" in told(GOOD.replace("methods", model + "methods", 1))


def test_an_empty_file_is_refused() -> None:
    assert "the file is empty" in told("")


def test_all_mistakes_come_at_once_in_the_order_of_lines() -> None:
    message = told(GOOD.replace("task:", "taks:").replace("runtimes:", "runtime:"))
    assert message.index("matrix.yaml:4:") < message.index("matrix.yaml:7:")


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        spec.load(tmp_path / "none.yaml", CATALOG)


def test_an_include_that_can_be_no_cell_is_refused() -> None:
    assert "lacks model and method to be a new cell" in told(GOOD + "include: [{runtime: onnxruntime, rounds: 5}]\n")
