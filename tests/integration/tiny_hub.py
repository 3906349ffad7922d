"""A hub on loopback: the part of the interface that a snapshot needs, spoken to by huggingface_hub itself."""

from __future__ import annotations

import hashlib
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class TinyHub(ThreadingHTTPServer):
    """The part of a hub's interface that a snapshot needs: a revision, its tree, and its files.

    With a ``token`` it answers nobody who does not name it. ``sizes`` are told instead of those that files have, and files in
    ``cut`` break off in the middle as often as their number says.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), TinyHubHandler)
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.gated: set[str] = set()
        self.downloads: list[str] = []
        self.authorizations: set[str | None] = set()
        self.token: str | None = None
        self.sizes: dict[str, int] = {}
        self.cut: dict[str, int] = {}

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
        organization, name, action, *rest = [*(parts[2:] if api else parts), "", "", ""][: max(3, len(parts))]
        repository = f"{organization}/{name}"
        files = self.server.repositories.get(repository)
        if self.server.token and self.headers.get("Authorization") != f"Bearer {self.server.token}":
            self.refuse(401, "")
        elif repository in self.server.gated:
            self.refuse(403, "GatedRepo")
        elif files is None:
            self.refuse(404, "RepoNotFound")
        elif not rest or rest[0] not in ("main", COMMIT):
            self.refuse(404, "RevisionNotFound")
        elif api and action == "revision":
            told = {name: self.server.sizes.get(name, len(body)) for name, body in files.items()}
            siblings = [{"rfilename": name, "size": size} for name, size in told.items()]
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
            self.answer(
                body, {"ETag": f'"{oid(body)}"', "X-Repo-Commit": COMMIT}, cut=self.cut_short("/".join(rest[1:]))
            )
        else:
            self.refuse(404, "EntryNotFound")

    def refuse(self, status: int, code: str) -> None:
        self.answer(b"", {"X-Error-Code": code, "X-Error-Message": code}, status)

    def cut_short(self, name: str) -> bool:
        """Whether the connection breaks off in the middle of a file this time."""
        left = self.server.cut.get(name, 0) if self.command == "GET" else 0
        if left:
            self.server.cut[name] = left - 1
        return left > 0

    def answer(
        self, body: bytes, headers: dict[str, str] | None = None, status: int = 200, *, cut: bool = False
    ) -> None:
        if begin := int(self.headers.get("Range", "bytes=0-")[6:].partition("-")[0] or 0):
            status, body, whole = 206, body[begin:], len(body)
            headers = {**(headers or {}), "Content-Range": f"bytes {begin}-{whole - 1}/{whole}"}
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body[: len(body) // 2] if cut else body)
        self.close_connection = cut

    def log_message(self, format: str, *args: object) -> None:
        """Stay silent."""


def oid(body: bytes) -> str:
    return hashlib.sha1(body).hexdigest()
