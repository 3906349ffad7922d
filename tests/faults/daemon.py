"""A Docker Engine of the tests' own, which they may stop, kill and suspend."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.faults.rig import until


@dataclass
class Daemon:
    """``dockerd`` in a folder, without a network."""

    folder: Path
    process: psutil.Popen | None = None

    @property
    def host(self) -> str:
        """What DOCKER_HOST says."""
        return f"unix://{self.folder}/sock"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        # In a network of its own: without a bridge it would remove the one of the machine's engine.
        words = [
            "unshare",
            "--net",
            "dockerd",
            "--data-root",
            f"{self.folder}/data",
            "--exec-root",
            f"{self.folder}/exec",
        ]
        words += ["--pidfile", f"{self.folder}/pid", "--host", self.host, "--bridge", "none", "--iptables=false"]
        with (self.folder / "log").open("ab") as log:
            self.process = psutil.Popen(words, stdout=log, stderr=log, start_new_session=True)
        until(lambda: self.docker("info", check=False).returncode == 0, "dockerd")

    def stop(self) -> None:
        """As ``systemctl stop docker`` does."""
        assert self.process is not None
        self.process.terminate()
        self.process.wait(60)

    def kill(self) -> None:
        """At once, its containerd as well; the shims of its containers are left, as after a crash."""
        assert self.process is not None
        children = self.process.children()
        self.process.kill()
        self.process.wait(60)
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        (self.folder / "pid").unlink(missing_ok=True)
        (self.folder / "exec" / "containerd" / "containerd.pid").unlink(missing_ok=True)

    def docker(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """The docker command, for this engine."""
        environment = {**os.environ, "DOCKER_HOST": self.host}
        return subprocess.run(["docker", *words], env=environment, capture_output=True, text=True, check=check)

    def containers(self) -> list[str]:
        """The ids of those that run."""
        return self.docker("ps", "--quiet").stdout.split()

    def load(self, image: str) -> None:
        """An image of the engine that other tests use."""
        with subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE) as saved:
            environment = {**os.environ, "DOCKER_HOST": self.host}
            subprocess.run(
                ["docker", "load", "--quiet"], stdin=saved.stdout, env=environment, check=True, capture_output=True
            )

    def remove(self) -> None:
        """Stop it where it runs; nothing of it stays."""
        if self.process is not None and self.process.is_running():
            self.process.send_signal(signal.SIGCONT)
            for container in self.docker("ps", "--all", "--quiet", check=False).stdout.split():
                self.docker("rm", "--force", container, check=False)
            self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
