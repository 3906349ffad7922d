"""Matrix files, from the text to the plan."""

from __future__ import annotations

from pathlib import Path

from harness import datasets, sources
from harness.catalog import load_catalog
from harness.errors import HarnessError
from harness.matrix import load, source
from harness.matrix.expand import expand
from harness.matrix.planner import Planner, Site
from harness.sources import look
from tests.checkpoints import write_model
from tests.fuzz.mutations import mutated
from tests.fuzz.target import Target
from tests.planning import DEVICES, HERE

CATALOG = load_catalog()
ALL = b"""\
models:
  - {name: a, source: "path:./model", task: text-classification, dataset: "path:data", trust: true, sha256: null}
  - name: b
    source: zoo:digits-cnn
    task: image-classification
    dataset: "zoo:digits"
    workloads: [{batch: 1}, &w {batch: 8, image_size: 28}]
methods:
  - original
  - fp16
  - name: sparse
    passes: [{magnitude: {sparsity: 0.5}}, fp16]
  - name: auto
    search: {choices: [[fp16, {magnitude: {sparsity: [0.3, 0.5]}}], [int8-dynamic]], trials: 4, quality_drop: 0.1}
runtimes: [pytorch, onnxruntime, llamacpp]
devices: [cpu, cuda]
workloads: {text-classification: [{batch: 1, sequence_length: 64}]}
limits: {cpus: 1, memory: 4GiB, timeout: 10m, source: 1GB}
measure: {rounds: 2, min_samples: 5, max_seconds: 1.5, precision: 0.05, seed: 7}
exclude: [{model: a, device: cuda}]
include: [{model: [b], method: fp16, runtime: pytorch, workload: *w, rounds: 5, memory: 1GiB, timeout: 90s}]
report: {title: "A title", language: ru, baseline: {method: original, runtime: pytorch}}
"""
SMALL = b"""\
models: [{name: a, source: "zoo:digits-cnn", task: image-classification, dataset: "zoo:digits"}]
methods: [original]
runtimes: [pytorch]
"""
PIECES = (
    b"[", b"{", b"]", b"}", b"&a ", b"*a", b"*w", b"!!int ", b"!!set ", b"!!binary ", b"!!python/name:os.system ",
    b"!x ", b": ", b"? ", b"- ", b"\n", b"\n  ", b"\t", b"null", b".nan", b".inf", b"0x", b"1_0:6", b"2001-01-01",
    b"|\n", b">\n", b"#", b"'", b'"', b"<<: *w", b"---\n", b"...\n", b"%YAML 9.9\n", b"path:~nosuchuser/x",
    b"path:/dev/zero", b"path:/proc/self/mem", b"path:.", b"\xc2\x85", b"\xe2\x80\xa8", b"\xed\xa0\x80", b"\\ud800",
    b"999999999999GiB", b"1e400s", b"zoo:", b"hf:a/b@c", b"pypi:x==1/y", b"original", b"sparse", b"int4",
)  # fmt: skip


def read(data: bytes, folder: Path) -> None:
    """As ``harness plan`` reads a matrix, on a machine without a GPU."""
    (folder / "model").mkdir()
    write_model(folder / "model")
    (folder / "data").mkdir()
    for name in ("train.csv", "evaluate.csv"):
        (folder / "data" / name).write_text("text,label\ngood,1\nbad,0\n")
    file = folder / "matrix.yaml"
    file.write_bytes(data)
    try:
        matrix = load.load(file, CATALOG)
        if len(expand(matrix)) > 200:
            return
        planner = Planner(
            matrix,
            CATALOG,
            "container",
            [Site(HERE, DEVICES, "")],
            lambda parsed: sources.fingerprint(parsed, folder, matrix.limits.source),
            lambda model: look.contents(model, folder, matrix.limits.source),
            lambda parsed: (
                datasets.formats_in(sources.existing(parsed, folder)) if isinstance(parsed, source.PathSource) else ()
            ),
            {},
        )
        planner.plan(lambda cell: True)
    except HarnessError as error:
        str(error).encode("utf-8", "surrogatepass")
        raise


TARGETS = (Target("matrix", (ALL, SMALL), mutated((ALL, SMALL), PIECES), read, (HarnessError,), weight=3),)
