"""Evaluate one artifact in one runtime on held-out examples, scored by the task on the spot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

from harness import tasks
from harness.contracts.adapter import Arrays, Unsupported
from harness.contracts.record import Evaluation, MetricRecord, RuntimeRecord
from harness.worker.fidelity import Deviation, Reference
from harness.worker.subject import Subject

OUTPUTS = ("logits",)  #: what a task reads unless it says otherwise


def run(subject: Subject, inputs: Mapping[str, Path], spec: Mapping[str, Any], out: Path) -> RuntimeRecord:
    """The step: keep the outputs in ``out`` as the reference, or compare them with those of the input ``reference``."""
    if spec["keep_outputs"]:
        reference = Reference()
        record = evaluate(subject, inputs["data"], reference)
        reference.save(out)
    else:
        given = inputs.get("reference")
        record = evaluate(subject, inputs["data"], Deviation(given) if given else None)
    return RuntimeRecord(evaluation=record)


def evaluate(subject: Subject, data: Path, watch: Reference | Deviation | None = None) -> Evaluation:
    """Run the held-out examples, one at a time and unpadded, and score them; ``watch`` sees the outputs.

    The task reduces each example's outputs at once, so that memory never holds the outputs of all. Raises Unsupported where
    the runtime does not give an output that the task reads.
    """
    task = tasks.score(subject.manifest.task)
    names: Sequence[str] = getattr(task, "OUTPUTS", OUTPUTS)
    adapter = subject.start()
    adapter.load(subject.artifact, subject.manifest)
    start = perf_counter()
    predictions = []
    for inputs in task.evaluation_batches(data):
        outputs = adapter.run(inputs)
        _require(outputs, names)
        predictions.append(task.reduce(outputs, inputs))
        if watch:
            watch.see(outputs[names[0]])
    seconds = perf_counter() - start
    adapter.close()
    score = task.score(predictions, data)
    return Evaluation(
        machine=subject.machine,
        metrics=[MetricRecord(name, found.value, found.interval) for name, found in score.metrics.items()],
        tallies=score.tallies,
        fidelity=watch.record() if isinstance(watch, Deviation) else None,
        seconds=seconds,
    )


def _require(outputs: Arrays, names: Sequence[str]) -> None:
    if missing := [name for name in names if name not in outputs]:
        raise Unsupported(f"the task reads the output {missing[0]!r}, the runtime gives {', '.join(outputs)}")
