"""Sources against the real thing: a hub on loopback spoken to by huggingface_hub, and the configured package index."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.errors import SourceError
from harness.matrix.source import parse
from harness.sources import fetch
from tests.integration.tiny_hub import COMMIT, TinyHub

SAFE = {
    "config.json": b"{}",
    "model.safetensors": b"weights",
    "tokenizer/vocab.txt": b"a\nb\n",
    "README.md": b"read me",
}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TinyHub]:
    server = TinyHub()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    yield server
    server.shutdown()
    server.server_close()


def take(text: str, out: Path, *, trust: bool = False, say: list[str] | None = None) -> dict[str, object]:
    log: list[str] = [] if say is None else say
    return fetch(parse(text), out, base=out.parent, cache=out.parent / "cache", trust=trust, say=log.append)


def test_a_snapshot_holds_what_a_model_needs_and_names_its_commit(hub: TinyHub, tmp_path: Path) -> None:
    hub.repositories["org/tiny"] = SAFE
    said: list[str] = []
    facts = take("hf:org/tiny", tmp_path / "out", say=said)

    assert (tmp_path / "out" / "model.safetensors").read_bytes() == b"weights"
    assert (tmp_path / "out" / "tokenizer" / "vocab.txt").read_bytes() == b"a\nb\n"
    assert not (tmp_path / "out" / "README.md").exists()
    assert facts["commit"] == COMMIT
    assert facts["url"] == f"{hub.url}/org/tiny/tree/{COMMIT}"
    assert facts["files"] == 3
    assert "can move" in str(facts["notes"])
    assert COMMIT[:12] in said[0]


def test_a_pinned_commit_needs_no_warning_and_is_transferred_once(hub: TinyHub, tmp_path: Path) -> None:
    hub.repositories["org/tiny"] = SAFE
    assert take(f"hf:org/tiny@{COMMIT}", tmp_path / "out")["notes"] == []
    take(f"hf:org/tiny@{COMMIT}", tmp_path / "again")
    assert sorted(hub.downloads) == ["config.json", "model.safetensors", "tokenizer/vocab.txt"]


def test_a_repository_of_pickles_is_refused_before_anything_is_transferred(hub: TinyHub, tmp_path: Path) -> None:
    hub.repositories["org/pickled"] = {"config.json": b"{}", "weights.pt": b"pickle"}
    with pytest.raises(SourceError, match=r"weights\.pt can run code"):
        take("hf:org/pickled", tmp_path / "out")
    assert hub.downloads == []
    assert take("hf:org/pickled", tmp_path / "trusted", trust=True)["files"] == 2


def test_pickles_and_code_beside_safetensors_stay_on_the_hub(hub: TinyHub, tmp_path: Path) -> None:
    hub.repositories["org/both"] = {**SAFE, "pytorch_model.bin": b"pickle", "modeling.py": b"code"}
    facts = take("hf:org/both", tmp_path / "out")
    assert not {"pytorch_model.bin", "modeling.py"} & set(hub.downloads)
    assert "modeling.py, pytorch_model.bin" in str(facts["notes"])


def test_a_hub_cannot_write_outside_the_folder(hub: TinyHub, tmp_path: Path) -> None:
    hub.repositories["org/evil"] = {**SAFE, "../../evil.json": b"{}"}
    with pytest.raises(SourceError, match="unsafe entry"):
        take("hf:org/evil", tmp_path / "out")
    assert not list(tmp_path.rglob("evil.json"))


def test_two_files_that_break_off_are_there_whole_or_not_at_all(hub: TinyHub, tmp_path: Path) -> None:
    weights = bytes(range(256)) * 4096
    hub.repositories["org/large"] = {**SAFE, "model.safetensors": weights, "other.safetensors": weights[::-1]}
    hub.cut = dict.fromkeys(("model.safetensors", "other.safetensors"), 1_000)
    with pytest.raises(SourceError):
        take("hf:org/large", tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())
    assert hub.cut["model.safetensors"] < 1_000

    hub.cut.clear()
    take("hf:org/large", tmp_path / "out")
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == weights
    assert (tmp_path / "out" / "other.safetensors").read_bytes() == weights[::-1]


def test_a_file_that_the_cache_has_cut_short_is_not_taken(hub: TinyHub, tmp_path: Path) -> None:
    hub.repositories["org/tiny"] = SAFE
    take("hf:org/tiny", tmp_path / "out")
    (kept,) = (tmp_path / "hub-cache").rglob("snapshots/*/model.safetensors")
    kept.resolve().unlink()  # the first fetch took it over by a link: another file takes its place
    kept.resolve().write_bytes(b"wei")
    with pytest.raises(SourceError, match="has 3 bytes, and the hub says 7"):
        take("hf:org/tiny", tmp_path / "again")
    assert not list((tmp_path / "again").iterdir())


def test_a_repository_larger_than_the_limit_is_told_before_anything_is_transferred(
    hub: TinyHub, tmp_path: Path
) -> None:
    hub.repositories["org/tiny"] = SAFE
    hub.sizes["model.safetensors"] = 3 * 10**12
    with pytest.raises(SourceError, match=r"3,000\.0 GB"):
        take("hf:org/tiny", tmp_path / "out")
    assert hub.downloads == []


@pytest.mark.parametrize("name", ["a" * 300 + ".json", "\ud800.json", "config.json/b.json", "b\n.json", "b\0.json"])
def test_a_name_that_no_file_can_have_is_one_line(hub: TinyHub, tmp_path: Path, name: str) -> None:
    hub.repositories["org/odd"] = {**SAFE, name: b"{}"}
    with pytest.raises(SourceError) as caught:
        take("hf:org/odd", tmp_path / "out")
    assert caught.value.problem.isprintable()


def test_an_unknown_repository(hub: TinyHub, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="has no repository 'org/missing'"):
        take("hf:org/missing", tmp_path / "out")


def test_an_unknown_revision(hub: TinyHub, tmp_path: Path) -> None:
    hub.repositories["org/tiny"] = SAFE
    with pytest.raises(SourceError, match="no revision 'v9'"):
        take("hf:org/tiny@v9", tmp_path / "out")


def test_a_gated_repository_never_shows_the_token(
    hub: TinyHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    hub.repositories["org/gated"] = SAFE
    hub.gated.add("org/gated")
    with pytest.raises(SourceError, match="gated") as caught:
        take("hf:org/gated", tmp_path / "out")
    assert "accept its conditions" in str(caught.value.cure)
    assert hub.authorizations == {"Bearer hf_secret"}
    assert "hf_secret" not in str(caught.value)


def test_a_hub_that_cannot_be_reached(hub: TinyHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.shutdown()
    hub.server_close()
    with pytest.raises(SourceError, match="cannot be reached") as caught:
        take("hf:org/tiny", tmp_path / "out")
    assert "HF_ENDPOINT" in str(caught.value.cure)


TZDATA = "pypi:tzdata==2025.2/tzdata"
TZDATA_SHA256 = "1a403fada01ff9221ca8044d701868fa132215d84beb92242d9acd2147f667a8"


@pytest.mark.network
def test_a_file_of_a_published_package(tmp_path: Path) -> None:
    source = parse(f"{TZDATA}/zoneinfo/UTC")
    facts = fetch(source, tmp_path / "out", sha256=TZDATA_SHA256, base=tmp_path, cache=tmp_path, say=print)
    assert (tmp_path / "out" / "UTC").read_bytes().startswith(b"TZif")
    assert facts["sha256"] == TZDATA_SHA256


@pytest.mark.network
def test_a_folder_of_a_published_package_without_its_code(tmp_path: Path) -> None:
    said: list[str] = []
    facts = take(TZDATA, tmp_path / "out", say=said)
    assert (tmp_path / "out" / "zones").is_file()
    assert (tmp_path / "out" / "zoneinfo" / "Europe" / "Moscow").is_file()
    assert not list((tmp_path / "out").rglob("*.py"))
    assert any(f"sha256: {TZDATA_SHA256}" in line for line in said)
    assert facts["files"] > 500


@pytest.mark.network
def test_a_version_that_was_never_published(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such version") as caught:
        take("pypi:tzdata==1900.1/tzdata", tmp_path / "out")
    assert "for example" in str(caught.value.cure)
