"""How many tokens a model takes, for exporters: they know the toolchain alone, and tasks prepare their data by the same."""

from harness.tasks._positions import token_limit

__all__ = ["token_limit"]
