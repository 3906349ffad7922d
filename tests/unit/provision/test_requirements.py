"""A lock file is taken apart without losing a requirement, and put together without a stranger."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.catalog import Image, Layer, load_catalog
from harness.errors import UsageError
from harness.provision.requirements import entries, split

NAMES = st.sets(st.from_regex(r"[a-z][a-z0-9-]{0,8}", fullmatch=True), max_size=8)


SOME = load_catalog().images["runtimes/null"]


def lock(names: set[str], version: str = "1.0") -> str:
    pinned = (
        f"{name}=={version} \\\n    --hash=sha256:{len(name):064x} \\\n    --hash=sha256:0" for name in sorted(names)
    )
    return "# made by a tool\n" + "".join(f"{entry}\n" for entry in pinned)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("locks")
    for name in ("image", "layer"):
        (path / name).mkdir()
    return path


def image(folder: Path, own: str, shared: str) -> Image:
    (folder / "image" / "requirements.txt").write_text(own, "utf-8")
    (folder / "layer" / "requirements.txt").write_text(shared, "utf-8")
    return replace(SOME, path=folder / "image", layer=Layer("layers/some", folder / "layer", ()))


@given(own=NAMES, shared=NAMES)
def test_the_two_parts_are_the_whole(folder: Path, own: set[str], shared: set[str]) -> None:
    layer, rest = split(image(folder, lock(own | shared), lock(shared)))
    assert entries(layer) == entries(lock(shared))
    assert entries(rest) == entries(lock(own - shared))


def test_without_a_layer_everything_is_the_image_s_own(folder: Path) -> None:
    layer, rest = split(replace(image(folder, lock({"a", "b"}), ""), layer=None))
    assert layer == ""
    assert entries(rest) == entries(lock({"a", "b"}))


@pytest.mark.parametrize("own", [lock({"b"}), lock({"a", "b"}, "2.0")], ids=["absent", "another version"])
def test_a_requirement_of_the_layer_that_the_image_lacks_is_an_error(folder: Path, own: str) -> None:
    with pytest.raises(UsageError, match=r"a==1\.0 of layers/some is not locked here") as caught:
        split(image(folder, own, lock({"a"})))
    assert caught.value.cure == "harness lock layers/some runtimes/null"
