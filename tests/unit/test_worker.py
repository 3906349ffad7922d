"""The worker: when it stops, what it counts as memory, when it calls a round noisy, and how it is used by hand."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from harness.tasks import _storage
from harness.worker.environment import Noise, Snapshot, cpus_allowed, versions
from harness.worker.loop import MAX_SAMPLES, Sampling, collect, relative_half_width

ROOT = Path(__file__).parents[2]
BATCHES = [{"x": np.array([number])} for number in range(8)]
MIB = 2**20


# --- the loop ----------------------------------------------------------------------------------------------------------


def steady(nanoseconds: int = 1000) -> Callable[[Any], int]:
    return lambda batch: nanoseconds


def unsteady() -> Callable[[Any], int]:
    """Every other call takes a hundred times as long: the median lies anywhere between, no precision is ever reached."""
    times = cycle([1000, 100_000])

    def call(batch: Any) -> int:
        time.sleep(1e-4)
        return next(times)

    return call


def test_a_steady_call_ends_by_precision() -> None:
    assert collect(steady(), BATCHES, Sampling(30, 0.0, 5.0, 0.01)).ended_by == "precision"


def test_a_call_that_never_settles_ends_by_budget() -> None:
    assert collect(unsteady(), BATCHES, Sampling(30, 0.0, 0.1, 0.01)).ended_by == "budget"


def test_a_call_of_microseconds_ends_with_the_most_samples_of_a_round() -> None:
    samples = collect(steady(), BATCHES, Sampling(30, 60.0, 60.0, 0.01))
    assert len(samples.nanoseconds) == MAX_SAMPLES


def test_the_budget_is_kept() -> None:
    start = time.perf_counter()
    collect(unsteady(), BATCHES, Sampling(30, 0.0, 0.2, 0.01))
    assert time.perf_counter() - start < 0.2 * 1.25 + 0.5  # warm-up takes a quarter at most; the rest is the machine's


def test_there_are_at_least_the_samples_that_are_asked_for() -> None:
    assert len(collect(steady(), BATCHES, Sampling(123, 0.0, 5.0, 0.5)).nanoseconds) >= 123


def test_sampling_lasts_as_long_as_is_asked_for() -> None:
    def call(batch: Any) -> int:
        time.sleep(1e-3)
        return 1000

    start = time.perf_counter()
    collect(call, BATCHES, Sampling(30, 0.2, 5.0, 0.5))
    assert time.perf_counter() - start >= 0.2


def test_a_very_slow_call_is_sampled_five_times_whatever_the_budget() -> None:
    def slow(batch: Any) -> int:
        time.sleep(0.02)
        return 20_000_000

    samples = collect(slow, BATCHES, Sampling(30, 0.0, 0.03, 0.01))
    assert len(samples.nanoseconds) == 5


def test_warm_up_goes_on_until_neighbouring_windows_agree() -> None:
    times = iter([1000] * 5 + [100] * 10**6)
    assert (
        collect(lambda batch: next(times), BATCHES, Sampling(30, 0.0, 5.0, 0.5)).warmup_calls == 13
    )  # the window before the last holds three of the fast calls


def test_warm_up_calls_are_not_among_the_samples() -> None:
    times = iter([1000] * 5 + [100] * 10**6)
    assert set(collect(lambda batch: next(times), BATCHES, Sampling(30, 0.0, 5.0, 0.5)).nanoseconds) == {100}


def test_warm_up_of_a_call_that_never_settles_takes_a_quarter_of_the_budget() -> None:
    seen = []

    def doubling(batch: Any) -> int:
        seen.append(time.perf_counter())
        time.sleep(0.002)
        return 2 ** len(seen)

    samples = collect(doubling, BATCHES, Sampling(5, 0.0, 0.4, 0.5))
    assert seen[samples.warmup_calls - 1] - seen[0] <= 0.1


def test_inputs_are_rotated() -> None:
    seen: list[int] = []

    def call(batch: Any) -> int:
        seen.append(int(batch["x"][0]))
        return 1000

    samples = collect(call, BATCHES, Sampling(32, 0.0, 5.0, 0.5))
    assert seen[samples.warmup_calls :][:16] == [*range(8), *range(8)]


def test_the_garbage_collector_rests_while_sampling_and_only_then() -> None:
    states: set[bool] = set()

    def call(batch: Any) -> int:
        states.add(gc.isenabled())
        return 1000

    collect(call, BATCHES, Sampling(30, 0.0, 5.0, 0.5))
    assert states == {False}
    assert gc.isenabled()


@given(st.lists(st.integers(1, 10**9), min_size=6, max_size=300))
def test_the_half_width_is_at_least_that_of_the_exact_binomial_interval(samples: list[int]) -> None:
    """The normal approximation must never claim more precision than there is (give or take one order statistic)."""
    ordered, n = sorted(samples), len(samples)
    k = int(stats.binom.ppf(0.025, n, 0.5))  # order statistics k and n + 1 - k, counted from one, hold 95 %
    low, high = ordered[k], ordered[n - 1 - k]
    exact_but_one = (high - low) / 2 / float(np.median(ordered))
    assert relative_half_width(samples) >= exact_but_one * (1 - 1e-12)


@pytest.mark.parametrize("n", [*range(6, 60), 100, 1000, 5000])
def test_the_normal_approximation_lacks_less_than_one_percent_of_the_exact_coverage(n: int) -> None:
    ranks = round(
        relative_half_width(range(1, n + 1)) * (n + 1)
    )  # of the ranks themselves: from the low to the high one
    first = (n - ranks + 1) // 2
    assert stats.binom.pmf(range(first, first + ranks), n, 0.5).sum() >= 0.94


@pytest.mark.parametrize("n", range(1, 6))
def test_fewer_than_six_samples_have_no_interval(n: int) -> None:
    assert relative_half_width([100] * n) == float("inf")


def test_equal_samples_have_no_width() -> None:
    assert relative_half_width([100] * 30) == 0


# --- memory ------------------------------------------------------------------------------------------------------------

linux = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's high-water mark")


def in_process(code: str) -> dict[str, int]:
    """Run ``code`` between two readings of a fresh process; what it says of its memory."""
    program = f"""
