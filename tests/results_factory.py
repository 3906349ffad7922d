"""Realistic results without measuring anything: what the report's tests render."""

from __future__ import annotations

import hashlib
import random
from typing import Any

from harness.results import (
    Cell,
    CellArtifact,
    CellImage,
    Environment,
    FieldFacts,
    Generation,
    Latency,
    Memory,
    MetricFacts,
    Overhead,
    PassRecord,
    Phase,
    Quality,
    Results,
    Round,
    RunMachine,
    Status,
    TaskFacts,
)
from harness.stats import geometric_mean, percentile, round_interval
from harness.untrusted_text import slug

HOSTILE = "<img src=x onerror=alert(1)>|</script>\u202e evil\n" + "x" * 500

WORKLOADS = {
    "text-generation": {"batch": 1, "prompt_tokens": 64, "generated_tokens": 16},
    "token-classification": {"batch": 1, "sequence_length": 128},
    "image-classification": {"batch": 1, "image_size": 8},
}
MACHINE, OTHER = "f3a9c1d2", "0badcafe"
TASKS = {
    "text-generation": {"en": "text generation", "ru": "генерация текста"},
    "token-classification": {"en": "token classification", "ru": "разметка слов"},
    "image-classification": {"en": "image classification", "ru": "классификация изображений"},
}
METRICS = {
    "perplexity": (False, {"en": "perplexity", "ru": "перплексия"}),
    "f1": (True, {"en": "F1", "ru": "F1"}),
    "accuracy": (True, {"en": "accuracy", "ru": "доля верных"}),
}
FIELDS = {
    "batch": {"en": "batch", "ru": "батч"},
    "sequence_length": {"en": "{value} tokens", "ru": "токенов: {value}"},
    "prompt_tokens": {"en": "prompt {value}", "ru": "запрос {value}"},
    "generated_tokens": {"en": "generates {value}", "ru": "генерирует {value}"},
    "image_size": {"en": "{value} × {value} px", "ru": "{value} × {value} пикс."},
}
MODELS: dict[str, dict[str, Any]] = {
    "smollm2-135m": {"task": "text-generation", "ms": 1480.0, "mb": 538.1, "metric": ("perplexity", 33.30, 0.9, False)},
    "minilm-ner": {"task": "token-classification", "ms": 21.4, "mb": 90.3, "metric": ("f1", 0.931, 0.012, True)},
    "digits-cnn": {"task": "image-classification", "ms": 0.31, "mb": 0.412, "metric": ("accuracy", 0.983, 0.011, True)},
}
#: Method -> time, size and loss of quality relative to the original, per runtime.
EFFECTS = {
    ("original", "pytorch"): (1.0, 1.0, 0.0),
    ("bf16", "pytorch"): (0.62, 0.5, 0.001),
    ("fp16", "pytorch"): (1.004, 0.5, 0.0),
    ("int8-dynamic", "pytorch"): (0.58, 0.38, 0.02),
    ("original", "onnxruntime"): (0.55, 1.002, 0.0),
    ("fp16", "onnxruntime"): (0.92, 0.501, 0.0),
    ("int8-dynamic", "onnxruntime"): (0.31, 0.256, 0.028),
    ("original", "openvino"): (0.52, 1.0, 0.0),
    ("int8-dynamic", "openvino"): (0.66, 0.256, 0.03),
}
FLOOR_MB = {"pytorch": 221.4, "onnxruntime": 46.2, "openvino": 54.7}
FAILURES = {
    ("smollm2-135m", "fp16", "onnxruntime"): (
        Status.DIVERGED,
        "largest difference from the reference 14.2, limit 0.5",
    ),
    ("smollm2-135m", "original", "openvino"): (
        Status.OOM_HOST,
        "killed at 2000 MB, the limit of this cell; peak 2000 MB",
    ),
    ("smollm2-135m", "int8-dynamic", "openvino"): (Status.TIMEOUT, "compile took longer than 600 s"),
    ("digits-cnn", "int8-dynamic", "openvino"): (
        Status.CRASHED,
        "RuntimeError: Check failed at core.cpp:142",
    ),
    ("digits-cnn", "int8-dynamic", "pytorch"): (
        Status.CONVERT_FAILED,
        "no linear layer to quantize",
    ),
}
LOG = 'Traceback (most recent call last):\n  File "adapter.py", line 41, in load\nRuntimeError: not <b>here</b>'


