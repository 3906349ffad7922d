"""Images, built for real: when they are built, what is in them and what is not."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import dedent
from typing import IO

import pytest

from harness.catalog import Image, load_catalog
from harness.catalog.closure import Closure, closure
from harness.engines.contract import Built, Place
from harness.engines.docker.engine import DockerEngine
from harness.errors import BuildFailed, EnvironmentProblem
from harness.provision.builds import Stopped
from harness.provision.images import LABEL, ImageBuilder, hand_reference, reference, remove_all, repository

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.docker


@dataclass
class Tree:
    """A copy of the tree of images that a test may edit, with one image in it."""

    root: Path

    @property
    def image(self) -> Image:
        return load_catalog(self.root).images[f"runtimes/{self.root.name}"]

    @property
    def code(self) -> Closure:
        """What is run by hand of the image."""
        return closure(["harness.worker.__main__"], [self.image.path / "adapter.py"], self.image.path)

    def edit(self, file: str, old: str, new: str) -> None:
        path = self.root / "runtimes" / self.root.name / file
        text = path.read_text("utf-8")
        assert old in text
        path.write_text(text.replace(old, new, 1))


@pytest.fixture(scope="module")
def tree(engine: DockerEngine, null: Built, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tree]:
    root = tmp_path_factory.mktemp(f"t{os.getpid()}-", numbered=True)
    shutil.copytree(ROOT / "images" / "base", root / "base")
    shutil.copytree(ROOT / "images" / "runtimes" / "null", root / "runtimes" / root.name)
    for name in ("Dockerfile", "Dockerfile.hand"):
        shutil.copy(ROOT / "images" / name, root)
    tree = Tree(root)
    name = repository(tree.image)
    yield tree
    client = engine.client
    for found in client.images.list(name=name):
        client.images.remove(found.id, force=True)
    client.images.prune({"dangling": True, "label": [f"{LABEL}.image=runtimes/{root.name}"]})


@pytest.fixture(scope="module")
def built(engine: DockerEngine, tree: Tree) -> Built:
    """The image of the tree, built while the host's pip knows a secret."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIP_CONFIG_FILE", "/dev/null") if "PIP_CONFIG_FILE" not in os.environ else None
        patch.setenv("PIP_TRUSTED_HOST", "s3cret.invalid")
        patch.setenv("HTTP_PROXY_PASSWORD", "s3cret")
        return engine.ensure(tree.image, here(engine), lambda _: None)


def here(engine: DockerEngine) -> Place:
    return engine.places()[0]


def layers(engine: DockerEngine, image: str) -> list[str]:
    return list(engine.client.images.get(image).attrs["RootFS"]["Layers"])


def test_an_image_says_what_it_was_made_from(engine: DockerEngine, tree: Tree, built: Built) -> None:
    config = engine.client.images.get(built.reference).attrs["Config"]
    labels = config["Labels"]
    assert labels[f"{LABEL}.environment-hash"] == tree.image.environment_hash
    assert labels["org.opencontainers.image.version"]
    assert config["User"] not in ("", "0", "root")


def test_nothing_is_built_twice(engine: DockerEngine, tree: Tree, built: Built) -> None:
    said: list[str] = []
    assert not engine.missing(tree.image, here(engine))
    assert engine.ensure(tree.image, here(engine), said.append).digest == built.digest
    assert not said


def test_images_share_the_layers_of_the_base(engine: DockerEngine, null: Built, built: Built) -> None:
    (base,) = {line for line in layers(engine, null.reference) if line in layers(engine, built.reference)} & set(
        layers(engine, "compression-matrix/base:latest")
    )
    assert layers(engine, null.reference)[0] == base


def test_a_change_of_code_rebuilds_no_environment(engine: DockerEngine, tree: Tree, built: Built) -> None:
    tree.edit("adapter.py", '"""No runtime', '"""Changed: no runtime')
    try:
        said: list[str] = []
        assert not engine.missing(tree.image, here(engine))
        assert engine.ensure(tree.image, here(engine), said.append).digest == built.digest
        assert not said
    finally:
        tree.edit("adapter.py", '"""Changed: no runtime', '"""No runtime')