import json, mmap, time
from harness.worker import memory
restarted = memory.restart_peak()
before = memory.resident()
{code}
after = memory.resident()
print(json.dumps({{"restarted": restarted, "before": before.now_bytes, "now": after.now_bytes,
    "peak": after.peak_bytes, "anonymous": after.anonymous_bytes - before.anonymous_bytes}}))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)
    found: dict[str, int] = json.loads(done.stdout)
    if not found["restarted"]:
        pytest.skip("this kernel does not let the high-water mark start anew")
    return found


@linux
def test_what_is_allocated_and_touched_is_counted() -> None:
    found = in_process("held = bytearray(b'x') * (64 * 2**20)")
    assert abs(found["now"] - found["before"] - 64 * MIB) < 4 * MIB
    assert abs(found["anonymous"] - 64 * MIB) < 4 * MIB


@linux
def test_a_spike_of_a_millisecond_is_in_the_peak() -> None:
    found = in_process("spike = bytearray(b'x') * (64 * 2**20); time.sleep(0.001); del spike")
    assert found["peak"] - found["before"] > 60 * MIB
    assert found["now"] - found["before"] < 8 * MIB


@linux
def test_the_peak_starts_anew_for_each_phase() -> None:
    found = in_process("spike = bytearray(b'x') * (64 * 2**20); del spike; memory.restart_peak()")
    assert found["peak"] - found["before"] < 8 * MIB


@linux
def test_what_is_reserved_but_not_touched_is_not_counted() -> None:
    found = in_process("held = mmap.mmap(-1, 512 * 2**20)")
    assert found["peak"] - found["before"] < 8 * MIB


# --- noise -------------------------------------------------------------------------------------------------------------

BEFORE = Snapshot(total_s=100, busy_s=50, steal_s=1, own_s=10, throttled=3)


def noise(**changed: float) -> Noise:
    """Ten seconds of CPU time later, two of them ours; ``changed`` says what else came to pass."""
    quiet = {"total_s": 110.0, "busy_s": 52.0, "own_s": 12.0}
    return Noise.between(BEFORE, replace(BEFORE, **{**quiet, **changed}))  # type: ignore[arg-type]


def test_a_quiet_round_has_no_verdict() -> None:
    assert noise().verdict() is None


def test_our_own_work_is_not_noise() -> None:
    assert noise(busy_s=60.0, own_s=20.0).others_share == 0


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"throttled": 5}, "the CPU was throttled 2 times"),
        ({"steal_s": 1.5}, "5% of the CPU time was stolen by other machines"),
        ({"busy_s": 54.0}, "other processes used 20% of the CPUs"),
    ],
)
def test_a_noisy_round_says_what_disturbed_it(changed: dict[str, float], told: str) -> None:
    assert noise(**changed).verdict() == told


