"""Device memory on a real GPU, against amounts that a program is known to allocate. Skipped where no NVIDIA GPU answers."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from harness.contracts import machine

pytestmark = pytest.mark.gpu

MIB = 2**20
ALLOCATED = 256 * MIB
GRANULARITY = 2 * MIB  # of cuMemAlloc, in which the driver hands memory out

#: The CUDA driver's own interface (CUDA Driver API, "Memory Management"): no library that allocates memory of its own.
DRIVER = """
import ctypes, sys, time
cuda = ctypes.CDLL("libcuda.so.1")
def do(name, *arguments):
    code = getattr(cuda, name)(*arguments)
    assert code == 0, f"{name}: CUDA error {code}"
device, context, address = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_uint64()
def create_context():
    do("cuInit", 0)
    do("cuDeviceGet", ctypes.byref(device), 0)
    do("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
    do("cuCtxSetCurrent", context)
def allocate(size):
    do("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(size))
def free():
    do("cuMemFree_v2", address)
"""


@pytest.fixture(scope="module", autouse=True)
def gpu() -> None:
    """A GPU, or the reason why these tests do not run."""
    if not machine.gpus():
        if os.environ.get("MATRIX_REQUIRE_GPU") == "1":
            pytest.fail("MATRIX_REQUIRE_GPU=1, but no NVIDIA GPU answers")
        pytest.skip("no NVIDIA GPU answers (nvidia-smi)")


def program(body: str) -> list[str]:
    return [sys.executable, "-c", DRIVER + body]


def measured(body: str) -> str:
    """What the meter of a fresh process tells of ``body``: its peak in bytes, or why there is none."""
    inside = "".join(f"    {line}\n" for line in ["create_context()", *body.splitlines(), "found = meter.read()"])
    whole = f"from harness.worker.vram import VramMeter\nwith VramMeter('cuda') as meter:\n{inside}"
    done = subprocess.run(
        program(f"{whole}print(found.reason or found.peak_bytes)"), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@contextmanager
def neighbour() -> Iterator[None]:
    """Another process with a context on the GPU."""
    body = "create_context()\nprint('here', flush=True)\nsys.stdin.read()"
    process = subprocess.Popen(program(body), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "here\n"
    try:
        yield
    finally:
        process.communicate()


def test_what_is_held_is_found() -> None:
    without, with_it = int(measured("pass")), int(measured(f"allocate({ALLOCATED})"))
    assert with_it - without == pytest.approx(ALLOCATED, abs=GRANULARITY)


def test_what_was_held_for_a_moment_is_found() -> None:
    without, with_it = int(measured("pass")), int(measured(f"allocate({ALLOCATED})\ntime.sleep(0.1)\nfree()"))
    assert with_it - without == pytest.approx(ALLOCATED, abs=GRANULARITY)


def test_a_neighbour_makes_the_number_void() -> None:
    with neighbour():
        assert measured("pass") == "another process uses this GPU"
