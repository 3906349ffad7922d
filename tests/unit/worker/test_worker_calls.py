"""What is timed for each call: which functions of an adapter are called, in what order, and what their times add up to."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.contracts import prepared
from harness.contracts.adapter import Array, Unsupported
from harness.contracts.artifact import Manifest
from harness.contracts.cards import CALLS, Form, RuntimeCard
from harness.contracts.machine import describe
from harness.worker.calls import Parts, calls_per_sample, timed
from harness.worker.evaluate import evaluate
from harness.worker.loop import Sampling
from harness.worker.measure import measure
from harness.worker.subject import Subject

PROMPT = {"input_ids": np.arange(6).reshape(2, 3)}
CONTINUATION = {"continuation_ids": np.array([[7, 8], [9, 10]])}
BATCHES: Mapping[str, dict[str, Array]] = {
    "forward": {"pixel_values": np.zeros((1, 1, 2, 2), np.float32)},
    "generate": PROMPT | CONTINUATION,
    "encode_decode": {"input_features": np.zeros((2, 4), np.float32), "decoder_input_ids": np.ones((2, 1))}
    | CONTINUATION,
}
CARD = RuntimeCard("heard", "remembers what it was asked", (Form("hf"),), ("cpu",), "https://example.org")


class Heard:
    """An adapter that remembers what it was asked, and takes a while for it."""

    asked: list[tuple[str, Any]]
    outputs = ("logits",)

    def __init__(self, device: str = "cpu", threads: int = 1, mode: str = "") -> None:
        self.asked = []
        Heard.last = self

    last: Heard

    def load(self, artifact: Path, manifest: Manifest) -> None:
        pass

    def run(self, inputs: Any) -> dict[str, Array]:
        self._hear("run", sorted(inputs))
        return dict.fromkeys(self.outputs, np.eye(4, dtype=np.float32)[:1])

    def encode(self, inputs: Any) -> None:
        self._hear("encode", sorted(inputs))

    def prefill(self, input_ids: Array) -> Array:
        self._hear("prefill", input_ids.tolist())
        return np.zeros((2, 4), np.float32)

    def decode(self, token_ids: Array) -> Array:
        self._hear("decode", token_ids.tolist())
        return np.zeros((2, 4), np.float32)

    def precision(self) -> str:
        return "fp32"

    def close(self) -> None:
        pass

    def _hear(self, name: str, told: Any) -> None:
        self.asked.append((name, told))
        time.sleep(1e-4)


DECODED = [("decode", [7, 9]), ("decode", [8, 10])]


@pytest.mark.parametrize(
    ("call", "wanted"),
    [
        ("forward", [("run", ["pixel_values"])]),
        ("generate", [("prefill", [[0, 1, 2], [3, 4, 5]]), *DECODED]),
        ("encode_decode", [("encode", ["input_features"]), ("prefill", [[1.0], [1.0]]), *DECODED]),
    ],
)
def test_a_sample_is_what_its_call_says(call: str, wanted: list[Any]) -> None:
    adapter, parts = Heard(), Parts()
    nanoseconds = timed(call, adapter, parts)(BATCHES[call])
    assert adapter.asked == wanted
    assert calls_per_sample(call, BATCHES[call]) == len(wanted)
    times = [part[0] for part in (parts.encode_ns, parts.prefill_ns, parts.decode_ns) if part]
    assert len(times) == {"forward": 0, "generate": 2, "encode_decode": 3}[call]
    assert nanoseconds >= sum(times)
    assert all(part >= 1e5 for part in (*times, nanoseconds))


def test_every_call_can_be_timed() -> None:
    assert set(BATCHES) == set(CALLS)


def subject(folder: Path, call: str, task: str = "image-classification") -> Subject:
    (folder / "weights.bin").write_bytes(bytes(10))
    manifest = Manifest("hf", "fp32", task=task, call=call, modality="text", auto_class="Auto", weights=["weights.bin"])
    return Subject(CARD, Heard, folder, manifest, "cpu", 1, describe())


@pytest.mark.parametrize("call", CALLS)
def test_a_measurement_goes_by_the_call_of_the_manifest(tmp_path: Path, call: str) -> None:
    stacked = {name: np.stack([array] * prepared.BATCHES) for name, array in BATCHES[call].items()}
    prepared.save(tmp_path, {}, stacked)
    made = measure(subject(tmp_path, call, task="none that there is"), tmp_path, Sampling(5, 0.0, 0.05, 0.5))
    kept = len(made.latency.nanoseconds)
    assert made.calls_per_sample == calls_per_sample(call, BATCHES[call])
    if call == "forward":
        assert made.generation is None
        return
    assert made.generation is not None
    assert len(made.generation.prefill_ns) == len(made.generation.decode_ns) == kept
    assert (made.generation.encode_ns is None) == (call == "generate")
    whole = zip(made.latency.nanoseconds, made.generation.prefill_ns, made.generation.decode_ns, strict=True)
    assert all(request >= prefill + decode for request, prefill, decode in whole)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    prepared.save(tmp_path, {}, {"pixel_values": np.zeros((3, 1, 2, 2), np.float32), "labels": np.array([0, 0, 1])})
    return tmp_path


def test_an_evaluation_has_every_metric_of_the_task(images: Path) -> None:
    made = evaluate(subject(images, "forward"), images)
    assert [(metric.name, metric.value) for metric in made.metrics] == [
        ("accuracy", pytest.approx(2 / 3)),
        ("macro_f1", pytest.approx(0.4)),
    ]
    assert made.tallies == [[0.0, 0.0], [0.0, 0.0], [1.0, 0.0]]


def test_an_output_that_the_runtime_does_not_give_is_told(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Heard, "outputs", ("boxes", "scores"))
    with pytest.raises(Unsupported, match="the task reads the output 'logits', the runtime gives boxes, scores"):
        evaluate(subject(images, "forward"), images)


def test_other_outputs_beside_it_are_no_matter(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Heard, "outputs", ("hidden", "logits"))
    assert evaluate(subject(images, "forward"), images).examples == 3