def label(engine: DockerEngine, image: str, name: str) -> str | None:
    return engine.client.images.get(image).labels.get(f"{LABEL}.{name}")


def test_what_is_run_by_hand_gets_the_code_of_now_and_nothing_else_is_made(
    engine: DockerEngine, tree: Tree, built: Built
) -> None:
    name = hand_reference(tree.image)
    assert engine.refresh(tree.image, tree.code, here(engine), lambda _: None) == built
    first = engine.client.images.get(name).id
    assert label(engine, name, "code-hash") == tree.code.hash
    assert label(engine, built.reference, "code-hash") is None
    tree.edit("adapter.py", '"""No runtime', '"""Changed: no runtime')
    try:
        said: list[str] = []
        assert engine.refresh(tree.image, tree.code, here(engine), said.append) == built
        assert engine.client.images.get(name).id != first
        assert len(said) == 1
        assert label(engine, name, "code-hash") == tree.code.hash
        assert label(engine, name, "environment-hash") == tree.image.environment_hash
        assert layers(engine, name)[: len(layers(engine, built.reference))] == layers(engine, built.reference)
        show = ["docker", "run", "--rm", "--entrypoint", "cat", name, "/code/image/adapter.py"]
        assert "Changed: no runtime" in subprocess.run(show, capture_output=True, text=True, check=True).stdout
        dangling = {"dangling": True, "label": [f"{LABEL}.image={tree.image.name}", f"{LABEL}.code-hash"]}
        assert not engine.client.images.list(filters=dangling)  # the former one is gone
    finally:
        tree.edit("adapter.py", '"""Changed: no runtime', '"""No runtime')
    engine.refresh(tree.image, tree.code, here(engine), lambda _: None)
    context = engine.work / "contexts" / f"{tree.image.slug}.hand"
    assert not list(context.rglob("*.whl"))


def test_no_wheel_and_no_secret_is_in_any_layer(engine: DockerEngine, built: Built, tmp_path: Path) -> None:
    image = engine.client.images.get(built.reference)
    assert "s3cret" not in json.dumps(image.attrs) + json.dumps(image.history())
    with (tmp_path / "image.tar").open("wb") as file:
        file.writelines(image.save())
    names: list[str] = []
    with tarfile.open(tmp_path / "image.tar") as outer:
        for member in outer:
            content = outer.extractfile(member)
            if content is not None and is_tar(content):
                with tarfile.open(fileobj=content) as layer:
                    names += layer.getnames()
    assert any(name.endswith("numpy/__init__.py") for name in names)
    own = [name for name in (n.removeprefix("./") for n in names) if not name.startswith("usr/")]  # of Debian's own pip
    assert not [name for name in own if name.endswith(".whl") or name.startswith("build/")]
    assert not [name for name in own if name.rsplit("/", 1)[-1] in ("pip.conf", ".netrc", "auth.conf", ".pypirc")]
    assert b"s3cret" not in (tmp_path / "image.tar").read_bytes()


def is_tar(file: IO[bytes]) -> bool:
    found = tarfile.is_tarfile(file)
    file.seek(0)
    return found


def test_a_build_by_hand_makes_the_same_image(engine: DockerEngine, tree: Tree, built: Built) -> None:
    context = engine.work / "contexts" / f"runtimes-{tree.root.name}"
    tag = f"{repository(tree.image)}:by-hand"
    subprocess.run(["docker", "build", "--quiet", "--tag", tag, str(context)], check=True, capture_output=True)
    assert label(engine, tag, "environment-hash") == tree.image.environment_hash
    assert layers(engine, tag) == layers(engine, built.reference)


def other(image: Image, digit: str, smoke: str) -> Image:
    """The image with another last step of its build, and so another environment."""
    changed = replace(image, smoke=smoke)
    object.__setattr__(changed, "environment_hash", digit * 64)
    return changed


