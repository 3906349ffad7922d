"""Runs of a site without a repository: what the tests of its history draw."""

from __future__ import annotations

from collections.abc import Callable

from harness.report.history.runs import History, PastRun
from harness.results import Cell, Results
from tests.results_factory import MACHINE, machine, results

MONDAY, TUESDAY, WEDNESDAY = (f"2026-11-{day}T04:12:09Z" for day in (23, 24, 25))
RUN = results()
FAST = "minilm-ner/int8-dynamic/onnxruntime/cpu/batch=1,sequence_length=128"


def history(*runs: Results) -> History:
    """Runs, newest first."""
    found = [PastRun.of(run) for run in runs]
    return History(tuple(run for run in found if run))


def at(when: str, run: Results = RUN, host: str = MACHINE) -> Results:
    """A run at a time, all of it measured on one machine."""
    cells = [cell.model_copy(update={"machine": cell.machine and host}) for cell in run.cells]
    return run.model_copy(update={"created_at": when, "machines": {host: machine(host)}, "cells": cells})


def changed(id: str, change: Callable[[Cell], Cell], run: Results = RUN) -> Results:
    return run.model_copy(update={"cells": [change(cell) if cell.id == id else cell for cell in run.cells]})


def slower(cell: Cell) -> Cell:
    """Twice as slow."""
    assert cell.latency_ms
    low, high = cell.latency_ms.interval or (0.0, 0.0)
    rounds = [each.model_copy(update={"median_ms": 2 * each.median_ms}) for each in cell.latency_ms.rounds]
    latency = {"p50": 2 * cell.latency_ms.p50, "interval": (2 * low, 2 * high), "rounds": rounds}
    return cell.model_copy(update={"latency_ms": cell.latency_ms.model_copy(update=latency)})


def three() -> History:
    """Three runs of one machine: as it was, without a cell and with one slower, and as it was."""
    middle = changed(FAST, slower)
    fewer = middle.model_copy(update={"cells": middle.cells[1:]})
    return history(at(WEDNESDAY), at(TUESDAY, fewer), at(MONDAY))