@pytest.mark.parametrize("changed", [{"steal_s": 1.2}, {"busy_s": 53.0}])
def test_a_share_at_its_limit_is_quiet(changed: dict[str, float]) -> None:
    assert noise(**changed).verdict() is None


def test_no_time_between_is_no_noise() -> None:
    assert Noise.between(BEFORE, BEFORE) == Noise(0.0, 0.0, 0)


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="needs /proc/stat")
def test_the_counters_of_the_machine_only_grow() -> None:
    before = Snapshot.take()
    sum(range(10**6))
    after = Snapshot.take()
    assert after.total_s >= before.total_s > 0
    assert after.own_s > before.own_s


def test_versions_leave_out_what_is_not_installed() -> None:
    assert set(versions(("no-such-distribution",))) == {"python", "numpy"}


# --- by hand -----------------------------------------------------------------------------------------------------------

MANIFEST = {
    "format": "hf",
    "precision": "fp32",
    "task": "image-classification",
    "weights": ["model.safetensors"],
    "passes": [],
    "provenance": ["made by a test"],
    "tools": {},
    "extra": {},
}


def worker(*arguments: str | Path, image: Path = ROOT / "images/runtimes/null") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "harness.worker", *map(str, arguments)]
    environment = {**os.environ, "MATRIX_IMAGE_DIR": str(image)}
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    """A hand-made artifact of ten classes, with inputs to time and twenty held-out images, two of them of class 0."""
    for part in ("workload", "evaluation"):
        (tmp_path / "data" / part).mkdir(parents=True)
    (tmp_path / "manifest.json").write_text(json.dumps(MANIFEST))
    (tmp_path / "config.json").write_text(json.dumps({"id2label": {str(i): str(i) for i in range(10)}}))
    (tmp_path / "model.safetensors").write_bytes(bytes(1234))
    images = np.zeros((20, 1, 8, 8), np.float32)
    _storage.save(tmp_path / "data" / "workload", {}, {"pixel_values": images[:8, None]})
    labels = np.arange(20) % 10
    _storage.save(tmp_path / "data" / "evaluation", {}, {"pixel_values": images, "labels": labels})
    return tmp_path


def test_an_artifact_is_measured_by_hand(artifact: Path) -> None:
    done = worker(artifact, "--seconds", "0.2")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("null on cpu,")
    assert "accuracy 0.1 [" in done.stdout


def test_json_is_the_whole_record(artifact: Path) -> None:
    record = json.loads(worker(artifact, "--seconds", "0.2", "--json").stdout)
    assert record["threads"] == cpus_allowed()
    assert record["weights_bytes"] == 1234
    assert len(record["latency"]["nanoseconds"]) >= 30
    assert list(record["phases"]) == ["import", "load", "first_inference", "steady"]
    assert (record["quality"]["value"], record["quality"]["examples"]) == (0.1, 20)


def test_quality_is_left_out_where_there_is_no_held_out_data(artifact: Path) -> None:
    (artifact / "data" / "evaluation").rename(artifact / "elsewhere")
    assert "quality  not measured" in worker(artifact, "--seconds", "0.2").stdout


def test_help_names_the_forms_and_shows_examples() -> None:
    done = worker("--help")
    assert done.returncode == 0
    assert "loads hf/fp32" in done.stdout
    assert "docker run --rm -v ./artifact:/artifact:ro IMAGE /artifact" in done.stdout


