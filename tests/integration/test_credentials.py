"""Credentials stay with the tools that need them: nothing that is written or printed holds one.

A hub that wants a token, a package index that wants a password, and a proxy that wants another, on loopback; the command line
as a user runs it, with each of them right and wrong.
"""

from __future__ import annotations

import base64
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest

from harness.engines.registry import choose
from harness.errors import EnvironmentProblem
from tests.checkpoints import gguf, write_model
from tests.integration.tiny_hub import TinyHub
from tests.unit.sources.test_wheel_files import write_wheel

ROOT = Path(__file__).parents[2]
TOKEN = "hf_QrStUvWxYzAbCdEfGhIjKlMnOpQr"
INDEX_PASSWORD = "1ndex p@ss/w0rd"  # as people choose them: not all of it may stand in a URL as it is
HUB_PASSWORD = "hubp4ssw0rd"
PROXY_PASSWORD = "pr0xyp4ssw0rd"
SECRETS = [TOKEN, INDEX_PASSWORD, quote(INDEX_PASSWORD, safe=""), HUB_PASSWORD, PROXY_PASSWORD]
SECRETS += [base64.b64encode(f"user:{secret}".encode()).decode() for secret in SECRETS[1:]]

NAME = f"locked-{os.getpid()}"  # of a runtime, and of an image in an engine that others use, too
MATRIX = f"""
models:
  - {{name: tiny, source: "hf:org/tiny", task: text-generation, dataset: "path:text"}}
  - {{name: shipped, source: "pypi:toy==1.0/toy/model", task: text-generation, dataset: "path:text"}}
methods: [original]
runtimes: [{NAME}]
measure: {{rounds: 1}}
report: {{baseline: {{runtime: {NAME}}}}}
"""


#: What goes wrong with an index and with a hub, side by side -> the environment variables that differ.
WRONG = {
    "refused": {
        "PIP_INDEX_URL": "http://user:{index_password}x@{index}/simple",
        "HF_ENDPOINT": "http://user:{hub_password}@{hub}",
    },
    "something else answers": {
        "PIP_INDEX_URL": "http://user:{index_password}@{hub}/simple",
        "HF_ENDPOINT": "http://user:{hub_password}@{index}",
    },
    "nothing answers": {
        "PIP_INDEX_URL": "http://user:{index_password}@127.0.0.1:9/simple",
        "HF_ENDPOINT": "http://user:{hub_password}@127.0.0.1:9",
    },
    "no addresses": {
        "PIP_INDEX_URL": "http://user:{index_password}@127.0.0.1:port/simple",
        "HF_ENDPOINT": "http://user:{hub_password}@127.0.0.1:port",
        "HTTP_PROXY": "htp://user:{proxy_password}@127.0.0.1:port",
    },
    "a second index, and a token that is no header": {
        "PIP_EXTRA_INDEX_URL": "http://user:{index_password}@127.0.0.1:9/simple",
        "HF_TOKEN": TOKEN + "\u2028x",
    },
    "the proxy refuses": {"HTTP_PROXY": "http://user:{proxy_password}x@{index}", "HF_TOKEN": TOKEN + "x"},
    "no proxy answers": {"HTTP_PROXY": "http://user:{proxy_password}@127.0.0.1:9"},
}


class Index(ThreadingHTTPServer):
    """A package index of one wheel behind a password; also a proxy, with one of its own, to whatever host is asked for."""

    def __init__(self, wheel: Path) -> None:
        super().__init__(("127.0.0.1", 0), IndexHandler)
        self.wheel = wheel
        self.let_in: set[str] = set()  # as what: "index", "proxy"


