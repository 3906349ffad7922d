"""What a container leaves, prints and fills, against a real Docker Engine."""

from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import pytest

from harness.engines import takeover
from harness.engines.contract import Built
from harness.engines.docker.engine import DockerEngine
from tests.docker.in_container import Run, prepare, taken

pytestmark = pytest.mark.docker

ATTACKS = {
    "link": ("Path('/step/out/x').symlink_to({secret!r})", "a link: out/x"),
    "linked-out": ("Path('/step/out').rmdir(); Path('/step/out').symlink_to({outside!r})", "a link: out"),
    "linked-record": ("Path('/step/out/record.json').symlink_to({secret!r})", "a link: out/record.json"),
    "fifo": ("os.mkfifo('/step/out/record.json')", "a FIFO"),
    "hard-link": ("Path('/step/out/a').touch(); os.link('/step/out/a', '/step/out/b')", "a hard link"),
    "sparse": ("[open(f'/step/out/{{n}}', 'wb').truncate(200 * 2**30) for n in range(2)]", "MATRIX_OUTPUT_BYTES"),
    "many": ("[Path(f'/step/out/{{n}}').touch() for n in range(1001)]", "MATRIX_OUTPUT_FILES"),
    "not-utf-8": ("open(b'/step/out/\\xff', 'wb')", "not UTF-8"),
}
PLANTED = """
    for name in ("receipt.json.tmp", ".receipt.json.partial", "receipt.json", "status.json.tmp", "log.txt", "step.json.tmp"):
        Path("/step", name).symlink_to({secret!r})
"""


@pytest.mark.parametrize("name", ATTACKS)
def test_a_container_cannot_reach_a_file_of_this_machine_by_what_it_leaves(
    engine: DockerEngine, null: Built, tmp_path: Path, name: str
) -> None:
    secret = tmp_path / "outside" / "key"
    secret.parent.mkdir(mode=0o700)
    secret.write_text("s3cret")
    secret.chmod(0o600)
    attack, found = ATTACKS[name]
    text = "import os\nfrom pathlib import Path\nPath('/step/out').mkdir(exist_ok=True)\n" + dedent(PLANTED) + attack
    job = prepare(engine, tmp_path, null, text.format(secret=str(secret), outside=str(secret.parent)))
    job = replace(job, bounds=replace(job.bounds, entries=1000))
    outcome = engine.run(job, lambda _: None)
    assert outcome.exit_code == 0, job.log.read_text("utf-8")
    (tmp_path / "step").mkdir()
    takeover.take_file(job.left, "status.json", tmp_path / "step" / "status.json", 1000)
    with pytest.raises(takeover.Refused, match=found):
        taken(job, tmp_path / "step" / "out")
    takeover.remove(job.left.parent)
    assert not job.left.exists()
    assert secret.read_text() == "s3cret"
    assert (secret.stat().st_mode & 0o777, secret.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert not list((tmp_path / "step" / "out").iterdir())


def test_a_container_that_prints_without_end_fills_no_disk_and_no_memory(run: Run, tmp_path: Path) -> None:
    lines: list[str] = []
    outcome = run("import sys\nfor _ in range(1000): sys.stdout.write('x' * 2**17)", lines=lines)
    assert outcome.exit_code == 0
    assert (tmp_path / "log.txt").stat().st_size < 9 * 2**20
    assert sum(map(len, lines)) <= 4096


MIB = 2**20
FILLS = {
    "step": ("open(f'/step/out/{n}', 'wb').write(bytes(2**20))", "MATRIX_OUTPUT_BYTES"),
    "scratch": ("open(f'/step/tmp/{n}', 'wb').write(bytes(2**20))", "MATRIX_OUTPUT_BYTES"),
    "entries": ("open(f'/step/{n}', 'wb')", "MATRIX_OUTPUT_FILES"),
}


@pytest.mark.parametrize("name", FILLS)
def test_a_container_that_fills_its_folder_is_ended_while_it_runs(
    engine: DockerEngine, null: Built, tmp_path: Path, name: str
) -> None:
    fill, setting = FILLS[name]
    program_ = (
        f"import itertools, os, time\nos.makedirs('/step/out')\nfor n in itertools.count(): {fill}; time.sleep(0.005)"
    )
    job = prepare(engine, tmp_path, null, program_)
    outcome = engine.run(replace(job, bounds=replace(job.bounds, bytes=32 * MIB, entries=200)), lambda _: None)
    assert setting in str(outcome.exceeded)
    assert (outcome.oom, outcome.timed_out) == (False, False)


@pytest.mark.parametrize(
    ("path", "number"), [("/tmp/x", 28), ("/dev/shm/x", 28), ("/step/out/x", 27)], ids=["tmp", "shm", "file"]
)
def test_everything_else_that_a_container_can_fill_has_a_size(
    engine: DockerEngine, null: Built, tmp_path: Path, path: str, number: int
) -> None:
    text = f"""
        import os
        os.makedirs("/step/out")
        try:
            with open({path!r}, "wb") as file:
                for _ in range(32):
                    file.write(bytes(2**20))
        except OSError as error:
            print(error.errno, os.stat({path!r}).st_size)
    """
    job = prepare(engine, tmp_path, null, text)
    sizes = {"tmp_bytes": 8 * MIB, "shm_bytes": 16 * MIB, "bytes": 24 * MIB}
    lines: list[str] = []
    engine.run(replace(job, bounds=replace(job.bounds, **sizes)), lines.append)
    most = sizes[{"tmp": "tmp_bytes", "dev": "shm_bytes", "step": "bytes"}[path.split("/")[1]]]
    assert lines == [f"{number} {most}"]