def told(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    return line


def test_a_folder_without_a_manifest_is_told_in_one_line(tmp_path: Path) -> None:
    assert "holds no manifest.json; make an artifact with `harness artifact" in told(worker(tmp_path))


def test_a_form_that_is_not_loaded_is_told_in_one_line(artifact: Path) -> None:
    (artifact / "manifest.json").write_text(json.dumps({**MANIFEST, "format": "gguf", "precision": "q4"}))
    assert "null does not load gguf/q4 on cpu; it loads hf/bf16, hf/fp16, hf/fp32" in told(worker(artifact))


def test_missing_inputs_are_told_in_one_line(artifact: Path) -> None:
    (artifact / "data" / "workload").rename(artifact / "elsewhere")
    assert "data/workload is missing" in told(worker(artifact))


def test_a_runtime_that_fails_is_one_line_and_exit_code_1(artifact: Path) -> None:
    (artifact / "config.json").unlink()
    done = worker(artifact)
    assert done.returncode == 1
    assert done.stderr.startswith("worker: crashed: FileNotFoundError")
    assert len(done.stderr.splitlines()) == 1


def test_no_artifact_is_wrong_usage() -> None:
    assert worker().returncode == 2


# --- as a step ---------------------------------------------------------------------------------------------------------


def step(
    folder: Path, artifact: Path, kind: str, data: str, runtime: str = "null", **options: Path
) -> tuple[int, dict[str, Any]]:
    folder.mkdir()
    spec = {"runtime": runtime, "device": "cpu", "sampling": {"max_seconds": 0.2, "min_seconds": 0.1}}
    (folder / "step.json").write_text(json.dumps({"kind": kind, "spec": spec, "seed": 0, "threads": 1}))
    inputs = ["--input", f"artifact={artifact}", "--input", f"data={artifact / 'data' / data}"]
    done = worker("--step", folder, *inputs, **options)
    return done.returncode, json.loads((folder / "status.json").read_text())


@pytest.mark.parametrize(("kind", "data"), [("measure", "workload"), ("evaluate", "evaluation")])
def test_a_step_leaves_its_record_and_says_ok(artifact: Path, tmp_path: Path, kind: str, data: str) -> None:
    code, status = step(tmp_path / "step", artifact, kind, data)
    assert (code, status["status"]) == (0, "ok")
    assert json.loads((tmp_path / "step" / "out" / "record.json").read_text())


def test_a_step_that_fails_says_why_in_its_status(artifact: Path, tmp_path: Path) -> None:
    (artifact / "config.json").unlink()
    code, status = step(tmp_path / "step", artifact, "measure", "workload")
    assert (code, status["status"]) == (1, "crashed")
    assert status["reason"].startswith("FileNotFoundError")


# --- one image, several runtimes ---------------------------------------------------------------------------------------

SEVERAL = """
import time
from dataclasses import replace
import numpy as np
from harness.cards import Form, RuntimeCard
from harness.worker.adapter import Unsupported

PLAIN = RuntimeCard("plain", "a runtime", (Form("hf"),), ("cpu",), "https://example.org")
CARDS = (PLAIN, replace(PLAIN, name="picky", mode="picky"), replace(PLAIN, name="strange", loads=(Form("strange"),)))

class Adapter:
    def __init__(self, device, threads, mode):
        self.mode = mode
    def load(self, artifact, manifest):
        if self.mode == "picky":
            raise Unsupported("this model's operator Frobnicate 7 is too new; it reads up to 6")
    def run(self, inputs):
        return {"logits": np.eye(10, dtype=np.float32)[:1]}
    def precision(self):
        return "fp32"
    def close(self):
        pass
"""


@pytest.fixture
def several(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("several")
    (folder / "adapter.py").write_text(SEVERAL)
    return folder


def test_by_hand_the_first_runtime_that_loads_the_artifact_is_taken(artifact: Path, several: Path) -> None:
    done = worker(artifact, "--seconds", "0.1", image=several)
    assert done.stdout.startswith("plain on cpu,"), done.stderr


def test_by_hand_a_runtime_can_be_named(artifact: Path, several: Path) -> None:
    done = worker(artifact, "--runtime", "picky", image=several)
    assert (done.returncode, done.stderr) == (
        1,
        "worker: unsupported: this model's operator Frobnicate 7 is too new; it reads up to 6\n",
    )


def test_a_form_that_another_runtime_of_the_image_loads_is_told(artifact: Path, several: Path) -> None:
    assert "strange does not load hf/fp32 on cpu; it loads strange/fp32" in told(
        worker(artifact, "--runtime", "strange", image=several)
    )


@pytest.mark.parametrize("kind", ["measure", "evaluate"])
def test_that_a_runtime_does_not_take_a_model_is_a_finding(
    artifact: Path, several: Path, tmp_path: Path, kind: str
) -> None:
    code, status = step(tmp_path / "step", artifact, kind, "workload", runtime="picky", image=several)
    assert (code, status["status"]) == (0, "ok")
    record = json.loads((tmp_path / "step" / "out" / "record.json").read_text())
    assert record == {"unsupported": "this model's operator Frobnicate 7 is too new; it reads up to 6"}