class IndexHandler(BaseHTTPRequestHandler):
    server: Index

    def do_GET(self) -> None:
        proxied = urlsplit(self.path).netloc
        if proxied and not self.knows("Proxy-Authorization", PROXY_PASSWORD):
            self.answer(407, b"", {"Proxy-Authenticate": 'Basic realm="proxy"'})
            return
        if not self.knows("Authorization", INDEX_PASSWORD):
            self.answer(401, b"", {"WWW-Authenticate": 'Basic realm="index"'})
            return
        self.server.let_in |= {"index", "proxy"} if proxied else {"index"}
        wheel = self.server.wheel
        path = urlsplit(self.path).path
        if path.endswith("/toy/"):
            self.answer(200, f'<a href="/files/{wheel.name}">{wheel.name}</a>'.encode(), {"Content-Type": "text/html"})
        elif path.endswith(wheel.name):
            self.answer(200, wheel.read_bytes())
        else:
            self.answer(404, b"")

    def knows(self, header: str, password: str) -> bool:
        given = self.headers.get(header, "").removeprefix("Basic ")
        return base64.b64decode(given) == f"user:{password}".encode()

    def answer(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Stay silent."""


@dataclass
class Desk:
    """A user's folder, and the environment that their shell has."""

    folder: Path
    hub: TinyHub
    index: Index
    environment: dict[str, str] = field(default_factory=dict)
    printed: list[str] = field(default_factory=list)

    def run(self, *words: str) -> str:
        kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("proxy")}
        kept = {name: value for name, value in kept.items() if not name.startswith(("PIP_", "HF_", "UV_"))}
        home = {
            "HOME": str(self.folder / "home"),
            "PIP_CONFIG_FILE": os.devnull,
            "HF_HOME": str(self.folder / "home" / "hf"),
        }
        home |= {"PYTHONPATH": str(ROOT), "PIP_RETRIES": "0", "PIP_NO_CACHE_DIR": "1", "UV_HTTP_RETRIES": "0"}
        done = subprocess.run(
            [sys.executable, "-m", "harness", *words],
            cwd=self.folder,
            env={**kept, **home, **self.environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.printed.append(done.stdout)
        return done.stdout

    def go_wrong(self, wrong: str) -> None:
        """Set the variables of a case of WRONG."""
        words = {"hub": f"127.0.0.1:{self.hub.server_port}", "index": f"127.0.0.1:{self.index.server_port}"}
        words |= {"index_password": quote(INDEX_PASSWORD, safe=""), "hub_password": HUB_PASSWORD}
        words |= {"proxy_password": PROXY_PASSWORD}
        self.environment |= {name: value.format(**words) for name, value in WRONG[wrong].items()}

    def leaks(self) -> list[str]:
        """Where a secret stands: in what was printed, in a file's name, in a file. Not in what belongs to other tools."""
        found = [
            f"printed: {line}" for text in self.printed for line in text.splitlines() if any(s in line for s in SECRETS)
        ]
        return found + leaks_below(self.folder, but=self.folder / "home")


def leaks_below(folder: Path, but: Path | None = None) -> list[str]:
    """The secrets in the names and contents of all files."""
    files = [file for file in folder.rglob("*") if file.is_file() and but not in file.parents]
    held = ((file, f"{file}\n".encode() + file.read_bytes()) for file in files)
    return [f"{file}: {secret}" for file, content in held for secret in SECRETS if secret.encode() in content]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    (tmp_path / "served").mkdir()
    wheel = write_wheel(
        tmp_path / "served",
        {"toy/__init__.py": "", "toy/model/config.json": "{}", "toy/model/model.gguf": gguf().decode()},
    )
    hub, index = TinyHub(), Index(wheel)
    for server in (hub, index):
        threading.Thread(target=server.serve_forever, daemon=True).start()
    hub.token = TOKEN
    write_model(tmp_path / "served" / "model")
    hub.repositories["org/tiny"] = {file.name: file.read_bytes() for file in (tmp_path / "served" / "model").iterdir()}
    folder = tmp_path / "desk"
    image = folder / "images" / "runtimes" / NAME
    image.mkdir(parents=True)
    adapter = (ROOT / "images" / "runtimes" / "null" / "adapter.py").read_text("utf-8")
    (image / "adapter.py").write_text(adapter.replace('name="null"', f'name="{NAME}"'))
    (image / "image.yaml").write_text(
        "summary: a toy\npackages: [toy==1.0]\nsmoke: import toy\ndisk_mb: 1\nbuild_s: 1\n"
    )
    hashed = sha256(wheel.read_bytes()).hexdigest()
    (image / "requirements.txt").write_text(f"toy==1.0 \\\n    --hash=sha256:{hashed}\n")
    (folder / "text").mkdir()
    (folder / "text" / "evaluate.txt").write_text("some text")
    (folder / "matrix.yaml").write_text(MATRIX)
    port = index.server_port
    environment = {
        "HF_TOKEN": TOKEN,
        "HF_ENDPOINT": hub.url,
        "PIP_INDEX_URL": f"http://user:{quote(INDEX_PASSWORD, safe='')}@127.0.0.1:{port}/simple",
        "HTTPS_PROXY": f"http://user:{PROXY_PASSWORD}@127.0.0.1:{port}",
    }
    yield Desk(folder, hub, index, environment)
    for server in (hub, index):
        server.shutdown()
        server.server_close()


RUN = ("run", "--images", "images", "--out", "reports", "--engine")


def test_a_run_with_the_right_credentials_keeps_them(desk: Desk) -> None:
    printed = desk.run(*RUN, "venv")
    assert f"Bearer {TOKEN}" in desk.hub.authorizations, printed
    assert desk.index.let_in == {"index"}, printed
    assert list(desk.folder.glob(f".matrix/envs/*{NAME}*/.complete")), printed
    assert (desk.folder / "reports" / "results.json").is_file(), printed
    assert desk.leaks() == []


@pytest.mark.parametrize("wrong", WRONG)
def test_a_failure_does_not_show_them(desk: Desk, wrong: str) -> None:
    desk.go_wrong(wrong)
    printed = desk.run(*RUN, "venv")
    assert "Traceback" not in printed
    assert (desk.folder / "reports" / "results.json").is_file(), printed
    assert desk.leaks() == []


@pytest.mark.parametrize("wrong", ["refused", "no addresses"])
def test_a_lock_that_fails_does_not_show_them(desk: Desk, wrong: str) -> None:
    desk.go_wrong(wrong)
    assert "error" in desk.run("lock", f"runtimes/{NAME}", "--images", "images")
    assert desk.leaks() == []


def test_a_proxy_is_used_and_its_password_kept(desk: Desk) -> None:
    address = f"127.0.0.1:{desk.index.server_port}"
    desk.environment["HTTP_PROXY"] = f"http://user:{PROXY_PASSWORD}@{address}"
    desk.environment["PIP_INDEX_URL"] = f"http://user:{quote(INDEX_PASSWORD, safe='')}@index.invalid/simple"
    desk.environment["PIP_TRUSTED_HOST"] = "index.invalid"
    desk.environment["NO_PROXY"] = "127.0.0.1"  # the hub's
    printed = desk.run(*RUN, "venv")
    assert desk.index.let_in == {"index", "proxy"}, printed
    assert desk.leaks() == []


@pytest.mark.docker
def test_no_layer_and_no_history_of_an_image_holds_them(desk: Desk, tmp_path: Path) -> None:
    require_docker(tmp_path)
    image = f"compression-matrix/runtimes-{NAME}"
    try:
        printed = desk.run(*RUN, "docker")
        names = docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", image).decode().split()
        assert names, printed
        told = docker("history", "--no-trunc", *names[:1]) + docker("image", "inspect", *names)
        assert not [secret for secret in SECRETS if secret.encode() in told]
        saved = tmp_path / "layers"
        saved.mkdir()
        docker("save", "--output", str(saved / "image.tar"), *names)
        subprocess.run(["tar", "-xf", saved / "image.tar", "-C", saved], check=True)
        assert any(b"toy-1.0.dist-info" in file.read_bytes() for file in saved.rglob("*") if file.is_file())  # as it is
        assert leaks_below(saved) == []
        assert desk.leaks() == []
    finally:
        # By their names and together: the id of one on which another is built can't be removed before that one.
        if found := docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", image).decode().split():
            docker("image", "rm", "--force", *found)


def require_docker(work: Path) -> None:
    """Skip where no engine answers, or fail where one is required."""
    try:
        choose("docker", work)
    except EnvironmentProblem as problem:
        if os.environ.get("MATRIX_REQUIRE_DOCKER") == "1":
            pytest.fail(f"MATRIX_REQUIRE_DOCKER=1, but: {problem}")
        pytest.skip(str(problem))


def docker(*words: str) -> bytes:
    return subprocess.run(["docker", *words], check=True, stdout=subprocess.PIPE).stdout
