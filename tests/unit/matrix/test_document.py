"""A YAML file is read with the place of everything in it, and what is wrong is told at its place."""

import pytest

from harness.errors import did_you_mean
from harness.matrix.document import MatrixError, Mistake, read


def told(text: str) -> str:
    with pytest.raises(MatrixError) as caught:
        read(text, "m.yaml")
    return str(caught.value)


def test_marks_count_from_one_and_span_the_value() -> None:
    document = read("a: 1\nb:\n  - deep: word\n", "m.yaml")
    mark = document.values["b", 0, "deep"]
    assert (mark.line, mark.column, mark.width) == (3, 11, 4)


def test_the_caret_spans_the_key_that_is_wrong() -> None:
    document = read("a: 1\n  \nwrong: 2\n", "m.yaml")
    text = str(MatrixError(document, [Mistake(("wrong",), "no", at_key=True)]))
    assert text == "m.yaml:3:1: no\n  3 | wrong: 2\n    | ^^^^^"


def test_a_mistake_about_what_is_absent_points_at_what_encloses_it() -> None:
    document = read("a: 1\npart:\n  b: 2\n", "m.yaml")
    assert str(MatrixError(document, [Mistake(("part", "missing"), "no")])).startswith("m.yaml:2:1: no")


def test_mistakes_are_told_in_the_order_of_the_file() -> None:
    document = read("a: 1\nb: 2\n", "m.yaml")
    text = str(MatrixError(document, [Mistake(("b",), "second"), Mistake(("a",), "first")]))
    assert text.index("first") < text.index("second")


def test_a_key_that_is_there_twice_names_the_line_of_the_first() -> None:
    assert "m.yaml:3:1: the key 'a' is here twice, first in line 1" in told("a: 1\nb: 2\na: 3\n")


def test_every_duplicate_is_told_at_once() -> None:
    assert told("a: 1\na: 2\nb: {c: 1, c: 2}\n").count("is here twice") == 2


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n"])
def test_a_file_without_content_is_told_where_to_start(text: str) -> None:
    message = told(text)
    assert message.startswith("m.yaml:1:1: the file is empty\n")
    assert message.endswith("hint: start from `harness init`")


def test_a_tab_is_named_as_the_cause() -> None:
    assert "YAML indents with spaces: replace the tab" in told("a:\n\tb: 1\n")


def test_broken_syntax_is_told_with_its_line() -> None:
    assert told("a: [1, 2\nb: 3\n").startswith("m.yaml:2:")


@pytest.mark.parametrize("text", ["a: &x\n  b: *x\n", "a: &x [*x]\n"])
def test_an_alias_to_what_encloses_it_is_refused(text: str) -> None:
    assert "an alias refers to what encloses it" in told(text)


def test_an_alias_to_what_came_before_is_read() -> None:
    assert read("a: &x {b: 1}\nc: *x\n", "m.yaml").data == {"a": {"b": 1}, "c": {"b": 1}}


def test_an_unknown_alias_is_told_without_a_traceback() -> None:
    assert "not valid YAML" in told("a: *nothing\n")


def test_a_python_object_is_refused_and_not_made() -> None:
    assert "not valid YAML" in told("a: !!python/object/apply:os.getcwd []\n")


def test_a_control_character_is_told_without_a_traceback() -> None:
    assert "not valid YAML" in told("a: \x00\n")


def test_a_huge_file_is_refused() -> None:
    assert "larger than 1,000,000 characters" in told("a: " + "x" * 1_000_001)


def test_a_near_name_is_offered_alone() -> None:
    assert did_you_mean("pytorhc", ["pytorch", "onnxruntime"]) == "did you mean 'pytorch'?"


def test_all_names_are_offered_where_none_is_near() -> None:
    assert did_you_mean("zzz", ["pytorch", "onnxruntime"]) == "expected one of: pytorch, onnxruntime"
