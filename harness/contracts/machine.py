"""The machine that measured: recorded once per run, for the report and for keeping hosts apart."""

from __future__ import annotations

import hashlib
import platform
import re
import subprocess
from pathlib import Path
from typing import Any

import psutil

#: Instruction sets that change what compressed models gain.
FEATURES = (
    "avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "avx_vnni", "amx_tile", "amx_int8", "amx_bf16",
    "asimddp", "i8mm", "bf16", "sve",
)  # fmt: skip


def describe() -> dict[str, Any]:
    """The fields of ``results.Environment`` that are the machine's own."""
    cpu, flags = _cpu()
    memory = psutil.virtual_memory().total
    found = gpus()
    identity = f"{cpu}|{psutil.cpu_count()}|{memory >> 30}|{found}|{platform.node()}"
    return {
        "host": hashlib.sha256(identity.encode()).hexdigest()[:12],
        "cpu": cpu,
        "cpu_count": psutil.cpu_count() or 1,
        "cpu_flags": flags,
        "memory_bytes": memory,
        "gpu": found,
        "system": _system(),
        "kernel": platform.release(),
        "governor": _governor(),
    }


def _cpu() -> tuple[str, list[str]]:
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8")
    except OSError:
        return platform.processor() or platform.machine(), []
    name = re.search(r"^(?:model name|Model)\s*:\s*(.+)$", text, re.M)
    flags = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", text, re.M)
    known = set(flags[1].split()) if flags else set()
    return (name[1] if name else platform.machine()), [flag for flag in FEATURES if flag in known]


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return f"{platform.system()} {platform.release()}"


def _governor() -> str | None:
    try:
        return Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").read_text("utf-8").strip()
    except OSError:
        return None


def gpus() -> list[str]:
    """Name, memory and driver of every NVIDIA GPU, as ``nvidia-smi`` tells them."""
    query = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in answer.stdout.splitlines() if line.strip()]


def source_revision(root: Path) -> str | None:
    """The git commit of the harness, with ``+`` where its code differs from it; None outside a checkout.

    Only the code counts: a report that is drawn into the checkout does not make another revision of it.
    """
    git = ["git", "-C", str(root)]
    try:
        commit = _told([*git, "rev-parse", "--short=12", "HEAD"])
        return commit + ("+" if _told([*git, "status", "--porcelain", "--", "harness", "images"]) else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _told(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout.strip()
