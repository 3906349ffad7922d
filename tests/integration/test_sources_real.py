"""Sources against the real thing: a hub on loopback spoken to by huggingface_hub, and the configured package index."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from harness.errors import SourceError
from harness.matrix.source import parse
from harness.sources import fetch

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SAFE = {
    "config.json": b"{}",
    "model.safetensors": b"weights",
    "tokenizer/vocab.txt": b"a\nb\n",
    "README.md": b"read me",
}


class TinyHub(ThreadingHTTPServer):
    """The part of a hub's interface that a snapshot needs: a revision, its tree, and its files."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), TinyHubHandler)
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.gated: set[str] = set()
        self.downloads: list[str] = []
        self.authorizations: set[str | None] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class TinyHubHandler(BaseHTTPRequestHandler):
    server: TinyHub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.server.authorizations.add(self.headers.get("Authorization"))
        parts = [unquote(part) for part in urlsplit(self.path).path.strip("/").split("/")]
        api = parts[:2] == ["api", "models"]
        organization, name, action, *rest = parts[2:] if api else parts
        repository = f"{organization}/{name}"
        files = self.server.repositories.get(repository)
        if repository in self.server.gated:
            self.refuse(403, "GatedRepo")
        elif files is None:
            self.refuse(404, "RepoNotFound")
        elif not rest or rest[0] not in ("main", COMMIT):
            self.refuse(404, "RevisionNotFound")
        elif api and action == "revision":
            siblings = [{"rfilename": name} for name in files]
            self.answer(
                json.dumps({"id": repository, "modelId": repository, "sha": COMMIT, "siblings": siblings}).encode()
            )
        elif api and action == "tree":
            tree = [{"type": "file", "path": p, "size": len(b), "oid": oid(b)} for p, b in files.items()]
            self.answer(json.dumps(tree).encode())
        elif action == "resolve" and "/".join(rest[1:]) in files:
            body = files["/".join(rest[1:])]
            if self.command == "GET":
                self.server.downloads.append("/".join(rest[1:]))
            self.answer(body, {"ETag": f'"{oid(body)}"', "X-Repo-Commit": COMMIT})
        else:
            self.refuse(404, "EntryNotFound")

    def refuse(self, status: int, code: str) -> None:
        self.answer(b"", {"X-Error-Code": code, "X-Error-Message": code}, status)

    def answer(self, body: bytes, headers: dict[str, str] | None = None, status: int = 200) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Stay silent."""


def oid(body: bytes) -> str:
    return hashlib.sha1(body).hexdigest()


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
    hub.repositories["org/pickled"] = {"config.json": b"{}", "pytorch_model.bin": b"pickle"}
    with pytest.raises(SourceError, match=r"pytorch_model\.bin can run code"):
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
