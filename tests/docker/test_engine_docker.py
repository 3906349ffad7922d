"""Steps in containers, against a real Docker Engine: limits, isolation, endings, and the null runtime."""

import json
import os
import shutil
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import pytest

from harness.catalog import load_catalog
from harness.contracts import values
from harness.contracts.record import RuntimeRecord
from harness.contracts.step import MachineName, StepDescription, StepStatus
from harness.engines import takeover
from harness.engines.contract import Built
from harness.engines.docker.engine import DockerEngine
from harness.engines.docker.labels import RUN_LABEL, run_label
from harness.engines.transfer import PlainShelf
from harness.matrix.keys import runtime_code
from harness.provision.images import hand_reference
from tests.docker.in_container import LIMITS, MEMORY, Run, prepare, taken
from tests.jobs import job_of, program

pytestmark = pytest.mark.docker

ROOT = Path(__file__).parents[2]
ARTIFACT = {"format": "hf", "precision": "fp32", "task": "image-classification", "weights": ["model.safetensors"]}
ARTIFACT |= {"call": "forward", "modality": "image", "auto_class": "AutoModelForImageClassification"}


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
        "write_code": attempt(lambda: Path("/code/harness/worker/__main__.py").write_text("")),
        "write_description": attempt(lambda: Path("/step/step.json").write_text("")),
        "remove_description": attempt(lambda: Path("/step/step.json").unlink()),
        "description": json.loads(Path("/step/step.json").read_text()),
        "code": sorted(str(path.relative_to("/code")) for path in Path("/code").rglob("*.py")),
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
def report(engine: DockerEngine, null: Built, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a step sees of its container."""
    folder = tmp_path_factory.mktemp("report")
    job = prepare(engine, folder, null, REPORT)
    outcome = engine.run(job, lambda _: None)
    assert outcome.exit_code == 0, job.log.read_text("utf-8")
    return json.loads((taken(job, folder / "taken") / "report.json").read_text("utf-8"))


def test_the_limits_are_really_set(report: dict[str, Any]) -> None:
    assert report["memory"] == MEMORY
    assert report["cpus"] == sorted(os.sched_getaffinity(0))[:1]
    assert 0 < report["pids"] <= 4096
    assert report["environment"]["OMP_NUM_THREADS"] == "1"


def test_there_is_no_network(report: dict[str, Any]) -> None:
    assert report["interfaces"] == ["lo"]
    assert report["connect"].startswith("OSError")


def test_the_root_and_the_inputs_are_read_only(report: dict[str, Any]) -> None:
    assert report["write_root"] == report["write_input"] == report["write_code"] == "OSError 30"
    assert report["run_from_tmp"] == "worked"


def test_what_a_step_is_to_do_is_told_and_cannot_be_changed(report: dict[str, Any]) -> None:
    assert report["description"]["kind"] == "measure"
    assert report["write_description"].startswith(("OSError", "PermissionError"))
    assert report["remove_description"].startswith(("OSError", "PermissionError"))


def test_a_step_has_the_code_of_its_closure_and_no_other(report: dict[str, Any]) -> None:
    assert report["code"] == ["harness/__init__.py", "harness/worker/__init__.py", "harness/worker/__main__.py"]
    assert report["environment"]["PYTHONPATH"] == "/code"
    assert report["environment"]["MATRIX_IMAGE_DIR"] == "/code/image"


def test_nobody_is_root_and_no_capability_is_left(report: dict[str, Any]) -> None:
    assert report["uid"] != 0
    assert int(report["capabilities"], 16) == int(report["bounding"], 16) == 0
    assert report["no_new_privileges"] == "1"
    assert not report["docker_socket"]


def test_an_init_is_the_first_process(report: dict[str, Any]) -> None:
    assert "init" in report["init"] or "tini" in report["init"]


def test_the_arguments_are_those_of_the_contract(report: dict[str, Any]) -> None:
    assert report["arguments"] == ["--step", "/step", "--input", "probe=/inputs/probe"]


def test_a_conversions_temporary_files_lie_on_the_disk(engine: DockerEngine, null: Built, tmp_path: Path) -> None:
    toolchain = replace(null, image=load_catalog().images["toolchains/torch"])
    text = """
        import tempfile
        with tempfile.NamedTemporaryFile() as file:
            print(file.name)
    """
    (tmp_path / "main.py").write_text(dedent(text))
    code = program(tmp_path / "main.py")
    files = {name.replace("worker", "toolchain"): file for name, file in code.files.items()}
    lines: list[str] = []
    assert engine.run(replace(job_of(tmp_path, toolchain, {}, engine), code=replace(code, files=files)), lines.append)
    assert lines[0].startswith("/step/tmp/")


def test_the_printed_command_repeats_the_step(engine: DockerEngine, null: Built, tmp_path: Path) -> None:
    job = prepare(engine, tmp_path, null, REPORT)
    engine.run(job, lambda _: None)
    ours = job.left / "out" / "report.json"
    first = json.loads(ours.read_text("utf-8"))
    shutil.rmtree(job.left / "out")
    subprocess.run(engine.command(job), shell=True, check=True)
    second = json.loads(ours.read_text("utf-8"))
    for seen in (first, second):
        del seen["environment"]["HOSTNAME"]
    assert first == second


@pytest.mark.parametrize("name", ["a:b", "a,b", "a b"])
def test_a_step_runs_wherever_the_work_folder_lies(
    name: str, engine: DockerEngine, null: Built, tmp_path: Path
) -> None:
    folder = tmp_path / name
    folder.mkdir()
    there = DockerEngine(folder / "work", engine.host, engine.version)
    job = prepare(there, folder, null, "print('here')")
    assert there.run(job, lambda _: None).exit_code == 0
    assert job.log.read_text() == "here\n"
    subprocess.run(there.command(job), shell=True, check=True)


def test_what_a_step_prints_is_kept_and_handed_on(run: Run, tmp_path: Path) -> None:
    lines: list[str] = []
    outcome = run("import sys; print('one'); print('two', file=sys.stderr); sys.exit(3)", lines=lines)
    assert outcome == replace(outcome, exit_code=3, oom=False, timed_out=False)
    assert sorted(lines) == ["one", "two"]
    assert sorted((tmp_path / "log.txt").read_text("utf-8").splitlines()) == ["one", "two"]


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


def test_a_container_that_somebody_removes_was_killed(
    engine: DockerEngine, null: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be gone before it is looked at, so here it always is."""
    job = prepare(engine, tmp_path, null, "print('here'); import time; time.sleep(600)")
    wait = engine.client.api.wait

    def wait_until_it_is_gone(container: str, timeout: float) -> Any:
        engine.client.api.remove_container(container, force=True)
        return wait(container, timeout=timeout)

    def remove(line: str) -> None:
        (found,) = engine.client.api.containers(filters={"label": f"{RUN_LABEL}={run_label()}"})
        engine.client.api.kill(found["Id"])

    monkeypatch.setattr(engine.client.api, "wait", wait_until_it_is_gone)
    outcome = engine.run(job, remove)
    assert (outcome.exit_code, outcome.oom, outcome.timed_out) == (137, False, False)


def test_no_container_is_left_behind(engine: DockerEngine, run: Run) -> None:
    run("pass")
    assert not engine.client.api.containers(all=True, filters={"label": f"{RUN_LABEL}={run_label()}"})


ORPHAN = """
    import sys
    from pathlib import Path
    sys.path.insert(0, {root!r})
    from harness.engines.contract import Built
    from harness.engines.registry import choose
    from tests.jobs import NULL, job_of, program

    folder = Path({folder!r})
    engine, _ = choose("docker", folder)
    job = job_of(folder, Built(NULL, {reference!r}, None), {{}}, engine, code=program(folder / "main.py"))
    engine.run(job, lambda line: print(line, flush=True))
"""


def test_containers_of_a_dead_run_are_reaped(engine: DockerEngine, null: Built, tmp_path: Path) -> None:
    engine.reap()  # what dead runs left on this machine before
    (tmp_path / "main.py").write_text("import time; print('here', flush=True); time.sleep(600)")
    text = dedent(ORPHAN.format(root=str(ROOT), folder=str(tmp_path), reference=null.reference))
    with subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "here\n"
        labelled = {"label": f"{RUN_LABEL}={run_label(owner.pid)}"}
        assert len(engine.client.api.containers(filters=labelled)) == 1
        engine.reap()
        assert len(engine.client.api.containers(filters=labelled)) == 1  # its run is alive
        owner.kill()
    assert engine.reap() >= 1
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
    engine: DockerEngine, null: Built, artifact: Path, tmp_path: Path
) -> None:
    runtime, here = load_catalog().runtimes["null"], engine.places()[0]
    sampling = {"min_samples": 30, "min_seconds": 0.1, "max_seconds": 2.0, "precision": 0.5}
    spec = {"runtime": "null", "device": "cpu", "sampling": sampling}
    machine = MachineName(here.machine.id, here.machine.name)
    job = replace(
        job_of(tmp_path, null, {}, engine),
        code=runtime_code("measure", runtime.module, runtime.image, "image-classification"),
        description=StepDescription("measure", spec, 0, 1, machine),
        inputs={"artifact": "artifact", "data": "data"},
        shelf=PlainShelf({"artifact": artifact, "data": artifact / "data" / "workload"}),
        limits=replace(LIMITS, memory_bytes=2**29),
        measures=True,
    )
    outcome = engine.run(job, lambda _: None)
    assert outcome.exit_code == 0, job.log.read_text("utf-8")
    assert outcome.energy is not None
    assert outcome.energy.joules is not None or outcome.energy.reason
    assert takeover.take_file(job.left, "status.json", tmp_path / "status.json", 10_000)
    assert values.read(StepStatus, tmp_path / "status.json").status == "ok"
    record = values.read(RuntimeRecord, taken(job, tmp_path / "taken") / "record.json")
    assert record.measurement is not None
    assert record.measurement.machine.id == here.machine.id
    assert len(record.measurement.latency.nanoseconds) >= 30


def test_one_artifact_is_measured_by_hand(null: Built, artifact: Path) -> None:
    volume = f"{artifact}:/artifact:ro"
    command = ["docker", "run", "--rm", "-v", volume, hand_reference(null.image), "/artifact", "--seconds", "1"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "latency" in done.stdout
    record = json.loads(subprocess.run([*command, "--json"], capture_output=True, text=True, check=True).stdout)
    assert "1000" in json.dumps(record)
