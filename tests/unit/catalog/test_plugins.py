"""Folders from elsewhere join the catalog; a name that is there already is refused with both places."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness import tasks, zoo
from harness.catalog import load_catalog, places, plugins
from harness.errors import EnvironmentProblem, UsageError

datasets = importlib.import_module("harness.zoo.datasets")  # harness.zoo has a function of this name

ADAPTER = """
from harness.contracts.cards import Form, RuntimeCard
CARDS = (RuntimeCard("{name}", "a runtime", (Form("hf"),), ("cpu",), "https://example.org"),)
"""
IMAGE = "{summary: tiny, packages: [tiny==1.0], smoke: import tiny, disk_mb: 1, build_s: 1}"
DATASET = """
TASK, SOURCES = "text-generation", {}
def rows(split, sources):
    return [{"text": "a"}]
"""


def runtime(images: Path, folder: str, name: str) -> Path:
    """A folder of images with one runtime."""
    here = images / "runtimes" / folder
    here.mkdir(parents=True)
    (here / "adapter.py").write_text(ADAPTER.format(name=name))
    (here / "image.yaml").write_text(IMAGE)
    (here / "requirements.txt").write_text("tiny==1.0")
    return images


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Path]]:
    """Make a package with a plug-in's entry point importable; what it adds to our packages is taken back."""
    monkeypatch.syspath_prepend(str(tmp_path))
    for package in (tasks, datasets):
        monkeypatch.setattr(package, "__path__", list(package.__path__))
    before = set(sys.modules)

    def make(name: str, module: str | None = None) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "__init__.py").write_text("raise RuntimeError('a plug-in is not imported')")
        info = tmp_path / f"{name}-1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
        (info / "entry_points.txt").write_text(f"[{plugins.GROUP}]\n{name} = {module or name}\n")
        return folder

    yield make
    for name in set(sys.modules) - before:
        if name.startswith("harness."):
            del sys.modules[name]


def test_images_of_a_folder_join_ours_and_share_our_dockerfile_and_base(tmp_path: Path) -> None:
    catalog = plugins.load([runtime(tmp_path / "mine", "tiny", "tiny")])
    image = catalog.runtimes["tiny"].image
    assert set(catalog.images) == {*load_catalog().images, "runtimes/tiny"}
    assert image.dockerfile == places.images() / "Dockerfile"
    assert image.base == places.images() / "base"


def test_the_hash_of_an_image_does_not_depend_on_where_its_folder_lies(tmp_path: Path) -> None:
    one, two = (runtime(tmp_path / name, "tiny", "tiny") for name in ("one", "two"))
    assert (
        plugins.load([one]).images["runtimes/tiny"].environment_hash
        == plugins.load([two]).images["runtimes/tiny"].environment_hash
    )


def test_a_folder_of_images_leaves_our_own_as_they_are(tmp_path: Path) -> None:
    ours = {name: image.environment_hash for name, image in load_catalog().images.items()}
    more = plugins.load([runtime(tmp_path, "tiny", "tiny")]).images
    assert {name: more[name].environment_hash for name in ours} == ours


@pytest.mark.parametrize(
    ("folder", "name", "problem"),
    [
        ("onnxruntime", "tiny", "the image 'runtimes/onnxruntime' is there twice"),
        ("tiny", "onnxruntime", "the runtime 'onnxruntime' is there twice"),
    ],
)
def test_a_name_that_is_taken_is_refused_with_both_places(tmp_path: Path, folder: str, name: str, problem: str) -> None:
    runtime(tmp_path, folder, name)
    with pytest.raises(UsageError, match=problem) as refused:
        plugins.load([tmp_path])
    assert str(places.images() / "runtimes" / "onnxruntime") in refused.value.problem
    assert str(tmp_path / "runtimes" / folder) in refused.value.problem


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no images"):
        plugins.load([tmp_path])


def test_an_installed_plug_in_adds_images_and_modules_without_being_imported(install: Callable[[str], Path]) -> None:
    folder = install("mine_one")
    runtime(folder / "images", "tiny", "tiny-installed")
    (folder / "zoo" / "datasets").mkdir(parents=True)
    (folder / "zoo" / "datasets" / "my_texts.py").write_text(DATASET)
    assert "tiny-installed" in plugins.load().runtimes
    assert "my-texts" in zoo.datasets()
    assert zoo.dataset("my-texts").rows("train", {}) == [{"text": "a"}]
    plugins.load()  # a second time adds nothing twice
    assert list(datasets.__path__).count(str(folder / "zoo" / "datasets")) == 1


def test_a_plug_in_s_module_of_a_name_of_ours_is_refused_with_both_files(install: Callable[[str], Path]) -> None:
    folder = install("mine_two")
    (folder / "tasks").mkdir()
    (folder / "tasks" / "text_generation.py").write_text("")
    with pytest.raises(UsageError, match=r"the module of harness\.tasks 'text_generation' is there twice") as refused:
        plugins.load()
    assert str(Path(*tasks.__path__) / "text_generation") in refused.value.problem
    assert str(folder / "tasks" / "text_generation.py") in refused.value.problem


def test_a_plug_in_whose_package_is_gone_is_named_with_what_to_do(
    install: Callable[[str, str | None], Path],
) -> None:
    install("mine_three", "no_such_package")
    with pytest.raises(EnvironmentProblem, match="names 'no_such_package'") as refused:
        plugins.load()
    assert refused.value.cure == "install it again, or remove it: pip uninstall mine_three"
