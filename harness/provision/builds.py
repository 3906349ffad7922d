"""``docker build``: by the engine's own builder, or by buildx where it has none; logged, and stopped on the user's word."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import BuildFailed, EnvironmentProblem

if TYPE_CHECKING:
    from docker import DockerClient


@dataclass(frozen=True)
class Build:
    """One ``docker build``."""

    subject: str
    context: Path
    tag: str
    arguments: Mapping[str, str] = field(default_factory=dict)


class Stopped(Exception):
    """The build was ended on the user's word."""


class Builds:
    """Builds with one Docker Engine; logs lie in ``logs``. Several at the same time, from several threads."""

    def __init__(self, client: DockerClient, logs: Path) -> None:
        self.client = client
        self.logs = logs
        self._under_way: set[threading.Event] = set()  # of every build, what stops it

    def run(self, build: Build) -> None:
        """Build by the engine's own builder, or by buildx where it has none. The tag appears at the end."""
        from docker.errors import APIError

        log = self.logs / f"build-{build.subject.replace('/', '-')}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        try:
            messages = self.client.api.build(
                path=str(build.context),
                tag=build.tag,
                buildargs=dict(build.arguments),
                rm=True,
                forcerm=True,
                decode=True,
            )
            with self._stoppable(messages) as followed:
                failure = _keep_build_log(followed, log)
        except APIError as refused:
            if not _wants_buildkit(refused):
                raise BuildFailed(f"the engine refused to build {build.subject}: {refused.explanation}") from refused
            failure = _buildx(build, log)
        if failure is not None:
            raise _explain(build.subject, failure, log)

    def stop(self) -> None:
        """End the builds that are under way, each at the next line that it prints."""
        for stopped in tuple(self._under_way):
            stopped.set()

    @contextmanager
    def _stoppable(self, messages: Iterable[Mapping[str, Any]]) -> Iterator[Iterator[Mapping[str, Any]]]:
        """The builder's messages, until ``stop``. It ceases to work when nobody listens any more."""
        stopped = threading.Event()

        def follow() -> Iterator[Mapping[str, Any]]:
            for message in messages:
                if stopped.is_set():
                    raise Stopped
                yield message

        self._under_way.add(stopped)
        try:
            yield follow()
        finally:
            self._under_way.discard(stopped)


def _keep_build_log(messages: Iterable[Mapping[str, Any]], log: Path) -> str | None:
    """Write what the builder says to ``log``; return its error message, or None where it succeeded."""
    failure = None
    with log.open("w", encoding="utf-8", buffering=1) as file:
        for message in messages:
            file.write(message.get("stream", ""))
            if "error" in message:
                failure = str(message["error"])
                file.write(failure + "\n")
    return failure


def _wants_buildkit(refused: Any) -> bool:
    """Whether the engine has no classic builder: unknown endpoint, not implemented, or it says so."""
    return refused.status_code in (404, 405, 501) or "buildkit" in str(refused.explanation).lower()


def _buildx(build: Build, log: Path) -> str | None:
    words = ["docker", "buildx", "build", "--load", "--provenance=false", "--sbom=false", "--progress=plain"]
    words += ["--tag", build.tag, *(w for k, v in build.arguments.items() for w in ("--build-arg", f"{k}={v}"))]
    with log.open("wb") as file:
        try:
            code = subprocess.run([*words, str(build.context)], stdout=file, stderr=subprocess.STDOUT).returncode
        except FileNotFoundError:
            return "the engine has no classic builder, and there is no docker command with buildx"
    return f"docker buildx build ended with {code}" if code else None


def _explain(subject: str, failure: str, log: Path) -> EnvironmentProblem:
    text = log.read_text("utf-8", "replace")
    if "no space left on device" in text.lower():
        return EnvironmentProblem(
            f"the disk is full: {subject} could not be built", "free some space: docker system prune, harness clean"
        )
    return BuildFailed(f"{subject} could not be built: {failure}", f"the whole log: {log}", text)
