"""Steps in containers, against a real Docker Engine: limits, isolation, endings, and the null runtime."""

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import pytest

from harness.catalog import load_catalog
from harness.engines import Environment, Job, Limits, Outcome
from harness.engines.docker import RUN_LABEL, DockerEngine, run_label
from harness.provision.images import LABEL

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.docker

MEMORY = 96 * 2**20
LIMITS = Limits(cpus=1, memory_bytes=MEMORY, timeout_s=60)
ARTIFACT = {"format": "hf", "precision": "fp32", "task": "image-classification", "weights": ["model.safetensors"]}


@pytest.fixture(scope="session")
def probe(engine: DockerEngine, null: Environment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    """The null image, but its entry point is whatever a test mounts at /inputs/probe."""
    context = tmp_path_factory.mktemp("probe")
    (context / "Dockerfile").write_text(f'FROM {null.reference}\nENTRYPOINT ["python", "/inputs/probe/main.py"]\n')
    tag = f"compression-matrix-test/probe:{os.getpid()}"
    engine.client.images.build(path=str(context), tag=tag, rm=True)
    yield replace(null, reference=tag)
    engine.client.images.remove(tag, force=True)


def prepare(folder: Path, probe: Environment, program: str, timeout_s: float = 60) -> Job:
    (folder / "step").mkdir()
    (folder / "probe").mkdir()
    (folder / "probe" / "main.py").write_text(dedent(program))
    return Job(probe, folder / "step", {"probe": folder / "probe"}, replace(LIMITS, timeout_s=timeout_s))


Run = Callable[..., Outcome]


@pytest.fixture
def run(engine: DockerEngine, probe: Environment, tmp_path: Path) -> Run:
    def run(program: str, timeout_s: float = 60, lines: list[str] | None = None) -> Outcome:
        job = prepare(tmp_path, probe, program, timeout_s)
        return engine.run(job, (lines if lines is not None else []).append)

    return run


REPORT = """
    import json, os, socket, sys, urllib.request
    from pathlib import Path

    def attempt(action):
        try:
            action()
        except OSError as error:
            return type(error).__name__ + " " + str(error.errno)
        return "worked"

    def memory_limit():
        for name in ("memory/memory.limit_in_bytes", "memory.max"):
            if (file := Path("/sys/fs/cgroup", name)).exists():
                return int(file.read_text())

    def pids_limit():
        for name in ("pids/pids.max", "pids.max"):
            if (file := Path("/sys/fs/cgroup", name)).exists():
                return int(file.read_text())

    def run_from_tmp():
        Path("/tmp/x").write_text("#!/bin/sh\\n")
        os.chmod("/tmp/x", 0o755)
        import subprocess
        subprocess.run(["/tmp/x"], check=True)

    status = dict(line.split(":\\t", 1) for line in Path("/proc/self/status").read_text().splitlines())
    report = {
        "memory": memory_limit(),
        "pids": pids_limit(),
        "cpus": sorted(os.sched_getaffinity(0)),
        "uid": os.getuid(),
        "interfaces": sorted(name for _, name in socket.if_nameindex()),
        "connect": attempt(lambda: socket.create_connection(("192.0.2.1", 80), 2)),
        "capabilities": status["CapEff"], "bounding": status["CapBnd"],
        "no_new_privileges": status["NoNewPrivs"],
        "init": Path("/proc/1/comm").read_text().strip(),
        "write_root": attempt(lambda: Path("/opt/x").write_text("")),
        "write_input": attempt(lambda: Path("/inputs/probe/x").write_text("")),
        "run_from_tmp": attempt(run_from_tmp),
        "arguments": sys.argv[1:],
        "environment": dict(os.environ),
        "docker_socket": Path("/var/run/docker.sock").exists(),
    }
    Path("/step/out").mkdir()
    Path("/step/out/report.json").write_text(json.dumps(report))
"""


@pytest.fixture(scope="session")
def report(engine: DockerEngine, probe: Environment, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a step sees of its container."""
    job = prepare(tmp_path_factory.mktemp("report"), probe, REPORT)
    outcome = engine.run(job, lambda _: None)
    assert outcome.exit_code == 0, (job.step / "log.txt").read_text("utf-8")
    return json.loads((job.step / "out" / "report.json").read_text("utf-8"))


def test_the_limits_are_really_set(report: dict[str, Any]) -> None:
    assert report["memory"] == MEMORY
    assert report["cpus"] == sorted(os.sched_getaffinity(0))[:1]
    assert 0 < report["pids"] <= 4096
    assert report["environment"]["OMP_NUM_THREADS"] == "1"


def test_there_is_no_network(report: dict[str, Any]) -> None:
    assert report["interfaces"] == ["lo"]
    assert report["connect"].startswith("OSError")


def test_the_root_and_the_inputs_are_read_only(report: dict[str, Any]) -> None:
    assert report["write_root"] == report["write_input"] == "OSError 30"
    assert report["run_from_tmp"] == "worked"


def test_nobody_is_root_and_no_capability_is_left(report: dict[str, Any]) -> None:
    assert report["uid"] != 0
    assert int(report["capabilities"], 16) == int(report["bounding"], 16) == 0
    assert report["no_new_privileges"] == "1"
    assert not report["docker_socket"]


def test_an_init_is_the_first_process(report: dict[str, Any]) -> None:
    assert "init" in report["init"] or "tini" in report["init"]


def test_the_arguments_are_those_of_the_contract(report: dict[str, Any]) -> None:
    assert report["arguments"] == ["--step", "/step", "--input", "probe=/inputs/probe"]


def test_a_conversions_temporary_files_lie_on_the_disk_and_go_with_it(
    engine: DockerEngine, probe: Environment, tmp_path: Path
) -> None:
    toolchain = replace(probe, image=load_catalog().images["toolchains/torch"])
    program = """
        import tempfile
        from pathlib import Path
        with tempfile.NamedTemporaryFile() as file:
            Path("/step/out").write_text(file.name)
    """
    job = prepare(tmp_path, toolchain, program)
    assert engine.run(job, lambda line: None).exit_code == 0
    assert (job.step / "out").read_text().startswith("/step/tmp/")
    assert not (job.step / "tmp").exists()


def test_the_printed_command_repeats_the_step(engine: DockerEngine, probe: Environment, tmp_path: Path) -> None:
    job = prepare(tmp_path, probe, REPORT)
    engine.run(job, lambda _: None)
    ours = job.step / "out" / "report.json"
    first = json.loads(ours.read_text("utf-8"))
    shutil.rmtree(job.step / "out")
    subprocess.run(engine.command(job), shell=True, check=True)
    second = json.loads(ours.read_text("utf-8"))
    for seen in (first, second):
        del seen["environment"]["HOSTNAME"]
    assert first == second


def test_what_a_step_prints_is_kept_and_handed_on(run: Run, tmp_path: Path) -> None:
    lines: list[str] = []
    outcome = run("import sys; print('one'); print('two', file=sys.stderr); sys.exit(3)", lines=lines)
    assert outcome == replace(outcome, exit_code=3, oom=False, timed_out=False)
    assert sorted(lines) == ["one", "two"]
    assert sorted((tmp_path / "step" / "log.txt").read_text("utf-8").splitlines()) == ["one", "two"]


def test_a_timeout_kills(run: Run) -> None:
    outcome = run("import time; time.sleep(600)", timeout_s=1)
    assert (outcome.timed_out, outcome.oom) == (True, False)
    assert outcome.exit_code != 0
    assert outcome.seconds < 30


def test_out_of_memory_is_recognised(run: Run) -> None:
    outcome = run("hold = bytearray(512 * 2**20)")
    assert (outcome.oom, outcome.exit_code, outcome.timed_out) == (True, 137, False)


def test_a_process_that_kills_itself_is_not_out_of_memory(run: Run) -> None:
    outcome = run("import os; os.kill(os.getpid(), 9)")
    assert (outcome.oom, outcome.exit_code) == (False, 137)


def test_kill_ends_the_running_step(engine: DockerEngine, run: Run) -> None:
    threading.Timer(1.5, engine.kill).start()
    outcome = run("import time; time.sleep(600)")
    assert (outcome.timed_out, outcome.oom) == (False, False)
    assert outcome.exit_code != 0


def test_no_container_is_left_behind(engine: DockerEngine, run: Run) -> None:
    run("pass")
    assert not engine.client.api.containers(all=True, filters={"label": f"{RUN_LABEL}={run_label()}"})


ORPHAN = """
    import sys
    from pathlib import Path
    sys.path.insert(0, {root!r})
    from harness.catalog import load_catalog
    from harness.engines import Environment, Job, Limits, choose

    engine, _ = choose("docker", Path({folder!r}))
    image = load_catalog().images["runtimes/null"]
    step = Path({folder!r}) / "step"
    job = Job(Environment(image, {reference!r}, None), step, {{"probe": Path({folder!r}) / "probe"}}, Limits(1, {memory}, 60))
    engine.run(job, lambda line: print(line, flush=True))
"""


def test_containers_of_a_dead_run_are_reaped(engine: DockerEngine, probe: Environment, tmp_path: Path) -> None:
    engine.reap()  # what dead runs left on this machine before
    job = prepare(tmp_path, probe, "import time; print('here', flush=True); time.sleep(600)")
    program = ORPHAN.format(root=str(ROOT), folder=str(tmp_path), reference=probe.reference, memory=MEMORY)
    with subprocess.Popen([sys.executable, "-c", dedent(program)], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "here\n"
        labelled = {"label": f"{LABEL}.step={job.step.name}", "ancestor": probe.reference}
        assert len(engine.client.api.containers(filters=labelled)) == 1
        assert engine.reap() == 0  # its run is alive
        owner.kill()
    assert engine.reap() == 1
    assert not engine.client.api.containers(all=True, filters=labelled)


# --- the null runtime, for real -----------------------------------------------------------------------------------


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    """A whole artifact with its inputs, as ``docker run IMAGE /artifact`` takes it."""
    folder = tmp_path / "artifact"
    (folder / "data" / "workload").mkdir(parents=True)
    manifest = {**ARTIFACT, "passes": [], "provenance": [], "tools": {}, "extra": {}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "config.json").write_text(json.dumps({"id2label": {str(n): str(n) for n in range(10)}}))
    (folder / "model.safetensors").write_bytes(b"\0" * 1000)
    facts = {"task": ARTIFACT["task"], "workload": {"batch": 1, "image_size": 8}}
    (folder / "data" / "workload" / "data.json").write_text(json.dumps(facts))
    np.savez_compressed(folder / "data" / "workload" / "data.npz", pixel_values=np.ones((8, 1, 1, 8, 8), np.float32))
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return folder


def test_a_measuring_step_ends_with_a_status_and_a_record(
    engine: DockerEngine, null: Environment, artifact: Path, tmp_path: Path
) -> None:
    step = tmp_path / "step"
    step.mkdir()
    sampling = {"min_samples": 30, "min_seconds": 0.1, "max_seconds": 2.0, "precision": 0.5}
    spec = {"runtime": "null", "device": "cpu", "sampling": sampling}
    (step / "step.json").write_text(json.dumps({"kind": "measure", "spec": spec, "seed": 0, "threads": 1}))
    inputs = {"artifact": artifact, "data": artifact / "data" / "workload"}
    outcome = engine.run(Job(null, step, inputs, replace(LIMITS, memory_bytes=2**29)), lambda _: None)
    assert outcome.exit_code == 0, (step / "log.txt").read_text("utf-8")
    assert json.loads((step / "status.json").read_text("utf-8"))["status"] == "ok"
    assert len(json.loads((step / "out" / "record.json").read_text("utf-8"))["latency"]["nanoseconds"]) >= 30


def test_one_artifact_is_measured_by_hand(null: Environment, artifact: Path) -> None:
    volume = f"{artifact}:/artifact:ro"
    command = ["docker", "run", "--rm", "-v", volume, null.reference, "/artifact", "--seconds", "1"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "latency" in done.stdout
    record = json.loads(subprocess.run([*command, "--json"], capture_output=True, text=True, check=True).stdout)
    assert record["weights_bytes"] == 1000
