"""What a container finds at which path."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from docker.types import Mount


@dataclass(frozen=True)
class Mounted:
    """What a container finds at ``target``: a folder or a file of the engine's machine, or a volume."""

    target: str
    source: str  # a path, or the name of a volume
    read_only: bool = True
    kind: Literal["bind", "volume"] = "bind"

    @property
    def option(self) -> str:
        """What ``docker run --mount`` takes: comma-separated values, a path with a comma or a quote in quotes."""
        source = f"source={self.source}"
        if "," in source or '"' in source:
            source = '"' + source.replace('"', '""') + '"'
        parts = [f"type={self.kind}", source, f"target={self.target}"]
        return ",".join(parts + (["readonly"] if self.read_only else []))

    def of_sdk(self) -> Mount:
        """What the SDK takes."""
        from docker.types import Mount

        return Mount(self.target, self.source or None, type=self.kind, read_only=self.read_only)
