"""Results of schema 1 as results of schema 2.

Schema 1 knew one machine for the whole run, inside ``environment``, and left the words of metrics, tasks and workload fields to
the report. Those that existed then are named here, and only here; the list does not grow.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from harness.results.run import SCHEMA_VERSION

#: Metrics of schema 1: whether higher is better, and their words.
METRICS: Mapping[str, tuple[bool, Mapping[str, str]]] = {
    "perplexity": (False, {"en": "perplexity", "ru": "перплексия"}),
    "f1": (True, {"en": "F1", "ru": "F1"}),
    "accuracy": (True, {"en": "accuracy", "ru": "доля верных"}),
}
FIELDS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "batch": ("b", {"en": "batch {value}", "ru": "батч {value}"}),
    "sequence_length": ("s", {"en": "{value} tokens", "ru": "токенов: {value}"}),
    "prompt_tokens": ("p", {"en": "prompt {value}", "ru": "запрос {value}"}),
    "generated_tokens": ("g", {"en": "generates {value}", "ru": "генерирует {value}"}),
    "image_size": ("i", {"en": "{value} × {value} px", "ru": "{value} × {value} пикс."}),
}
TASKS: Mapping[str, Mapping[str, str]] = {
    "text-generation": {"en": "text generation", "ru": "генерация текста"},
    "token-classification": {"en": "token classification", "ru": "разметка слов"},
    "image-classification": {"en": "image classification", "ru": "классификация изображений"},
}
_MACHINE = ("cpu", "cpu_count", "cpu_flags", "memory_bytes", "system", "kernel", "governor")


def migrated(data: dict[str, Any]) -> dict[str, Any]:
    """A whole run of schema 1, as JSON holds it, in schema 2.

    Raises KeyError, TypeError, ValueError or AttributeError for what is no such run.

    The machine is named by its fingerprint, by its processor where there is none; every cell with a measurement gets it.
    """
    environment = dict(data["environment"])
    machine = {name: environment.pop(name) for name in _MACHINE if name in environment}
    machine["gpu"] = [gpu(text) for text in environment.pop("gpu", [])]
    name = environment.pop("host", None) or machine["cpu"]
    cells = [_cell(cell, name) for cell in data["cells"]]
    return {
        **data,
        "schema_version": SCHEMA_VERSION,
        "environment": environment,
        "machines": {name: {"id": name, "name": name, **machine}},
        "cells": cells,
        **words({cell["task"] for cell in cells}, cells),
    }


def words(tasks: set[str], cells: list[dict[str, Any]]) -> dict[str, Any]:
    """The facts about the tasks, metrics and workload fields of these cells, as far as schema 1 knew them."""
    metrics = {(cell.get("quality") or {}).get("metric") for cell in cells}
    fields = {field for cell in cells for field in cell["workload"]}
    return {
        "tasks": {name: {"words": dict(TASKS[name])} for name in TASKS if name in tasks},
        "metrics": {
            name: {"higher_is_better": higher, "words": dict(said)}
            for name, (higher, said) in METRICS.items()
            if name in metrics
        },
        "workload_fields": {
            name: {"letter": letter, "words": dict(said)} for name, (letter, said) in FIELDS.items() if name in fields
        },
    }


def _cell(cell: dict[str, Any], machine: str) -> dict[str, Any]:
    return {**cell, "machine": machine if cell.get("latency_ms") or cell.get("memory") else None}


def gpu(text: str) -> dict[str, Any]:
    """The fields of ``RunGpu`` from a line that ``nvidia-smi`` told: name, memory in MiB, driver; else the line as its name."""
    told = re.fullmatch(r"(.+), (\d+) MiB, (\S+)", text)
    return {"name": told[1], "memory_bytes": int(told[2]) << 20, "driver": told[3]} if told else {"name": text}
