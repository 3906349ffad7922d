"""Users' data: tables, lines of JSON, columns of tags, plain text, and archives of images."""

from __future__ import annotations

import io
from functools import partial
from pathlib import Path

import numpy as np

from harness import datasets, tasks
from harness.contracts.artifact import ConversionError
from tests.fuzz.mutations import mutated
from tests.fuzz.target import Target

TABLE = 'text,label,text_pair\n"a, ""b""\nc",1,x\r\nd,two,\u00e9\n'.encode()
TABS = 'text\tlabel\ttext_pair\n"a\t1\tx\r\nd\ttwo\t\u00e9\n'.encode()
OBJECTS = b'{"text": "a \\u00e9", "label": "x"}\n\n{"text": "b", "label": 1, "text_pair": "c"}\n'
SENTENCES = b"-DOCSTART- O\n\nEU NNP I-ORG\nran VBZ O\n\nPeter NNP B-PER\n"
TEXT = "some text\nin \u00e9 lines\n".encode()


def archive(images: np.ndarray, labels: np.ndarray, *, packed: bool) -> bytes:
    """An ``.npz`` file."""
    with io.BytesIO() as stream:
        (np.savez_compressed if packed else np.savez)(stream, images=images, labels=labels)
        return stream.getvalue()


IMAGES = (
    archive(np.zeros((2, 3, 3), np.uint8), np.array([0, 1]), packed=False),
    archive(np.ones((2, 2, 2, 3), np.float32), np.array([0, 1]), packed=True),
)


def read_rows(name: str, task: str, data: bytes, folder: Path) -> None:
    """Read a file as ``harness.toolchain`` does, up to what the task has to say of each row."""
    file = folder / name
    file.write_bytes(data)
    module = tasks.prepare(task)
    problem = getattr(module, "problem", lambda row: None)
    try:
        for place, row in datasets.with_columns(datasets.read(file), tasks.card(task).columns):
            if found := problem(row):
                raise ConversionError(f"{place}: {found}")
    except ConversionError as error:
        told = str(error)
        assert told.startswith(name), told
        assert "\n" not in told, told
        assert len(told) < 1000, told
        told.encode("utf-8")
        raise


PIECES = (
    b'"',
    b",",
    b"\t",
    b"\n",
    b"\r",
    b"{",
    b"[" * 2000,
    b"null",
    b"NaN",
    b'"\\ud800"',
    b"\\u0000",
    b"label",
    b"text",
)
HEADERS = (
    b"'|O'",
    b"'<f4'",
    b"(2, -3, 3)",
    b"(99999999999, 9)",
    b"(" * 50,
    b"'<U4'",
    b"\x93NUMPY\x03\x00",
    b"PK\x01\x02",
)


def target(name: str, task: str, seeds: tuple[bytes, ...], pieces: tuple[bytes, ...]) -> Target:
    """The reader of one format."""
    read = partial(read_rows, f"evaluate.{name}", task)
    return Target(name, seeds, mutated(seeds, pieces), read, (ConversionError,), weight=0.5)


TARGETS = (
    target("csv", "text-classification", (TABLE,), PIECES),
    target("tsv", "text-classification", (TABS,), PIECES),
    target("jsonl", "text-classification", (OBJECTS,), PIECES),
    target("conll", "token-classification", (SENTENCES,), PIECES),
    target("txt", "text-generation", (TEXT,), PIECES),
    target("npz", "image-classification", IMAGES, HEADERS),
)
