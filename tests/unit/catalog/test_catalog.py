"""Folders become images, variants, runtimes and compiled packages; what does not keep its contract is told with its file."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from harness.catalog import load_catalog, places
from harness.errors import UsageError
from harness.provision.requirements import entries

ADAPTER = """
from dataclasses import replace
from harness.contracts.cards import Form, RuntimeCard
EAGER = RuntimeCard("tiny", "a runtime", (Form("hf"),), ("cpu", "cuda"), "https://example.org")
CARDS = (EAGER, replace(EAGER, name="tiny-fast", mode="fast"), replace(EAGER, name="other", variant="other"))
"""
PASS = """
from harness.contracts.cards import CostsBy, Form, Parameter, PassCard
TYPE = Parameter("a", "the type")
CARD = PassCard("less", "a pass", (Form("hf"),), "https://example.org", costs="int8", parameters={"type": TYPE})
"""
EXPORTER = """
from harness.contracts.cards import ExporterCard, Form
CARD = ExporterCard("other", "an exporter", (Form("hf"),), Form("other"), "https://example.org", modalities=("text",))
"""
IMAGE = """
summary: tiny
packages: [tiny==1.0]
smoke: import tiny
disk_mb: 1
build_s: 1
layer: small
variants:
  gpu: {summary: tiny on GPUs, packages: [tiny-gpu==1.0], smoke: import tiny, disk_mb: 2, build_s: 2}
  other: {summary: the other tiny, packages: [other==1.0], smoke: import other, disk_mb: 3, build_s: 3, compiled: [other]}
