"""Matrices of as many cells of the ``null`` runtime as wanted, on models of one weight: what the harness itself costs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from harness.catalog import Catalog, load_catalog
from harness.commands.workspace import Workspace
from harness.engines.contract import Engine
from harness.matrix import load
from harness.matrix.expand import expand
from harness.runner.selection import selection
from harness.runner.store import Store

MODELS = 5
IMAGE = {"id2label": {str(n): str(n) for n in range(10)}, "image_size": 8, "num_channels": 1}


def write(folder: Path, cells: int, rounds: int = 1, more: Sequence[str] = ()) -> Path:
    """A matrix file with its models and data; ``more`` are lines that follow. ``cells`` is a multiple of MODELS."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(MODELS):
        _model(folder / f"m{number}", number)
    images = np.random.default_rng(0).random((40, 8, 8), dtype=np.float32)
    np.savez(folder / "digits.npz", images=images, labels=np.arange(40) % 10)
    task = "task: image-classification, dataset: 'path:./digits.npz'"
    workloads = ", ".join(map(workload, range(cells // MODELS)))
    lines = [
        "models:",
        *(f"  - {{name: m{n}, source: 'path:./m{n}', {task}}}" for n in range(MODELS)),
        "methods: [original]",
        'runtimes: ["null"]',
        f"workloads: {{image-classification: [{workloads}]}}",
        f"measure: {{rounds: {rounds}, min_samples: 5, min_seconds: 0, max_seconds: 0.01}}",
        "limits: {cpus: 1, memory: 1GiB}",
        *more,
    ]
    file = folder / "matrix.yaml"
    file.write_text("\n".join(lines), "utf-8")
    return file


def workload(number: int) -> str:
    """One of any number of small workloads, as a matrix file has it."""
    return f"{{batch: {number % 5 + 1}, image_size: {number // 5 + 4}}}"


def _model(folder: Path, number: int) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(IMAGE), "utf-8")
    header = b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    weight = np.float32(number).tobytes()
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + weight)


def opened(file: Path, engine: Engine, catalog: Catalog | None = None) -> Workspace:
    """The workspace of such a matrix; its store and report lie beside the file."""
    catalog = catalog or load_catalog()
    matrix = load.load(file, catalog)
    picked = selection(expand(matrix), (), (), (), None)
    folder = file.parent
    return Workspace(file, matrix, catalog, engine, "asked for", Store(folder / "work"), folder / "out", picked)
