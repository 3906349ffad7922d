"""Readers of data sets in files: what they read, and how a mistake is told, in one line with its place."""

from __future__ import annotations

import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import datasets, tasks
from harness.catalog.closure import closure
from harness.contracts.artifact import ConversionError
from harness.contracts.task import Column

TEXT = (Column("text", "text"), Column("text_pair", "the second text", optional=True), Column("label", "the class"))
SENTENCES = """-DOCSTART- -X- O O

EU NNP I-NP I-ORG
rejects VBZ I-VP O
German JJ I-NP I-MISC
New NNP I-NP I-LOC
York NNP I-NP I-LOC
Boston NNP I-NP B-LOC

Peter NNP I-NP I-PER
"""


def rows(file: Path) -> list[dict[str, Any]]:
    return [dict(row) for _, row in datasets.read(file)]


def written(folder: Path, name: str, content: str | bytes) -> Path:
    file = folder / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


# --- what is read ------------------------------------------------------------------------------------------------------


def test_every_format_has_a_reader() -> None:
    assert datasets.formats() == ["conll", "csv", "jsonl", "npz", "tsv", "txt"]
    assert datasets.reader_of(".csv") == datasets.reader_of("csv") == "harness.datasets.csv"


def test_a_suffix_without_a_reader_is_told_with_what_is_near() -> None:
    with pytest.raises(KeyError, match="did you mean 'jsonl'"):
        datasets.reader_of(".json")
    with pytest.raises(KeyError, match="there are conll, csv"):
        datasets.reader_of(".wav")


def test_text_is_one_row(tmp_path: Path) -> None:
    assert rows(written(tmp_path, "a.txt", " to read\n")) == [{"text": " to read\n"}]
    assert rows(written(tmp_path, "a.txt", "\n")) == []


def test_objects_are_read_line_by_line(tmp_path: Path) -> None:
    wanted = [{"tokens": ["Eva", "ran"], "tags": ["B-PER", "O"]}, {"text": "é\u2028"}]
    lines = "\r\n\n".join(json.dumps(row, ensure_ascii=False) for row in wanted)
    assert rows(written(tmp_path, "a.jsonl", lines)) == wanted


def test_columns_of_tags_become_iob2(tmp_path: Path) -> None:
    assert rows(written(tmp_path, "a.conll", SENTENCES)) == [
        {
            "tokens": ["EU", "rejects", "German", "New", "York", "Boston"],
            "tags": ["B-ORG", "O", "B-MISC", "B-LOC", "I-LOC", "B-LOC"],
        },
        {"tokens": ["Peter"], "tags": ["B-PER"]},
    ]


def test_images_are_read_with_their_labels(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=np.zeros((2, 4, 4), np.uint8), labels=np.array([3, 5]))
    assert [(row["image"].shape, row["label"]) for row in rows(tmp_path / "a.npz")] == [((4, 4), 3), ((4, 4), 5)]


def test_a_table_is_read_by_its_header(tmp_path: Path) -> None:
    table = '\ufefftext,label,text_pair\r\n"a, ""b""\nc",1,\r\n\r\nd,2,e\r\n'
    assert rows(written(tmp_path, "a.csv", table)) == [
        {"text": 'a, "b"\nc', "label": "1"},
        {"text": "d", "label": "2", "text_pair": "e"},
    ]


def test_quotes_in_a_table_of_tabs_are_text(tmp_path: Path) -> None:
    table = 'text\tlabel\n"open\t1\nnot, split\t0\n'
    assert rows(written(tmp_path, "a.tsv", table)) == [
        {"text": '"open', "label": "1"},
        {"text": "not, split", "label": "0"},
    ]


cells = st.text(st.characters(codec="utf-8", exclude_characters="\ufeff\x00"), min_size=1, max_size=20)


@given(st.lists(st.tuples(cells, cells), min_size=1, max_size=8))
def test_a_table_that_was_written_comes_back(tmp_path_factory: pytest.TempPathFactory, wanted: list[Any]) -> None:
    import csv

    file = tmp_path_factory.mktemp("table") / "a.csv"
    with file.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([("text", "label"), *wanted])
    assert [(row["text"], row["label"]) for row in rows(file)] == wanted