def results(*, language: str = "en", rounds: int = 5, seed: int = 7) -> Results:
    """A run of three models on three runtimes, with every kind of ending and a GPU that is not there."""
    draw = random.Random(seed)
    cells = []
    for model in MODELS:
        cells += [_cell(model, method, runtime, rounds, draw) for method, runtime in EFFECTS]
        cells.append(
            failed(model, "bf16", "onnxruntime", Status.UNSUPPORTED, "no way from hf/bf16 to what onnxruntime loads")
        )
    cells += [
        failed("minilm-ner", method, "pytorch", Status.SKIPPED, "no CUDA device on this host", device="cuda")
        for method in ("original", "int8-dynamic")
    ]
    return wrap(cells, language=language)


def wrap(
    cells: list[Cell],
    *,
    language: str = "en",
    title: str = "Compression matrix",
    cpu: str = "AMD EPYC 9R14",
    machines: tuple[str, ...] = (MACHINE,),
) -> Results:
    """A run around given cells."""
    return Results(
        title=title,
        created_at="2026-11-24T04:12:09Z",
        language=language,
        baseline={"method": "original", "runtime": "pytorch"},
        machines={each: machine(each, cpu) for each in machines},
        tasks={name: TaskFacts(words=said) for name, said in TASKS.items()},
        metrics={name: MetricFacts(higher_is_better=up, words=said) for name, (up, said) in METRICS.items()},
        workload_fields={name: FieldFacts(letter=name[0], words=said) for name, said in FIELDS.items()},
        environment=Environment(
            engine="docker",
            engine_version="20.10.24",
            engine_reason="a Docker Engine answers",
            harness_version="0.1.0",
            source_revision="7a5f6e8",
        ),
        overhead=Overhead(per_call_us=1.37, rounds=3),
        seed=20261124,
        matrix="models:\n  - name: minilm-ner\n    source: zoo:minilm-ner\n",
        cells=cells,
    )


def machine(id: str = MACHINE, cpu: str = "AMD EPYC 9R14") -> RunMachine:
    """A machine without a GPU, named by its id."""
    return RunMachine(
        id=id,
        name=id,
        cpu=cpu,
        cpu_count=2,
        cpu_flags=["avx2", "avx512f", "avx512_vnni", "avx512_bf16"],
        memory_bytes=25_200_000_000,
        system="Debian GNU/Linux 12 (bookworm)",
        kernel="6.1.0-28-amd64",
    )


def two_machines(*, language: str = "en") -> Results:
    """The run of ``results``, measured on two machines; the second is twice as fast and has a hostile name."""
    run = results(language=language)
    faster = [
        cell.model_copy(update={"machine": OTHER, "latency_ms": _halved(cell)}) for cell in run.cells if cell.machine
    ]
    other = machine(OTHER).model_copy(update={"name": "lab <b>two"})
    return run.model_copy(update={"cells": [*run.cells, *faster], "machines": {**run.machines, OTHER: other}})


def _halved(cell: Cell) -> Latency | None:
    latency = cell.latency_ms
    if latency is None:
        return None
    rounds = [
        each.model_copy(update={"median_ms": each.median_ms / 2, "samples_ms": [ms / 2 for ms in each.samples_ms]})
        for each in latency.rounds
    ]
    low, high = latency.interval or (latency.p50, latency.p50)
    halves = {"p50": latency.p50 / 2, "p90": latency.p90 / 2, "p99": latency.p99 / 2, "interval": (low / 2, high / 2)}
    return latency.model_copy(update={**halves, "rounds": rounds})


