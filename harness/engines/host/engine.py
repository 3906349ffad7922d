"""The host engine: the current interpreter, for notebooks and for GPU machines without Docker."""

from __future__ import annotations

import subprocess
import sys

from harness.catalog import Image
from harness.engines.contract import Built, Place, Say
from harness.engines.process import ProcessEngine
from harness.errors import BuildFailed


class HostEngine(ProcessEngine):
    """Runs steps with what is installed beside the harness; installs nothing."""

    name = "host"
    isolation = "host"
    caveats: tuple[str, ...] = (
        "host engine: no memory limit, no isolation from the machine or the network",
        "host engine: package versions are those of the current environment, not the image's lock file",
    )

    def missing(self, image: Image, place: Place) -> bool:
        """Never: nothing is built."""
        return False

    def fetch(self, image: Image, place: Place, say: Say) -> None:
        """Nothing to fetch."""

    def ensure(self, image: Image, place: Place, say: Say) -> Built:
        """Check that the image's packages can be imported."""
        done = subprocess.run([sys.executable, "-c", image.smoke], capture_output=True, text=True, errors="replace")
        if done.returncode:
            install = f"{sys.executable} -m pip install {' '.join(image.packages)}"
            raise BuildFailed(f"the current Python cannot import what {image.name} needs", install, done.stderr)
        return Built(image, sys.executable, None)
