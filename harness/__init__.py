"""Compression Matrix: compressed models × runtimes, measured honestly, in one table.

The rooms, in the direction in which data flows::

    matrix/        matrix.yaml -> cells -> plan           pure: values in, values out
    orchestrator/  plan -> steps run by an engine         touches files, processes, Docker
    toolchain/     runs inside toolchain images           makes artifacts
    worker/        runs inside runtime images             measures artifacts
    tasks/ zoo/    what a task needs; small real models   shared by toolchain and worker
    report/        results -> HTML and Markdown           pure: values in, text out
"""

__version__ = "0.1.0"
