"""One row of the result record: a cell, and all that was measured of it.

Every cell is a row, whatever became of it. Raw samples are kept, so that any statistic can be computed again.
Missing values are null with a reason, never zero and never an estimate.
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema

#: A number that may overflow: JSON has no infinities, so what is not finite is written as one of three strings.
Number: TypeAlias = Annotated[
    float, WithJsonSchema({"anyOf": [{"type": "number"}, {"enum": ["NaN", "Infinity", "-Infinity"]}]})
]

#: A size in bytes, or how many there are of something.
Count: TypeAlias = Annotated[int, Field(ge=0, le=2**63 - 1)]


def _above_zero(value: float) -> float:
    if math.isfinite(value) and value <= 0:
        raise ValueError("expected a time above 0")
    return value


#: A time of which ratios and logarithms are taken. What is not finite stays what it is, as in ``Number``.
Time: TypeAlias = Annotated[Number, AfterValidator(_above_zero)]


class Status(StrEnum):
    """What a cell came to."""

    OK = "ok"
    DIVERGED = "diverged"
    UNSUPPORTED = "unsupported"
    SKIPPED = "skipped"
    BUILD_FAILED = "build-failed"
    CONVERT_FAILED = "convert-failed"
    OOM_HOST = "oom-host"
    OOM_GPU = "oom-gpu"
    TIMEOUT = "timeout"
    CRASHED = "crashed"

    @property
    def failed(self) -> bool:
        """Whether a run with such a cell exits with 1: something was wanted and did not work. To diverge is a finding."""
        return self not in (Status.OK, Status.DIVERGED, Status.UNSUPPORTED, Status.SKIPPED)


class Record(BaseModel):
    """Base of all parts: immutable, and strict about unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


Interval = Annotated[tuple[Number, Number], Field(description="95 % interval, lower and upper end")]


class CellNoise(Record):
    """How quiet the machine was from the first to the last sample of a round."""

    steal_share: Number = Field(description="share of all CPU time that other virtual machines took")
    others_share: Number = Field(description="share of all CPU time that other processes used")
    throttled: Count = Field(description="times that the container's CPU limit stopped it")
    major_faults: Count = Field(description="pages that had to be read from a disk")
    preempted: Count = Field(description="involuntary context switches")
    load_before: Number | None = Field(None, description="load average of the minute before")
    clock_before_mhz: Number | None = Field(None, description="mean over the CPUs, as the kernel tells it")
    clock_after_mhz: Number | None = None


class Round(Record):
    """One fresh container's samples."""

    samples_ms: list[Time] = Field(description="wall times of calls, in order, milliseconds")
    every: Count = Field(1, description="of how many calls one was kept: 1 but for calls of microseconds")
    median_ms: Time
    ended_by: str = Field(description="what ended sampling: `precision` of the median, or the `budget` of time")
    warmup_calls: Count
    noisy: str | None = Field(None, description="why this round is suspect, or null")
    noise: CellNoise | None = None
    pace_us: list[Number] | None = Field(
        None, description="times of a fixed loop between the samples: quartiles, microseconds"
    )
    counts: bool = Field(True, description="whether statistics use it: a noisy one is left out where enough were quiet")


class Latency(Record):
    """Wall time of one call, milliseconds. For text generation a call is a whole request: prefill and all decode steps."""

    p50: Time = Field(description="geometric mean of the medians of the rounds that count")
    p90: Time = Field(description="90th percentile of all their samples")
    p99: Time = Field(description="99th percentile of all their samples")
    interval: Interval | None = Field(description="of p50, from the round medians; null with fewer than 2 rounds")
    rounds: list[Round]

    @property
    def medians_ms(self) -> list[float]:
        """Of the rounds that count: the unit of all statistics."""
        return [each.median_ms for each in self.rounds if each.counts]


class Generation(Record):
    """Generation of text, defined the same for every runtime; medians over all requests of all rounds."""

    first_token_ms: Time = Field(description="time to first token: the prefill call")
    prefill_tokens_per_s: Number = Field(description="batch x prompt tokens / prefill time")
    decode_tokens_per_s: Number = Field(description="batch x decoded tokens / time of the decode calls")


class Phase(Record):
    """One phase of a container's life."""

    seconds: Number
    peak_rss_bytes: Count | None = Field(None, description="resident high-water mark at the end of the phase")


class Memory(Record):
    """Host memory of the measuring process; kernel high-water marks, never polled. Medians over rounds, bytes."""

    peak_rss_bytes: Count = Field(description="VmHWM: largest resident set up to the end of the steady state")
    floor_bytes: Count = Field(description="resident with the runtime imported and no model loaded")
    anonymous_bytes: Count | None = Field(None, description="anonymous part of the resident set in the steady state")
    file_bytes: Count | None = Field(None, description="file-backed part (mapped weights and libraries)")
    container_peak_bytes: Count | None = Field(None, description="the container's own peak, page cache included")


