"""A Docker Engine that is reached over TCP shares no disk with us: inputs go there by their content, outputs come back."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import pytest

from harness.contracts.files import hash_of, hash_tree
from harness.engines import takeover
from harness.engines.contract import Built, Job
from harness.engines.docker.engine import DockerEngine
from harness.engines.docker.remote import VOLUME_LABEL, RemoteDockerEngine
from harness.engines.registry import choose
from harness.engines.transfer import PlainShelf
from tests.jobs import job_of, program

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def address(engine: DockerEngine) -> Iterator[str]:
    """A port that leads to this machine's engine, as one on another machine would be reached."""
    server = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=_serve, args=(server, engine.host.removeprefix("unix://")), daemon=True).start()
    yield f"tcp://127.0.0.1:{server.getsockname()[1]}"
    server.close()


def _serve(server: socket.socket, path: str) -> None:
    while True:
        try:
            client, _ = server.accept()
        except OSError:
            return
        there = socket.socket(socket.AF_UNIX)
        there.connect(path)
        for one, other in ((client, there), (there, client)):
            threading.Thread(target=_pump, args=(one, other), daemon=True).start()


def _pump(one: socket.socket, other: socket.socket) -> None:
    try:
        while data := one.recv(65536):
            other.sendall(data)
        other.shutdown(socket.SHUT_WR)
    except OSError:
        pass


@pytest.fixture(scope="module")
def remote(address: str, tmp_path_factory: pytest.TempPathFactory) -> RemoteDockerEngine:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_HOST", address)
        found, reason = choose("docker", tmp_path_factory.mktemp("work"))
    assert address in reason
    assert isinstance(found, RemoteDockerEngine)
    return found


Make = Callable[..., Job]


@pytest.fixture
def make(remote: RemoteDockerEngine, null: Built, tmp_path: Path) -> Make:
    def make(text: str, inputs: dict[str, Path] | None = None) -> Job:
        (tmp_path / "main.py").write_text(dedent(text))
        return job_of(tmp_path, null, inputs or {}, remote, code=program(tmp_path / "main.py"))

    return make


COPY = """
    import json, os, shutil, sys
    from pathlib import Path
    print("progress 0.5 copying", flush=True)
    shutil.copytree("/inputs/artifact", "/step/out" if Path("/step").exists() else "/job/step/out")
    Path("/job/step/status.json").write_text(json.dumps({"status": "ok", "uid": os.getuid(), "arguments": sys.argv[1:]}))
    try:
        Path("/inputs/artifact/x").write_text("")
    except OSError:
        print("read-only")
"""


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    """Weights that no other test has."""
    folder = tmp_path / "artifact"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "weights.bin").write_bytes(str(tmp_path).encode() * 100)
    (folder / "deep" / "weights.bin").chmod(0o600)
    return folder


def volumes(remote: RemoteDockerEngine) -> set[str]:
    found = remote.client.api.volumes({"label": VOLUME_LABEL})["Volumes"] or []
    return {volume["Name"] for volume in found}


@pytest.fixture
def swept(remote: RemoteDockerEngine, artifact: Path) -> Iterator[None]:
    yield
    name = volume_of(artifact)
    if name in volumes(remote):
        remote.client.api.remove_volume(name)


def volume_of(folder: Path) -> str:
    return f"compression-matrix-{hash_of(hash_tree(folder))[:32]}"


@pytest.mark.usefixtures("swept")
def test_inputs_go_there_and_outputs_come_back(
    remote: RemoteDockerEngine, make: Make, artifact: Path, tmp_path: Path
) -> None:
    job = make(COPY, {"artifact": artifact})
    lines: list[str] = []
    outcome = remote.run(replace(job, measures=True), lines.append)
    assert (outcome.exit_code, lines) == (0, ["progress 0.5 copying", "read-only"])
    assert outcome.energy is not None
    assert "another machine" in str(outcome.energy.reason)
    takeover.take_tree(job.left, "out", tmp_path / "taken", job.bounds)
    assert hash_tree(tmp_path / "taken") == hash_tree(artifact)
    status = json.loads((job.left / "status.json").read_text())
    assert status["uid"] == 10001
    assert status["arguments"] == ["--step", "/job/step", "--input", "artifact=/inputs/artifact"]