"""
TOOLCHAIN = "summary: tools\npackages: [tiny-tools==1.0]\nsmoke: import tiny\ndisk_mb: 1\nbuild_s: 1\n"
LAYER = "summary: shared\npackages: [tiny==1.0]\n"
WHEEL = "packages: [other==1.0, make==1.0]\nsystem: [g++]\nbuild_s: 60\n"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    files = {
        "base/Dockerfile": "FROM scratch",
        "runtimes/tiny/adapter.py": ADAPTER,
        "runtimes/tiny/image.yaml": IMAGE,
        "runtimes/tiny/requirements.txt": "tiny==1.0",
        "runtimes/tiny/requirements.gpu.txt": "tiny-gpu==1.0",
        "runtimes/tiny/requirements.other.txt": "other==1.0",
        "toolchains/tiny/image.yaml": TOOLCHAIN,
        "toolchains/tiny/passes/less.py": PASS,
        "toolchains/tiny/exporters/other.py": EXPORTER,
        "toolchains/tiny/requirements.txt": "tiny-tools==1.0",
        "layers/small/layer.yaml": LAYER,
        "layers/small/requirements.txt": "tiny==1.0 --hash=sha256:1",
        "wheels/other/wheel.yaml": WHEEL,
        "wheels/other/build.sh": "true",
        "wheels/other/requirements.txt": "other==1.0",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(textwrap.dedent(text))
    return tmp_path


def test_one_folder_offers_several_runtimes_in_several_images(tree: Path) -> None:
    catalog = load_catalog(tree)
    assert {name: runtime.image.name for name, runtime in catalog.runtimes.items()} == {
        "tiny": "runtimes/tiny",
        "tiny-fast": "runtimes/tiny",
        "other": "runtimes/tiny.other",
    }
    assert catalog.images["runtimes/tiny.gpu"].requirements.name == "requirements.gpu.txt"


def test_a_gpu_s_cells_run_in_the_gpu_variant(tree: Path) -> None:
    catalog = load_catalog(tree)
    runtime = catalog.runtimes["tiny-fast"]
    assert catalog.image_of(runtime, "cuda").name == "runtimes/tiny.gpu"
    assert catalog.image_of(runtime, "cpu").name == "runtimes/tiny"
    assert (
        catalog.image_of(catalog.runtimes["other"], "cuda").name == "runtimes/tiny.other"
    )  # it has no variant of its own


def hashes(tree: Path) -> dict[str, str]:
    return {name: image.environment_hash for name, image in load_catalog(tree).images.items()}


@pytest.mark.parametrize(
    ("file", "image"),
    [
        ("runtimes/tiny/requirements.gpu.txt", "runtimes/tiny.gpu"),
        ("runtimes/tiny/requirements.txt", "runtimes/tiny"),
        ("wheels/other/build.sh", "runtimes/tiny.other"),
        ("layers/small/requirements.txt", "runtimes/tiny"),
    ],
)
def test_an_image_depends_on_its_own_lock_on_its_layer_and_on_what_is_compiled_for_it(
    tree: Path, file: str, image: str
) -> None:
    before = hashes(tree)
    (tree / file).write_text("changed")
    assert {name for name, found in hashes(tree).items() if found != before[name]} == {image}


def test_what_it_costs_to_build_does_not_make_another_image(tree: Path) -> None:
    before = hashes(tree)
    text = (tree / "runtimes/tiny/image.yaml").read_text()
    (tree / "runtimes/tiny/image.yaml").write_text(text.replace("build_s: 1\n", "build_s: 9\n", 1))
    assert hashes(tree) == before


def test_a_missing_lock_is_told_with_the_command_that_makes_it(tree: Path) -> None:
    (tree / "runtimes/tiny/requirements.gpu.txt").unlink()
    image = load_catalog(tree).images["runtimes/tiny.gpu"]
    with pytest.raises(UsageError, match=r"requirements\.gpu\.txt is missing") as caught:
        _ = image.environment_hash
    assert caught.value.cure == "harness lock runtimes/tiny.gpu"


@pytest.mark.parametrize(
    ("file", "old", "new", "told"),
    [
        ("runtimes/tiny/image.yaml", "smoke: import tiny\n", "", "'smoke' is missing"),
        ("runtimes/tiny/image.yaml", "  other:", "  another:", "names the variant 'other'"),
        ("runtimes/tiny/adapter.py", "CARDS =", "CARD =", "has no CARDS of type RuntimeCard"),
        ("wheels/other/wheel.yaml", "system: [g++]\n", "", "'system' is missing"),
        ("wheels/other/wheel.yaml", "system: [g++]", "system: [g++", "wheel.yaml: not valid YAML: while parsing"),
        ("layers/small/layer.yaml", LAYER, "tiny==1.0", "layer.yaml: expected a mapping"),
        ("runtimes/tiny/image.yaml", "layer: small", "layer: large", "names 'large', which is not below images/layers"),
        ("runtimes/tiny/adapter.py", "mode=", "calls=('guess',), mode=", "'tiny-fast' names the unknown call 'guess'"),
        ("toolchains/tiny/passes/less.py", ', costs="int8"', "", "its PassCard is not right: missing .* 'costs'"),
        ("toolchains/tiny/passes/less.py", "costs=", "tasks=(), costs=", "its PassCard is not right: got .* 'tasks'"),
        ("toolchains/tiny/passes/less.py", '"int8"', '"nothing"', "'less' names the unknown tolerance 'nothing'"),
        ("toolchains/tiny/passes/less.py", '"int8"', 'CostsBy("bits", {})', "names the unknown parameter 'bits'"),
        ("toolchains/tiny/passes/less.py", '"int8"', 'CostsBy("type", {"q": "q"})', "names the unknown tolerance 'q'"),
        ("toolchains/tiny/exporters/other.py", '"text"', '"smell"', "'other' names the unknown modality 'smell'"),
    ],
)
def test_a_broken_contract_is_told_with_its_file(tree: Path, file: str, old: str, new: str, told: str) -> None:
    text = (tree / file).read_text()
    assert old in text
    (tree / file).write_text(text.replace(old, new, 1))
    with pytest.raises(UsageError, match=told) as caught:
        load_catalog(tree)
    assert str(tree / file) in str(caught.value)


def test_an_image_without_a_dockerfile_takes_that_of_all_images(tree: Path) -> None:
    assert load_catalog(tree).images["runtimes/tiny"].dockerfile == places.images() / "Dockerfile"
    (tree / "Dockerfile").write_text("FROM base")
    assert load_catalog(tree).images["runtimes/tiny"].dockerfile == tree / "Dockerfile"
    before = hashes(tree)
    (tree / "runtimes/tiny/Dockerfile").write_text("FROM another")
    assert load_catalog(tree).images["runtimes/tiny"].dockerfile == tree / "runtimes/tiny/Dockerfile"
    assert {name for name, found in hashes(tree).items() if found != before[name]} >= {"runtimes/tiny"}
    assert hashes(tree)["toolchains/tiny"] == before["toolchains/tiny"]


def test_images_that_hold_all_of_a_layer_share_it() -> None:
    """Else the same packages would be installed and stored once more."""
    catalog = load_catalog()
    for layer in catalog.layers.values():
        packages = set(entries(layer.requirements.read_text("utf-8")))
        holding = [
            image
            for image in catalog.images.values()
            if packages <= set(entries(image.requirements.read_text("utf-8")))
        ]
        assert len(holding) > 1
        assert all(image.layer == layer for image in holding)