class Quality(Record):
    """Quality as measured in this cell's own runtime on held-out examples."""

    metric: str = Field(description="a name in the run's `metrics`")
    value: Number
    interval: Interval | None = None
    examples: Count
    higher_is_better: bool
    change: Number | None = Field(
        None, description="value minus that of the original on FP32 PyTorch; null without one"
    )
    change_interval: Interval | None = Field(
        None, description="of change, by a paired bootstrap over the same examples"
    )


class Fidelity(Record):
    """How near the outputs come to those of the original on FP32 PyTorch, on the same held-out examples."""

    positions: Count = Field(description="outputs compared: images, or tokens of the first sentences or windows")
    top1_agreement: Number = Field(description="share of positions whose largest logit is the same class's")
    kl_divergence: Number = Field(description="mean KL divergence from the original's classes, nats")
    max_logit_difference: Number = Field(description="among the 64 largest logits of each position")
    tolerance: str = Field(description="the row of the table of tolerances that holds for this method")


class CellImage(Record):
    """The image that measured, or the virtual environment that stood in for it."""

    name: str = Field(description="folder below images/, such as `runtimes/onnxruntime`")
    reference: str
    digest: str | None = Field(None, description="the engine's image id; null outside Docker")
    source_hash: str = Field(
        description="hash of what the environment depends on: lock file, Dockerfile, base; part of the cache key"
    )


class PassRecord(Record):
    """One applied compression pass."""

    name: str
    toolchain: str
    parameters: dict[str, Any]
    effect: dict[str, Any] = Field(description="what the pass verifiably did")
    source: str = Field(description="paper or manual")
    costs: str | None = Field(None, description="the tolerance that the pass says it may cost; null where not recorded")


class CellArtifact(Record):
    """What was measured."""

    hash: str = Field(description="SHA-256 over the names and hashes of all files")
    format: str
    precision: str
    passes: list[PassRecord]
    provenance: list[str] = Field(description="what a reader must know of where the weights come from")
    zstd_bytes: Count | None = Field(None, description="the weight files after `zstd -3`: what a download costs")


class SearchTrial(Record):
    """One combination of passes that a search measured, in one round."""

    passes: str
    status: Status
    latency_ms: Number | None = None
    weights_bytes: Count | None = None
    quality: Number | None = None
    quality_drop: Number | None = Field(None, description="relative loss against the original; negative is a gain")
    within: bool = Field(description="keeps every budget")
    front: bool = Field(description="within, and beaten by no other trial in latency, size and quality at once")
    chosen: bool


class SearchRecord(Record):
    """How the passes of an automatic method were chosen."""

    budgets: dict[str, Number]
    reason: str
    trials: list[SearchTrial]


class Cell(Record):
    """One row of the table: model x method x runtime x device x workload, on one machine."""

    id: str = Field(description="`model/method/runtime/device/workload`")
    machine: str | None = Field(None, description="id in the run's `machines`; null where nothing was measured")
    model: str
    task: str
    method: str
    runtime: str
    device: str
    workload: dict[str, Count]
    status: Status
    reason: str | None = Field(None, description="why the status is not `ok`")
    log_tail: str | None = None
    weights_bytes: Count | None = None
    latency_ms: Latency | None = None
    generation: Generation | None = None
    ram_bytes: Count | None = Field(None, description="same as memory.peak_rss_bytes")
    memory: Memory | None = None
    vram_bytes: Count | None = Field(None, description="device memory in use above idle, peak, by NVML")
    vram_reason: str | None = Field(None, description="why vram_bytes is null")
    energy_j: Number | None = Field(None, description="of one call: of the GPU by NVML, else of the processor by RAPL")
    energy_reason: str | None = Field(None, description="why energy_j is null")
    quality: Quality | None = Field(None, description="by the task's main metric")
    more_quality: list[Quality] = Field(default_factory=list, description="by the task's other metrics, in its order")
    fidelity: Fidelity | None = None
    fidelity_reason: str | None = Field(None, description="why fidelity is null")
    quality_reason: str | None = Field(None, description="why quality is null")
    arithmetic: str | None = Field(None, description="precision that really ran, as the runtime tells it")
    phases: dict[str, Phase] = Field(default_factory=dict, description="medians over rounds")
    artifact: CellArtifact | None = None
    search: SearchRecord | None = Field(None, description="of a method that chooses its passes by measuring")
    image: CellImage | None = None
    versions: dict[str, str] = Field(default_factory=dict, description="package versions inside the image")
    threads: Count | None = None
    engine: str | None = Field(None, description="`docker`, `venv` or `host`")
    caveats: list[str] = Field(default_factory=list, description="what weakens this row: weaker isolation, noise")
    command: str | None = Field(None, description="the command that measures this row again, one container")
    measured_at: str | None = Field(None, description="UTC, ISO 8601, of the first round")
