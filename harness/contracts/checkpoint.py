"""hf checkpoints as they lie in artifacts: how transformers is to open one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

ADAPTER = "adapter_config.json"  # of peft: it lies beside the weights of an adapter
ADAPTER_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")


def has_own_code(path: Path) -> bool:
    """Whether a checkpoint brings Python of its own: only sources that the user trusts keep theirs."""
    return any(path.glob("*.py"))


def options(path: Path) -> dict[str, Any]:
    """What every ``from_pretrained`` of transformers is called with: no network, and the model's own code if it is trusted."""
    return {"local_files_only": True, "trust_remote_code": has_own_code(path)}