# --- how mistakes are told ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.jsonl", '{"text": "fine"}\n{', "a.jsonl, line 2: Expecting property name"),
        ("a.jsonl", '{"text": "fine"}\n\n[1, 2]', "a.jsonl, line 3: expected an object, found '[1, 2]'"),
        ("a.jsonl", b'{"text": "fine"}\n{"text": "\xff"}', "a.jsonl, line 2: not UTF-8 (byte 0xff)"),
        ("a.txt", b"caf\xe9", "a.txt, line 1: not UTF-8 (byte 0xe9)"),
        ("a.conll", "EU B-ORG\nrejects\n", "a.conll, line 2: expected a word and its tag, found 'rejects'"),
        ("a.csv", "", "a.csv: empty; the first line names the columns"),
        ("a.csv", "text,label\na,1\nb,2,3\n", "a.csv, line 3: 3 fields, but the header names 2"),
        ("a.csv", 'text,label\n"a\nb",1\nc,2,3\n', "a.csv, line 4: 3 fields, but the header names 2"),
        ("a.csv", 'text,label\n"a"b,1\n', "a.csv, line 2: ',' expected after '\"'"),
        ("a.csv", 'text,label\n"open,1\n', "a.csv, line 2: unexpected end of data"),
        ("a.csv", "text,text\na,1\n", "a.csv, line 1: the column 'text' is named twice"),
        ("a.npz", b"no archive", "a.npz: no archive of arrays: "),
        ("a.jsonl", '{"a": 1}\n{"text": NaN}', "a.jsonl, line 2: NaN is no number of JSON"),
        ("a.jsonl", '{"a": ' + "9" * 5000 + "}", "a.jsonl, line 1: Exceeds the limit"),
        ("a.jsonl", "[" * 100_000, "a.jsonl, line 1: maximum recursion depth"),
        ("a.jsonl", '{"text": "\\ud83d"}', "a.jsonl, line 1: 'utf-8' codec can't encode"),
        ("a.jsonl", '{"text": "a"}'.encode("utf-16"), "a.jsonl, line 1: UTF-16, not UTF-8"),
        ("a.jsonl", '{"text": "a"}'.encode("utf-16-le"), "a.jsonl, line 1: holds a NUL"),
        ("a.jsonl", b'{"text": "a"}\n' + b"x" * (2**24 + 1), "a.jsonl, line 2: longer than 16,777,216 bytes"),
        ("a.csv", b"text,label\na,1\nb\0,2\n", "a.csv, line 3: holds a NUL"),
        ("a.csv", b"text,label\na," + b"x" * (2**24 + 1), "a.csv, line 2: longer than 16,777,216 bytes"),
        ("a.csv", b'text,label\n"' + (b"x" * 1023 + b"\n") * 2**15 + b'",1', "a.csv, line 16386: field larger"),
        ("a.csv", "a," * 20_000, "a.csv, line 1: 20,001 columns"),
        ("a.csv", "x" * 500 + "," + "x" * 500, "a.csv, line 1: the column 'xxx"),
        ("a.tsv", b"text\tlabel\n\xff\xfe\t1", "a.tsv, line 2: UTF-16, not UTF-8"),
        ("a.conll", b"EU B-ORG\nx\0 O\n", "a.conll, line 2: holds a NUL"),
        ("a.conll", "EU B-ORG\n" + "x" * 10_000, "a.conll, line 2: expected a word and its tag, found 'xxx"),
        ("a.txt", b"one\ntwo\0", "a.txt, line 2: holds a NUL"),
    ],
)
def test_a_file_that_can_t_be_read_is_told_with_the_place(
    tmp_path: Path, name: str, content: str | bytes, told: str
) -> None:
    file = written(tmp_path, name, content)
    with pytest.raises(ConversionError) as raised:
        rows(file)
    assert str(raised.value).startswith(told)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 200


def test_a_file_of_one_endless_row_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "a.txt").open("wb") as file:
        file.truncate(3 * 2**40)  # sparse
    with pytest.raises(ConversionError, match=r"a\.txt: 3,298,534,883,328 bytes in one row"):
        rows(tmp_path / "a.txt")


def npy(header: str, data: bytes = b"") -> bytes:
    """NumPy's format with a header as it is given."""
    padded = header.encode().ljust(118) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(padded).to_bytes(2, "little") + padded + data


def shaped(dtype: str, shape: tuple[int, ...], data: bytes = b"") -> bytes:
    return npy(repr({"descr": dtype, "fortran_order": False, "shape": shape}), data)


#: What is wrong with the pixels of an archive whose labels are right -> the array.
PIXELS = {
    "no array": b"no array",
    "cut short": shaped("|u1", (2, 4, 4), bytes(31)),
    "an endless shape": shaped("|u1", (2**60, 2**60, 4)),
    "a large shape": shaped("|u1", (2, 2**20, 2**20), bytes(32)),
    "a negative shape": shaped("|u1", (-2, -4, 4), bytes(32)),
    "a shape of words": npy("{'descr': '|u1', 'fortran_order': False, 'shape': 'x'}"),
    "code for a header": npy("__import__('os').system('true')"),
    "a header that nests": npy("(" * 110),
    "another version": b"\x93NUMPY\x09\x00" + bytes(100),
    "a pickle": shaped("|O", (2,), pickle.dumps([1, 2])),
    "text": shaped("<U4", (2, 4, 4), bytes(512)),
    "fields": npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2, 4, 4)}", bytes(128)),
    "complex numbers": shaped("<c8", (2, 4, 4), bytes(256)),
    "one dimension": shaped("|u1", (2,), bytes(2)),
    "no dimension": shaped("|u1", (), bytes(1)),
    "no height": shaped("|u1", (2, 0, 4)),
    "not a number": shaped("<f4", (2, 1, 1), np.array([0, np.nan], "<f4").tobytes()),
}


