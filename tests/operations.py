"""How much work a function is, told in numbers that are the same on a busy machine and on a quiet one."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any


def operations(function: Callable[[], object]) -> int:
    """How many bytecode instructions it runs, in all that it calls. What happens in C counts as one."""
    count = 0

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal count
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function()
    finally:
        sys.settrace(before)
    return count


def opened_files(function: Callable[[], object]) -> int:
    """How many files it opens in Python."""
    _Opens.install()
    _Opens.count, _Opens.active = 0, True
    try:
        function()
    finally:
        _Opens.active = False
    return _Opens.count


class _Opens:
    """An audit hook cannot be removed again, so there is one, and it sleeps."""

    installed = active = False
    count = 0

    @classmethod
    def install(cls) -> None:
        if not cls.installed:
            sys.addaudithook(cls.hear)
            cls.installed = True

    @classmethod
    def hear(cls, event: str, arguments: tuple[object, ...]) -> None:
        cls.count += cls.active and event == "open"
