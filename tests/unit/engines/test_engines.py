"""The choice of an engine, and the engines without containers."""

import hashlib
import http.server
import json
import os
import socketserver
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from harness.contracts import values
from harness.contracts.step import StepDescription
from harness.engines.contract import Built, Outcome
from harness.engines.docker.endpoint import endpoint
from harness.engines.host.engine import HostEngine
from harness.engines.job import cpu_set
from harness.engines.process import ProcessEngine
from harness.engines.registry import choose
from harness.engines.venv.engine import VenvEngine
from harness.errors import BuildFailed, EnvironmentProblem
from tests.in_process import HERE
from tests.jobs import CODE, NULL, gone, job, job_of, kept, program


class FakeEngine(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"Version": "99.1", "ID": "1", "Runtimes": {}}).encode())

    def address_string(self) -> str:
        return "unix"

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def engine_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A socket at which something answers like a Docker Engine."""
    path = tmp_path / "docker.sock"
    monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
    with socketserver.UnixStreamServer(str(path), FakeEngine) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield path
        server.shutdown()


def test_auto_takes_docker_where_an_engine_answers(engine_socket: Path, tmp_path: Path) -> None:
    engine, reason = choose("auto", tmp_path)
    assert (engine.name, engine.version) == ("docker", "99.1")
    assert "99.1" in reason


def test_what_a_plan_asks_of_docker_does_not_import_its_sdk(
    engine_socket: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes a quarter of the second that a run with nothing to do may take."""
    monkeypatch.setitem(sys.modules, "docker", None)
    (place,) = choose("docker", tmp_path)[0].places()
    assert place.devices == {"cpu": None, "cuda": "the Docker Engine has no NVIDIA runtime (NVIDIA Container Toolkit)"}


def test_auto_falls_to_venv_where_no_engine_is_and_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nothing.sock")
    engine, reason = choose("auto", tmp_path)
    assert engine.name == "venv"
    assert "no Docker Engine answers" in reason
    assert engine.caveats


def test_docker_that_was_asked_for_is_never_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nothing.sock")
    with pytest.raises(EnvironmentProblem, match="no Docker Engine answers"):
        choose("docker", tmp_path)


@pytest.mark.parametrize("name", ["auto", "docker"])
def test_a_socket_without_permission_is_said_not_worked_around(engine_socket: Path, tmp_path: Path, name: str) -> None:
    for folder in engine_socket.relative_to("/").parents:
        Path("/", folder).chmod(Path("/", folder).stat().st_mode | stat.S_IXOTH) if folder.name else None
    engine_socket.chmod(0)
    was = os.geteuid()
    if was == 0:
        os.seteuid(65534)  # root may connect to anything
    try:
        with pytest.raises(EnvironmentProblem, match="may not use it") as caught:
            choose(name, tmp_path)
    finally:
        os.seteuid(was)
    assert "usermod -aG docker" in str(caught.value.cure)


def test_the_current_context_of_the_docker_command_is_honoured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    (tmp_path / "config.json").write_text('{"currentContext": "rootless"}')
    meta = tmp_path / "contexts/meta" / hashlib.sha256(b"rootless").hexdigest()
    meta.mkdir(parents=True)
    (meta / "meta.json").write_text('{"Endpoints": {"docker": {"Host": "unix:///run/user/1000/docker.sock"}}}')
    assert endpoint() == "unix:///run/user/1000/docker.sock"


def test_a_context_that_does_not_exist_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("DOCKER_CONTEXT", "nowhere")
    with pytest.raises(EnvironmentProblem, match="names the context 'nowhere', which docker does not have") as caught:
        choose("auto", tmp_path)
    assert "docker context ls" in str(caught.value.cure)


def test_ssh_without_its_package_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setenv("DOCKER_HOST", "ssh://somebody@somewhere")
    with pytest.raises(EnvironmentProblem, match="needs the package paramiko") as caught:
        choose("auto", tmp_path)
    assert "docker[ssh]" in str(caught.value.cure)


def test_the_default_context_is_the_default_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("DOCKER_CONTEXT", "default")
    assert endpoint() == "unix:///var/run/docker.sock"