@pytest.mark.parametrize("wrong", PIXELS)
def test_what_is_wrong_with_pixels_is_one_line(wrong: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("images.npy", PIXELS[wrong])
        archive.writestr("labels.npy", shaped("<i8", (2,), bytes(16)))
    with pytest.raises(ConversionError) as raised:
        rows(tmp_path / "a.npz")
    assert str(raised.value).startswith("a.npz")
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 300


@pytest.mark.parametrize("labels", [np.array([0.5, 1]), np.array(3), np.zeros((2, 2), int)])
def test_what_is_no_label_is_one_line(labels: Any, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=np.zeros((2, 4, 4), np.uint8), labels=labels)
    with pytest.raises(ConversionError, match=r"a\.npz: labels have to be whole numbers"):
        rows(tmp_path / "a.npz")


def test_an_archive_that_unpacks_to_more_than_is_read_is_told_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.datasets.npz.MOST_BYTES", 2**20)
    np.savez_compressed(tmp_path / "a.npz", images=np.zeros((2, 1024, 1024), np.uint8), labels=np.array([0, 1]))
    with pytest.raises(ConversionError, match="2,097,152 bytes; 1,048,576 are read"):
        rows(tmp_path / "a.npz")


def test_many_files_are_told_by_some_of_them(tmp_path: Path) -> None:
    for number in range(500):
        written(tmp_path, f"{number:03}.bin", "")
    with pytest.raises(ConversionError, match="and 490 more") as raised:
        datasets.own_file(tmp_path, "evaluate")
    assert len(str(raised.value)) < 400


def test_images_without_labels_are_an_error(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=np.zeros((2, 4, 4)))
    with pytest.raises(ConversionError, match="expected the arrays images and labels, found"):
        rows(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("text,label\na,1\nb,\n", "a.csv, line 3: no field 'label' (the class); it has text"),
        ("text;label\na;1\n", "a.csv, line 2: no field 'text' (text); it has text;label"),
    ],
)
def test_a_row_that_lacks_a_column_is_told_with_its_place(tmp_path: Path, content: str, told: str) -> None:
    with pytest.raises(ConversionError) as raised:
        list(datasets.with_columns(datasets.read(written(tmp_path, "a.csv", content)), TEXT))
    assert str(raised.value) == told


# --- which file of a folder --------------------------------------------------------------------------------------------


def test_a_split_is_the_file_of_its_name(tmp_path: Path) -> None:
    train, held_out = (written(tmp_path, name, "a") for name in ("train.txt", "evaluate.csv"))
    assert datasets.own_file(tmp_path, "train") == train
    assert datasets.own_file(tmp_path, "evaluate") == held_out
    assert datasets.formats_in(tmp_path) == ["csv", "txt"]
    assert datasets.formats_in(train) == ["txt"]


def test_one_file_of_any_name_is_to_evaluate_and_never_to_train(tmp_path: Path) -> None:
    file = written(tmp_path, "news.txt", "held out")
    assert datasets.own_file(tmp_path, "evaluate") == file
    with pytest.raises(ConversionError, match=r"exactly one train\.conll or train\.csv or .*; it holds news\.txt"):
        datasets.own_file(tmp_path, "train")


def test_training_data_is_never_evaluated_on(tmp_path: Path) -> None:
    written(tmp_path, "train.txt", "seen")
    with pytest.raises(ConversionError, match=r"exactly one evaluate\.conll"):
        datasets.own_file(tmp_path, "evaluate")


def test_two_files_of_one_split_are_told(tmp_path: Path) -> None:
    for name in ("evaluate.csv", "evaluate.tsv"):
        written(tmp_path, name, "text\na")
    with pytest.raises(ConversionError, match=r"exactly one .*; it holds evaluate\.csv, evaluate\.tsv"):
        datasets.own_file(tmp_path, "evaluate")


# --- adding one --------------------------------------------------------------------------------------------------------


def test_a_new_format_is_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shouted.py").write_text("def read(file):\n    yield file.name, {'text': file.read_text().upper()}\n")
    monkeypatch.setattr(datasets, "__path__", [*datasets.__path__, str(tmp_path)])
    assert "shouted" in datasets.formats()
    assert rows(written(tmp_path, "a.shouted", "quiet")) == [{"text": "QUIET"}]


def test_a_reader_needs_no_other_reader() -> None:
    for name in datasets.formats():
        found = {Path(place).stem for place in closure([datasets.reader_of(name)]).files if "datasets" in place}
        assert found <= {"__init__", name, "_text"}


def test_a_column_whose_name_breaks_the_line_is_told_in_one(tmp_path: Path) -> None:
    (tmp_path / "evaluate.csv").write_text('text,"a\nb\x1b[2J"\ngood,1\n')
    with pytest.raises(ConversionError) as caught:
        list(datasets.with_columns(datasets.read(tmp_path / "evaluate.csv"), tasks.card("text-classification").columns))
    assert str(caught.value).isprintable()