def test_a_failing_smoke_import_fails_the_build(engine: DockerEngine, tree: Tree, built: Built) -> None:
    broken = other(tree.image, "0", "import surely_not_there")
    with pytest.raises(BuildFailed) as caught:
        engine.ensure(broken, here(engine), lambda _: None)
    assert "surely_not_there" in caught.value.log_tail
    assert not engine.client.images.list(name=reference(broken))


INTERRUPTED = """
    import signal
    import sys
    from dataclasses import replace
    from pathlib import Path
    sys.path.insert(0, {root!r})
    from harness.catalog import load_catalog
    from harness.engines.registry import choose

    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job starts with it ignored
    engine, _ = choose("docker", Path({work!r}))
    image = replace(load_catalog(Path({images!r})).images[{name!r}], smoke="import time; time.sleep(300)")
    object.__setattr__(image, "environment_hash", "f" * 64)
    print("start", flush=True)
    engine.ensure(image, engine.places()[0], print)
"""


def test_an_interrupted_build_leaves_no_tag(engine: DockerEngine, tree: Tree, built: Built) -> None:
    name = tree.image.name
    program = INTERRUPTED.format(root=str(ROOT), work=str(engine.work), images=str(tree.root), name=name)
    log = engine.work / "logs" / f"build-{name.replace('/', '-')}.log"
    log.unlink(missing_ok=True)
    with subprocess.Popen([sys.executable, "-c", dedent(program)], stderr=subprocess.DEVNULL) as builder:
        try:
            until(lambda: log.exists() and running(engine, "smoke.py"))
            builder.send_signal(signal.SIGINT)
            builder.wait(30)
        finally:
            builder.kill()
    until(lambda: not running(engine, "smoke.py"))
    assert not engine.client.images.list(name=f"{repository(tree.image)}:{'f' * 12}")


def test_kill_ends_the_build_under_way_and_no_later_one(engine: DockerEngine, tree: Tree, built: Built) -> None:
    talk = "import time\nfor i in range(3000):\n    print(i, flush=True)\n    time.sleep(0.1)"
    slow = other(tree.image, "e", talk)

    def kill() -> None:
        until(lambda: running(engine, "smoke.py"))
        engine.kill()

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(Stopped):
        engine.ensure(slow, here(engine), lambda _: None)
    killer.join()
    until(lambda: not running(engine, "smoke.py"))
    assert engine.ensure(other(tree.image, "d", "print('later')"), here(engine), lambda _: None).digest


def running(engine: DockerEngine, word: str) -> bool:
    return any(word in found["Command"] for found in engine.client.api.containers(all=True))


def until(condition: Callable[[], bool]) -> None:
    for _ in range(600):
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError("waited in vain")


def test_a_base_that_no_registry_gives_names_the_other_way(engine: DockerEngine, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM registry.invalid/python:3.11\n")
    (tmp_path / "debootstrap.sh").write_text("")
    with pytest.raises(EnvironmentProblem, match="no image registry answers") as caught:
        ImageBuilder(engine.client, engine.work).ensure_base(tmp_path, lambda _: None)
    assert "nox -s base" in str(caught.value.cure)


def test_a_dry_run_of_removing_counts_our_images_and_leaves_them(engine: DockerEngine, null: Built) -> None:
    told = remove_all(engine.client, dry_run=True)
    assert told["count"] >= 3  # the base, the null runtime on it, and what is run of it by hand
    assert told["bytes"] >= engine.client.images.get(null.reference).attrs["Size"]
    assert engine.client.images.get(null.reference).id == null.digest
    assert engine.client.images.get("compression-matrix/base:latest")


def test_every_image_of_the_tree_has_a_dockerfile_of_the_common_subset() -> None:
    for image in load_catalog().images.values():
        text = image.dockerfile.read_text("utf-8")
        assert "--mount" not in text
        assert "<<" not in text
        assert not text.lower().startswith("# syntax")
        assert f'{LABEL}.image="${{IMAGE}}"' in text