# --- steps as processes: a script stands in for the interpreter -------------------------------------------------


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Outcome]:
    """Run a shell script as if it were the Python of an image."""

    def run(script: str, timeout_s: float = 60, engine: ProcessEngine | None = None, lines: list[str] | None = None):
        return (engine or HostEngine(tmp_path / "work")).run(
            job(tmp_path, script, timeout_s), (lines if lines is not None else []).append
        )

    return run


def test_what_a_step_prints_is_kept_and_handed_on(run: Callable[..., Outcome], tmp_path: Path) -> None:
    lines: list[str] = []
    outcome = run("echo one; echo two >&2; printf '10%%\\r20%%\\n'; exit 3", lines=lines)
    assert (outcome.exit_code, outcome.oom, outcome.timed_out) == (3, False, False)
    assert lines == ["one", "two", "20%"]
    assert kept(tmp_path).startswith("one\ntwo\n")


def test_a_step_gets_the_arguments_of_the_contract(run: Callable[..., Outcome], tmp_path: Path) -> None:
    lines: list[str] = []
    run('echo "$@"', lines=lines)
    assert lines == [f"-m harness.worker --step {tmp_path}/scratch/0/left --input artifact={tmp_path}/input"]


def test_a_step_sees_exactly_its_closure(run: Callable[..., Outcome]) -> None:
    lines: list[str] = []
    run('cd "$PYTHONPATH"; find . -name "*.py"; test "$MATRIX_IMAGE_DIR" = "$PYTHONPATH/image"', lines=lines)
    assert sorted(line.removeprefix("./") for line in lines) == sorted(CODE.files)
    assert "image/adapter.py" in CODE.files


def test_a_step_finds_its_description(run: Callable[..., Outcome]) -> None:
    lines: list[str] = []
    run("tr -d '\\n' < step.json", lines=lines)
    assert values.parse(StepDescription, json.loads(lines[0]), "step.json").kind == "measure"


def test_code_that_was_tampered_with_is_laid_out_anew(tmp_path: Path) -> None:
    main = tmp_path / "main.py"
    main.write_text("import os; print('honest', sorted(os.listdir(os.environ['PYTHONPATH'] + '/harness/worker')))")
    code = program(main)
    engine = HostEngine(tmp_path / "work")
    lines: list[str] = []

    def run() -> None:
        engine.run(job_of(tmp_path, Built(NULL, sys.executable, None), {}, engine, code=code), lines.append)

    run()
    (folder,) = (tmp_path / "work" / "code").glob("*/harness/worker")
    (byte_code,) = folder.glob("__pycache__/__main__*")
    for damage in (folder / "__main__.py", byte_code, folder / "more.py"):
        if damage.exists():
            damage.chmod(0o644)
        damage.write_text("print('tampered')")
        run()
    assert lines == ["honest ['__init__.py', '__main__.py', '__pycache__']"] * 4


def test_code_that_is_no_longer_what_was_planned_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "module.py"
    source.write_text("first")
    code = program(source)
    assert code.hash
    source.write_text("second edition")
    engine = HostEngine(tmp_path / "work")
    planned = job_of(tmp_path, Built(NULL, sys.executable, None), {}, engine, code=code)
    with pytest.raises(EnvironmentProblem, match="was changed after the plan was made"):
        engine.run(planned, lambda _: None)


def test_a_step_sees_no_secret_of_ours(run: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "s3cret")
    lines: list[str] = []
    run("env", lines=lines)
    assert not any("s3cret" in line for line in lines)


def test_a_step_runs_on_the_first_processors_only(run: Callable[..., Outcome]) -> None:
    lines: list[str] = []
    run("taskset -pc $$; echo $OMP_NUM_THREADS", lines=lines)
    assert lines[0].endswith(f": {cpu_set(1)}")
    assert lines[1] == "1"


