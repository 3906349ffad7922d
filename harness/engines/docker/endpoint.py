"""Where a Docker Engine listens, and whether one answers."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.engines.contract import NoEngine
from harness.errors import EnvironmentProblem

if TYPE_CHECKING:
    from docker import DockerClient

DEFAULT_HOST = "unix:///var/run/docker.sock"
PING_TIMEOUT_S = 5.0
API_TIMEOUT_S = 120


def endpoint() -> str:
    """Where the engine listens: DOCKER_HOST, the current context of the docker command, or the default socket.

    Raises EnvironmentProblem where the context that is asked for does not exist.
    """
    if host := os.environ.get("DOCKER_HOST"):
        return host
    home = Path(os.environ.get("DOCKER_CONFIG", Path.home() / ".docker"))
    asked = os.environ.get("DOCKER_CONTEXT")
    name = asked or _current_context(home)
    if name in (None, "default"):
        return DEFAULT_HOST
    folder = home / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest()
    try:
        return str(json.loads((folder / "meta.json").read_text("utf-8"))["Endpoints"]["docker"]["Host"])
    except (OSError, ValueError, KeyError, TypeError):
        where = "DOCKER_CONTEXT" if asked else str(home / "config.json")
        raise EnvironmentProblem(
            f"{where} names the context {name!r}, which docker does not have",
            "docker context ls shows those that there are",
        ) from None


def _current_context(home: Path) -> str | None:
    try:
        name = json.loads((home / "config.json").read_text("utf-8"))["currentContext"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return name if isinstance(name, str) and name else None


def probe(host: str) -> str:
    """The version of the engine at ``host``. Raises NoEngine, or EnvironmentProblem where one refuses us."""
    if not host.startswith("unix://"):
        return _probe_remote(host)
    return str(_asked(host, "/version", "Version", PING_TIMEOUT_S)["Version"])


def info(host: str) -> dict[str, Any]:
    """What the engine at ``host`` tells of itself and of its machine. Raises what ``probe`` raises."""
    if not host.startswith("unix://"):
        return dict(client(host).info())
    return _asked(host, "/info", "ID", API_TIMEOUT_S)


def _asked(host: str, question: str, field: str, timeout_s: float) -> dict[str, Any]:
    """An answer with this field from a socket of this machine, without the SDK, whose import takes a quarter of a second."""
    path = host.removeprefix("unix://")
    connection = http.client.HTTPConnection("localhost", timeout=timeout_s)
    connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.sock.settimeout(timeout_s)
    try:
        connection.sock.connect(path)
        connection.request("GET", question)
        found: dict[str, Any] = json.loads(connection.getresponse().read())
        _ = found[field]
        return found
    except PermissionError as error:
        raise EnvironmentProblem(
            f"a Docker Engine listens at {path}, but this user may not use it",
            'add yourself to its group (sudo usermod -aG docker "$USER", then log in again), '
            "use rootless Docker, or choose --engine venv",
        ) from error
    except TimeoutError as error:
        raise NoEngine(f"the Docker Engine at {path} did not answer within {timeout_s:g} s") from error
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
        raise NoEngine(
            f"no Docker Engine answers at {path or host}", "start it: sudo systemctl start docker"
        ) from error
    finally:
        connection.close()


def _probe_remote(host: str) -> str:
    from docker.errors import DockerException

    if host.startswith("ssh://"):
        _require_paramiko(host)
    connected = client(host, int(PING_TIMEOUT_S))
    try:
        return str(connected.version()["Version"])
    except (DockerException, OSError) as error:
        raise NoEngine(f"no Docker Engine answers at {host}", "is DOCKER_HOST right?") from error


def _require_paramiko(host: str) -> None:
    from importlib.util import find_spec

    if find_spec("paramiko") is None:
        raise EnvironmentProblem(
            f"{host} is reached through SSH, which needs the package paramiko",
            "pip install 'docker[ssh]', or forward a port: ssh -L 2375:/var/run/docker.sock HOST, DOCKER_HOST=tcp://localhost:2375",
        )


def client(host: str, timeout: int = API_TIMEOUT_S) -> DockerClient:
    """TLS is set by DOCKER_TLS_VERIFY and DOCKER_CERT_PATH, as for the docker command. Raises NoEngine where they are wrong."""
    import docker
    from docker.errors import DockerException

    try:
        return docker.from_env(timeout=timeout, environment={**os.environ, "DOCKER_HOST": host})
    except (DockerException, OSError, ValueError) as error:  # ValueError: no address at all
        problem = f"no Docker Engine can be reached at {host}: {' '.join(str(error).split())[:200]}"
        raise NoEngine(problem, "are DOCKER_HOST, DOCKER_TLS_VERIFY and DOCKER_CERT_PATH right?") from error


@contextmanager
def answering(host: str, what: str) -> Iterator[None]:
    """Tell what goes wrong between us and the engine at ``host``, which is asked to do ``what``, as an EnvironmentProblem."""
    from docker.errors import APIError, DockerException
    from requests.exceptions import RequestException, Timeout
    from urllib3.exceptions import HTTPError

    try:
        yield
    except APIError as refused:
        raise EnvironmentProblem(
            f"the Docker Engine at {host} could not {what}: {refused.explanation or refused}",
            "what is done is kept: mend that, then run the same command again",
        ) from refused
    except Timeout as silent:
        raise EnvironmentProblem(
            f"the Docker Engine at {host} did not answer within {API_TIMEOUT_S} s when asked to {what}",
            "what is done is kept: restart it, then run the same command again",
        ) from silent
    except (RequestException, HTTPError, DockerException) as gone:
        raise EnvironmentProblem(
            f"the Docker Engine at {host} has gone: it could not {what}",
            "what is done is kept: start it, then run the same command again",
        ) from gone
