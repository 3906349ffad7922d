"""Run what measures, and leave the kernel's mark of each of its processes: ``marked.py (worker|optimum-benchmark) ...``.

Every process that ends writes the largest resident set that it ever had (``VmHWM`` of proc(5)), in bytes, to a file of its
name in the folder ``MARKS``. Processes that are spawned run this file again, as ``__mp_main__``, and leave theirs too.
"""

import atexit
import multiprocessing
import os
import re
import sys
from pathlib import Path


def leave_mark() -> None:
    """Read by nothing of either harness."""
    (kib,) = re.findall(r"^VmHWM:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.M)
    mark = Path(os.environ["MARKS"], multiprocessing.current_process().name)
    draft = mark.with_name(f".{mark.name}")
    draft.write_text(str(1024 * int(kib)))
    draft.replace(mark)  # a process that is killed at its end leaves no half of a mark


def worker() -> int:
    """Our worker, but for its restarts of the mark at each phase, so that the kernel keeps the one of the whole process."""
    from harness.worker import __main__, memory

    memory.restart_peak = lambda: False
    return __main__.main(sys.argv[2:])


def optimum_benchmark() -> None:
    """The command line of optimum-benchmark."""
    from optimum_benchmark.cli import main

    sys.argv[1:] = sys.argv[2:]
    main()


def renamed(name: str) -> dict[str, dict[str, tuple[type, ...]]]:
    """What Optimum 2 calls otherwise: its table of ONNX Runtime classes.

    The last optimum-benchmark (0.6.0) knows the old name only, and Optimum 1, which has that, does not import with this
    PyTorch. It is looked up once, before anything is measured; nothing else of theirs is touched.
    """
    if name != "ORT_SUPPORTED_TASKS":
        raise AttributeError(name)
    from optimum.onnxruntime.pipelines import ORT_TASKS_MAPPING

    return {task: {"class": classes} for task, classes in ORT_TASKS_MAPPING.items()}


atexit.register(leave_mark)
if sys.argv[1:2] != ["worker"]:
    import optimum.pipelines

    optimum.pipelines.__getattr__ = renamed

if __name__ == "__main__":
    sys.exit(worker() if sys.argv[1] == "worker" else optimum_benchmark())