def many(rows: int) -> Results:
    """A long table: groups of ninety rows, each a model with ten settings of every method on every runtime."""
    draw = random.Random(11)
    cells = []
    for number in range(rows):
        group, place = divmod(number, 90)
        model = list(MODELS)[group % len(MODELS)]
        method, runtime = list(EFFECTS)[place % len(EFFECTS)]
        setting = method if place < len(EFFECTS) else f"{method}-{place // len(EFFECTS)}"
        names = {"model": f"{model}-{group}", "method": setting}
        cell = _cell(model, method, runtime, 3, draw)
        cells.append(cell.model_copy(update={**names, "id": "/".join([*names.values(), *cell.id.split("/")[2:]])}))
    return wrap(cells)


def hostile() -> Results:
    """Strings that try to be markup in every place that takes one."""
    draw = random.Random(1)
    good = _cell("minilm-ner", "int8-dynamic", "onnxruntime", 5, draw)
    base = _cell("minilm-ner", "original", "pytorch", 5, draw)
    text = {"model": HOSTILE, "method": HOSTILE, "reason": HOSTILE, "log_tail": HOSTILE, "command": HOSTILE}
    text |= {"vram_reason": HOSTILE, "arithmetic": HOSTILE, "engine": HOSTILE, "measured_at": HOSTILE}
    more = {"caveats": [HOSTILE], "versions": {HOSTILE: HOSTILE}, "id": HOSTILE}
    cells = [
        base.model_copy(update={"model": HOSTILE, "id": "base"}),
        good.model_copy(update={**text, **more}),
        failed(HOSTILE, HOSTILE, HOSTILE, Status.CRASHED, HOSTILE),
    ]
    return wrap(cells, title=HOSTILE, cpu=HOSTILE)


def failed(model: str, method: str, runtime: str, status: Status, reason: str, device: str = "cpu") -> Cell:
    """A cell that has no numbers."""
    task = MODELS.get(model, MODELS["minilm-ner"])["task"]
    return Cell(
        id=_identify(model, method, runtime, device, WORKLOADS[task]),
        model=model,
        task=task,
        method=method,
        runtime=runtime,
        device=device,
        workload=WORKLOADS[task],
        status=status,
        reason=reason,
        log_tail=LOG if status.failed else None,
        command=None if status is Status.UNSUPPORTED else _command(runtime),
    )


def _cell(model: str, method: str, runtime: str, rounds: int, draw: random.Random) -> Cell:
    status, reason = FAILURES.get((model, method, runtime), (Status.OK, None))
    if status not in (Status.OK, Status.DIVERGED):
        return failed(model, method, runtime, status, reason or "")
    facts = MODELS[model]
    time, size, loss = EFFECTS[method, runtime]
    weights = round(facts["mb"] * size * 1e6)
    peak = round((FLOOR_MB[runtime] + 1.4 * facts["mb"] * size + 20) * 1e6)
    passes = [] if method == "original" else [_pass(method, runtime)]
    noise = 0.04 if runtime == "openvino" else 0.006
    return Cell(
        id=_identify(model, method, runtime, "cpu", WORKLOADS[facts["task"]]),
        model=model,
        task=facts["task"],
        method=method,
        runtime=runtime,
        device="cpu",
        workload=WORKLOADS[facts["task"]],
        machine=MACHINE,
        status=status,
        reason=reason,
        weights_bytes=weights,
        latency_ms=_latency(facts["ms"] * time, rounds, noise, draw),
        generation=Generation(
            first_token_ms=310.2 * time, prefill_tokens_per_s=206.3 / time, decode_tokens_per_s=13.7 / time
        )
        if facts["task"] == "text-generation"
        else None,
        ram_bytes=peak,
        memory=Memory(
            peak_rss_bytes=peak,
            floor_bytes=round(FLOOR_MB[runtime] * 1e6),
            anonymous_bytes=round(0.7 * peak),
            file_bytes=round(0.3 * peak),
            container_peak_bytes=peak + 31_000_000,
        ),
        vram_reason="no device memory on cpu",
        quality=_quality(
            *facts["metric"], 3 * loss if status is Status.DIVERGED else loss, paired=runtime == "openvino"
        ),
        arithmetic={"int8-dynamic": "int8", "original": "fp32"}.get(method, method),
        phases={
            "load": Phase(seconds=0.84, peak_rss_bytes=round(0.8 * peak)),
            "first": Phase(seconds=0.09, peak_rss_bytes=round(0.97 * peak)),
            "steady": Phase(seconds=4.2, peak_rss_bytes=peak),
        },
        artifact=CellArtifact(
            hash=hashlib.sha256(f"{model}{method}{runtime}".encode()).hexdigest(),
            format="hf" if runtime == "pytorch" else "onnx",
            precision="int8" if method == "int8-dynamic" else "fp32",
            passes=passes,
            provenance=["SmolLM2-135M-Instruct.Q4_1.gguf: the source is already 4-bit"] if "smollm" in model else [],
            zstd_bytes=round(0.92 * weights) if weights else None,
        ),
        image=CellImage(
            name=f"runtimes/{runtime}",
            reference=f"compression-matrix/{runtime}:3fa29c1b",
            digest="sha256:" + hashlib.sha256(runtime.encode()).hexdigest(),
            source_hash=hashlib.sha256(runtime.encode()).hexdigest(),
        ),
        versions={"numpy": "2.4.6", {"pytorch": "torch"}.get(runtime, runtime): "2.13.0+cpu", "python": "3.11.2"},
        threads=2,
        engine="docker",
        caveats=["round 2: 3.1 % of the time was stolen by other guests"] if runtime == "openvino" else [],
        command=_command(runtime),
        measured_at="2026-11-24T03:58:41Z",
    )