@pytest.mark.usefixtures("swept")
def test_no_path_of_this_disk_is_mounted_there(remote: RemoteDockerEngine, make: Make, artifact: Path) -> None:
    job = make("pass", {"artifact": artifact})
    assert "type=bind" not in remote.command(job)
    assert str(artifact.parent) not in remote.command(job)
    assert "docker cp" in remote.by_hand(job.built, job.code, job.limits, "null", "cpu")


@pytest.mark.usefixtures("swept")
def test_an_input_is_sent_once_and_again_only_where_it_is_damaged(
    remote: RemoteDockerEngine, make: Make, artifact: Path
) -> None:
    sent: list[str] = []

    class Shelf(PlainShelf):
        def folder(self, key: str) -> Path:
            sent.append(key)
            return super().folder(key)

    def run(engine: RemoteDockerEngine) -> None:
        job = make("print(open('/inputs/artifact/deep/weights.bin').read(4), flush=True)", {"artifact": artifact})
        lines: list[str] = []
        assert engine.run(replace(job, shelf=Shelf({"artifact": artifact})), lines.append).exit_code == 0
        assert lines == [str(artifact)[:4]]

    def session() -> RemoteDockerEngine:
        return RemoteDockerEngine(remote.work, remote.host, remote.version)

    run(remote)
    run(remote)
    run(session())
    assert sent == ["artifact"]
    damage = ["docker", "run", "--rm", "-v", f"{volume_of(artifact)}:/v", "--user", "0", "--entrypoint", "sh"]
    job = make("pass")
    subprocess.run([*damage, job.built.reference, "-c", "echo x > /v/deep/weights.bin"], check=True)
    run(session())
    assert sent == ["artifact"] * 2


@pytest.mark.parametrize(
    ("attack", "found"),
    [
        ("os.symlink('/etc/shadow', '/job/step/out/x')", "a link: out/x"),
        ("os.rmdir('/job/step/out'); os.symlink('/etc', '/job/step/out')", "a link: out"),
        ("os.mkfifo('/job/step/out/x')", "no file: out/x"),
        ("open('/job/step/out/a', 'w'); os.link('/job/step/out/a', '/job/step/out/b')", "a hard link: out/b"),
        ("os.makedirs('/job/step/out/' + '/'.join('d' * 40))", "more than 32 deep"),
        ("open(b'/job/step/out/\\xff', 'w')", "not UTF-8"),
        ("os.symlink('/etc/shadow', '/job/step/status.json')", "a link: status.json"),
    ],
)
def test_what_is_hostile_is_refused_on_its_way_back(
    remote: RemoteDockerEngine, make: Make, attack: str, found: str
) -> None:
    job = make(f"import os\nos.mkdir('/job/step/out')\n{attack}")
    with pytest.raises(takeover.Refused, match=found):
        remote.run(job, lambda _: None)
    takeover.remove(job.left.parent)
    assert not job.left.exists()


def test_a_step_leaves_no_volume_of_its_own(remote: RemoteDockerEngine, make: Make) -> None:
    def unnamed() -> set[str]:
        found = remote.client.api.volumes({"dangling": True})["Volumes"] or []
        return {volume["Name"] for volume in found if not volume["Name"].startswith("compression-matrix")}

    before = unnamed()
    remote.run(make("pass"), lambda _: None)
    assert unnamed() <= before


def test_the_place_is_the_machine_that_the_engine_tells_of(remote: RemoteDockerEngine) -> None:
    (place,) = remote.places()
    assert place.machine.id != ""
    assert place.machine.cpu_count == remote.client.info()["NCPU"]
    named = RemoteDockerEngine(remote.work, remote.host, remote.version, "lab").places()[0].machine
    assert (named.name, named.id == place.machine.id) == ("lab", False)
