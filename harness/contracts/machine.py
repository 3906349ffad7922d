"""The machine that measures, as a value: rows of different machines are never compared.

Standard library only: the host describes itself with it, and so does the worker inside a container.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

#: Instruction sets that change what compressed models gain.
FEATURES = (
    "avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "avx_vnni", "amx_tile", "amx_int8", "amx_bf16",
    "asimddp", "i8mm", "bf16", "sve",
)  # fmt: skip

_CPUINFO = Path("/proc/cpuinfo")
_MEMINFO = Path("/proc/meminfo")
#: What systemd and D-Bus give an installed system; it survives reboots and changes of the host's name.
_INSTALLATION = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))


@dataclass(frozen=True)
class Gpu:
    """One NVIDIA GPU, as ``nvidia-smi`` tells it."""

    name: str
    uuid: str
    memory_bytes: int
    driver: str
    max_clock_mhz: int | None = None  # of its streaming multiprocessors


@dataclass(frozen=True)
class Machine:
    """What a measurement belongs to.

    ``id`` stands for the machine in keys and results. It is made of the processor, the number of hardware threads, the memory
    and the installed system, so it survives a reboot and another host name. With a name that the user gave, the name takes
    the place of the installed system: runs on fresh machines of one type are one machine.
    """

    id: str
    name: str
    cpu: str
    cpu_count: int  # hardware threads
    cores: int | None  # physical
    cpu_flags: list[str]
    memory_bytes: int
    gpus: list[Gpu]
    system: str
    kernel: str
    governor: str | None = None

    @property
    def gpu_identity(self) -> str:
        """The GPUs, with their drivers, that an artifact belongs to when it was made on this machine's GPUs."""
        return "; ".join(f"{gpu.name} {gpu.uuid} {gpu.driver}" for gpu in self.gpus)


def describe(name: str | None = None, id: str | None = None) -> Machine:
    """This machine. A container tells neither the host's name nor its installation, so there both are handed in."""
    cpu, flags, cores = _processor()
    count, memory = os.cpu_count() or 1, _memory_bytes()
    identity = f"{cpu}|{count}|{round(memory / 2**30)}|" + (f"name:{name}" if name else _installation())
    return Machine(
        id=id or hashlib.sha256(identity.encode()).hexdigest()[:12],
        name=name or platform.node() or "unnamed",
        cpu=cpu,
        cpu_count=count,
        cores=cores,
        cpu_flags=flags,
        memory_bytes=memory,
        gpus=gpus(),
        system=_system(),
        kernel=platform.release(),
        governor=_governor(),
    )


def _processor() -> tuple[str, list[str], int | None]:
    """Model, the flags that matter, and how many physical cores, proc(5)."""
    try:
        text = _CPUINFO.read_text("utf-8")
    except OSError:
        return platform.processor() or platform.machine(), [], None
    name = re.search(r"^(?:model name|Model)\s*:\s*(.+)$", text, re.M)
    flags = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", text, re.M)
    known = set(flags[1].split()) if flags else set()
    pairs = zip(
        re.findall(r"^physical id\s*:\s*(\d+)$", text, re.M),
        re.findall(r"^core id\s*:\s*(\d+)$", text, re.M),
        strict=False,
    )
    cores = len(set(pairs)) or None
    return (name[1] if name else platform.machine()), [flag for flag in FEATURES if flag in known], cores


def _memory_bytes() -> int:
    try:
        found = re.search(r"^MemTotal:\s+(\d+) kB$", _MEMINFO.read_text("utf-8"), re.M)
    except OSError:
        found = None
    return int(found[1]) * 1024 if found else os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _installation() -> str:
    for file in _INSTALLATION:
        try:
            if text := file.read_text("utf-8").strip():
                return text
        except OSError:
            continue
    return "no installation id"


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


def gpus() -> list[Gpu]:
    """Every NVIDIA GPU; none where ``nvidia-smi`` does not answer."""
    asked = "name,uuid,memory.total,driver_version,clocks.max.sm"
    query = ["nvidia-smi", f"--query-gpu={asked}", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [_gpu(line) for line in answer.stdout.splitlines() if line.count(",") == asked.count(",")]


def _gpu(line: str) -> Gpu:
    name, uuid, memory, driver, clock = (part.strip() for part in line.split(","))
    mib = int(memory) if memory.isdigit() else 0
    return Gpu(name, uuid, mib * 2**20, driver, int(clock) if clock.isdigit() else None)