def _latency(center: float, rounds: int, noise: float, draw: random.Random) -> Latency:
    made = []
    for index in range(rounds):
        level = center * draw.lognormvariate(0, noise)
        samples = [round(level * draw.lognormvariate(0.01, 0.015), 6) for _ in range(40)]
        median = percentile(samples, 50)
        made.append(
            Round(
                samples_ms=samples,
                median_ms=median,
                ended_by="budget" if noise > 0.01 else "precision",
                warmup_calls=10,
                pace_us=[99.0, 100.0, 102.0],
                noisy="steal 3.1 %" if noise > 0.01 and index == 1 else None,
            )
        )
    medians = [each.median_ms for each in made]
    pooled = [sample for each in made for sample in each.samples_ms]
    return Latency(
        p50=percentile(medians, 50),
        p90=percentile(pooled, 90),
        p99=percentile(pooled, 99),
        interval=round_interval(medians) or (geometric_mean(medians),) * 2 if rounds > 1 else None,
        rounds=made,
    )


def _quality(metric: str, value: float, half: float, higher: bool, loss: float, *, paired: bool) -> Quality:
    shifted = value * (1 - loss if higher else 1 + 3 * loss)
    change = shifted - value
    return Quality(
        change=change if paired else None,
        change_interval=(change - half / 4, change + half / 5) if paired else None,
        metric=metric,
        value=shifted,
        interval=(shifted - half, shifted + half * 0.9),
        examples=6 if metric == "perplexity" else 540,
        higher_is_better=higher,
    )


def _pass(method: str, runtime: str) -> PassRecord:
    return PassRecord(
        name=method,
        toolchain="torch" if runtime == "pytorch" else "onnxruntime",
        parameters={"per_channel": True},
        effect={"quantized_layers": 36, "of": 36},
        source="https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html",
    )


def _identify(model: str, method: str, runtime: str, device: str, workload: dict[str, int]) -> str:
    return "/".join([model, method, runtime, device, ",".join(f"{key}={value}" for key, value in workload.items())])


def _command(runtime: str) -> str:
    return (
        "docker run --rm --init --network none --read-only --cap-drop ALL --security-opt no-new-privileges --cpus 2 "
        f"--memory 4g -v ./artifact:/artifact:ro compression-matrix/{slug(runtime)}:3fa29c1b /artifact"
    )
