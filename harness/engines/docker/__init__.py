"""The Docker engine: every step in a fresh container without network, privileges or a writable root."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from harness.engines.contract import Engine, EngineCard, Freed


def _probe() -> str:
    from harness.engines.docker.endpoint import endpoint, probe

    host = endpoint()
    return f"Docker Engine {probe(host)} answers at {host}"


def _open(work: Path, options: Mapping[str, str]) -> Engine:
    from harness.engines.docker.endpoint import endpoint, probe

    host = endpoint()
    version = probe(host)
    if host.startswith("unix://"):
        from harness.engines.docker.engine import DockerEngine as Kind
    else:
        from harness.engines.docker.remote import RemoteDockerEngine as Kind
    return Kind(work, host, version, options.get("machine"))


def _clean(dry_run: bool) -> Freed:
    from harness.engines.contract import NoEngine
    from harness.engines.docker.endpoint import client, endpoint, probe
    from harness.engines.docker.remote import remove_volumes
    from harness.provision.images import remove_all

    host = endpoint()
    try:
        probe(host)
    except NoEngine:
        return {"images": {"count": 0, "bytes": 0}}
    connected = client(host)
    return {"images": remove_all(connected, dry_run=dry_run), "volumes": remove_volumes(connected, dry_run=dry_run)}


CARD = EngineCard("docker", "steps run in isolated containers", _open, _probe, auto=10, clean=_clean)