def test_a_timeout_ends_the_step_and_its_children(run: Callable[..., Outcome], tmp_path: Path) -> None:
    outcome = run(f"sleep 600 & echo $! > {tmp_path}/child; wait", timeout_s=0.5)
    assert (outcome.timed_out, outcome.oom, outcome.exit_code) == (True, False, 137)
    assert gone(int((tmp_path / "child").read_text()))


def test_what_a_step_leaves_running_ends_with_it(run: Callable[..., Outcome], tmp_path: Path) -> None:
    run(f"sleep 600 & echo $! > {tmp_path}/child; exit 0")
    assert gone(int((tmp_path / "child").read_text()))


def test_a_kill_that_is_not_ours_is_taken_for_out_of_memory(run: Callable[..., Outcome]) -> None:
    outcome = run("kill -9 $$")
    assert (outcome.exit_code, outcome.oom) == (137, True)


def test_kill_ends_the_running_step(run: Callable[..., Outcome], tmp_path: Path) -> None:
    engine = HostEngine(tmp_path / "work")
    threading.Timer(0.3, engine.kill).start()
    outcome = run("sleep 60", engine=engine)
    assert (outcome.exit_code, outcome.oom, outcome.timed_out) == (137, False, False)


def test_the_printed_command_repeats_the_step(tmp_path: Path) -> None:
    engine = HostEngine(tmp_path / "work")
    printed = job(tmp_path, 'echo "$@"; env | grep -v MATRIX_JOB | sort')
    engine.run(printed, lambda _: None)
    done = subprocess.run(
        engine.command(printed), shell=True, capture_output=True, text=True, cwd=printed.left, check=True
    )
    assert done.stdout == kept(tmp_path)


# --- real environments ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work")


@pytest.mark.network
def test_a_virtual_environment_is_made_once_from_the_lock_file(work: Path) -> None:
    engine = VenvEngine(work)
    (here,) = engine.places()
    assert engine.missing(NULL, here)
    environment = engine.ensure(NULL, here, lambda _: None)
    assert not engine.missing(NULL, here)
    said: list[str] = []
    assert engine.ensure(NULL, here, said.append) == environment
    assert not said
    program = "import importlib.metadata as m; print(*sorted(f'{d.name}=={d.version}' for d in m.distributions()))"
    listed = subprocess.run([environment.reference, "-I", "-c", program], capture_output=True, text=True, check=True)
    assert listed.stdout.split() == sorted(NULL.packages)


@pytest.mark.network
def test_a_half_made_environment_is_made_anew(work: Path) -> None:
    engine = VenvEngine(work)
    (here,) = engine.places()
    environment = engine.ensure(NULL, here, lambda _: None)
    folder = Path(environment.reference).parent.parent
    (folder / ".complete").unlink()
    (folder / "bin" / "python").unlink()
    assert engine.missing(NULL, here)
    engine.ensure(NULL, here, lambda _: None)
    assert not engine.missing(NULL, here)


@pytest.mark.network
def test_the_code_of_a_step_runs_in_the_virtual_environment(work: Path, tmp_path: Path) -> None:
    engine = VenvEngine(work)
    main = tmp_path / "main.py"
    main.write_text("import sys, numpy; from pathlib import Path; print(sys.argv[1:], Path(__file__).parents[2].name)")
    code = program(main)
    environment = engine.ensure(NULL, engine.places()[0], lambda _: None)
    lines: list[str] = []
    inputs = {"artifact": tmp_path / "artifact"}
    engine.run(job_of(tmp_path, environment, inputs, engine, code=code), lines.append)
    assert lines == [
        f"['--step', '{tmp_path}/scratch/0/left', '--input', 'artifact={tmp_path}/artifact'] {code.hash[:24]}-cp311"
    ]


def test_the_host_engine_uses_what_is_installed(tmp_path: Path) -> None:
    assert HostEngine(tmp_path).ensure(NULL, HERE, lambda _: None).reference == sys.executable


def test_the_host_engine_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(BuildFailed) as caught:
        HostEngine(tmp_path).ensure(replace(NULL, smoke="import surely_not_there"), HERE, lambda _: None)
    assert "pip install" in str(caught.value.cure)
    assert "surely_not_there" in caught.value.log_tail
