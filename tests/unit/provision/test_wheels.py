"""The wheel cache, against a find-links folder with hand-made wheels: real pip, no network."""

import hashlib
import zipfile
from pathlib import Path

import pytest

from harness.errors import BuildFailed, EnvironmentProblem
from harness.provision.wheels import HOST, WheelCache, explain_pip, image_target, link


def make_wheel(folder: Path, name: str = "tiny", tag: str = "py3-none-any") -> Path:
    folder.mkdir(exist_ok=True)
    wheel = folder / f"{name}-1.0-{tag}.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(f"{name}.py", "")
        archive.writestr(f"{name}-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(f"{name}-1.0.dist-info/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n")
        archive.writestr(f"{name}-1.0.dist-info/RECORD", "")
    return wheel


def lock(folder: Path, *wheels: Path) -> Path:
    folder.mkdir(exist_ok=True)
    lines = [
        f"{w.name.split('-')[0]}==1.0 --hash=sha256:{hashlib.sha256(w.read_bytes()).hexdigest()}\n" for w in wheels
    ]
    (folder / "requirements.txt").write_text("".join(lines))
    return folder / "requirements.txt"


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that pip is configured to find wheels in, and nowhere else."""
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "shop"))
    return tmp_path / "shop"


def fetch(tmp_path: Path, requirements: Path, target=HOST) -> list[Path]:
    return WheelCache(tmp_path / "cache").fetch(requirements, target, lambda _: None)


def test_the_hosts_pip_configuration_is_honoured(tmp_path: Path, shop: Path) -> None:
    wheel = make_wheel(shop)
    assert [w.name for w in fetch(tmp_path, lock(tmp_path / "image", wheel))] == [wheel.name]


def test_wheels_that_are_there_are_not_fetched_again(tmp_path: Path, shop: Path) -> None:
    wheel = make_wheel(shop)
    requirements = lock(tmp_path / "image", wheel)
    fetch(tmp_path, requirements)
    wheel.unlink()
    said: list[str] = []
    assert WheelCache(tmp_path / "cache").fetch(requirements, HOST, said.append)
    assert not said


def test_a_damaged_wheel_is_fetched_again(tmp_path: Path, shop: Path) -> None:
    wheel = make_wheel(shop)
    requirements = lock(tmp_path / "image", wheel)
    (cached,) = fetch(tmp_path, requirements)
    cached.write_bytes(b"damaged")
    (again,) = fetch(tmp_path, requirements)
    assert again.read_bytes() == wheel.read_bytes()


def test_a_damaged_index_is_written_again(tmp_path: Path, shop: Path) -> None:
    requirements = lock(tmp_path / "image", make_wheel(shop))
    before = fetch(tmp_path, requirements)
    (index,) = (tmp_path / "cache" / "locks").iterdir()
    whole = index.read_text()
    index.write_text(whole[:-5])
    assert fetch(tmp_path, requirements) == before
    assert index.read_text() == whole


def test_two_locks_share_their_wheels(tmp_path: Path, shop: Path) -> None:
    first, second = make_wheel(shop), make_wheel(shop, "other")
    fetch(tmp_path, lock(tmp_path / "a", first))
    first.unlink()  # only the cache has it now
    fetch(tmp_path, lock(tmp_path / "b", tmp_path / "cache" / first.name, second))
    assert sorted(w.name for w in (tmp_path / "cache").glob("*.whl")) == [second.name, first.name]


def test_images_get_wheels_for_their_own_platform(tmp_path: Path, shop: Path) -> None:
    make_wheel(shop, tag="cp311-cp311-macosx_11_0_arm64")
    wanted = make_wheel(shop, tag="cp311-cp311-manylinux_2_28_aarch64")
    requirements = lock(tmp_path / "image", wanted)
    assert fetch(tmp_path, requirements, image_target("arm64")) == [tmp_path / "cache" / wanted.name]


def test_a_wheel_with_a_wrong_hash_is_refused(tmp_path: Path, shop: Path) -> None:
    wheel = make_wheel(shop)
    requirements = lock(tmp_path / "image", wheel)
    wheel.write_bytes(make_wheel(tmp_path / "elsewhere", "evil").read_bytes())
    with pytest.raises(BuildFailed, match="does not have the hash"):
        fetch(tmp_path, requirements)
    assert not list((tmp_path / "cache").glob("*.whl"))


def test_an_index_that_does_not_answer(tmp_path: Path, shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    requirements = lock(tmp_path / "image", make_wheel(tmp_path / "elsewhere"))
    with pytest.raises(EnvironmentProblem, match="no package index could be reached") as caught:
        fetch(tmp_path, requirements)
    assert "PIP_INDEX_URL" in str(caught.value.cure)


def test_a_missing_cpu_wheel_of_torch_names_the_setting(tmp_path: Path, shop: Path) -> None:
    shop.mkdir()
    requirements = tmp_path / "requirements.txt"
    requirements.write_text(f"torch==2.13.0+cpu --hash=sha256:{'0' * 64}\n")
    with pytest.raises(BuildFailed, match="CPU wheel") as caught:
        fetch(tmp_path, requirements)
    assert "PIP_EXTRA_INDEX_URL" in str(caught.value.cure)


def test_a_full_disk_is_named() -> None:
    problem = explain_pip("ERROR: Could not install: [Errno 28] No space left on device", Path("requirements.txt"))
    assert "disk is full" in str(problem)


def test_links_cost_no_space(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path / "shop")
    link([wheel], tmp_path / "context")
    assert (tmp_path / "context" / wheel.name).samefile(wheel)
