"""Ctrl-C in a command that has no steps: one line, exit code 130, and nothing goes on behind it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest


@pytest.mark.parametrize(
    "words",
    [["images", "--engine", "venv", "runtimes/onnxruntime"], ["lock", "runtimes/null"]],
    ids=lambda words: words[0],
)
def test_ctrl_c_is_answered_in_a_line(words: list[str], tmp_path: Path) -> None:
    """Both wait for a package index that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as index:
        address = f"http://127.0.0.1:{index.getsockname()[1]}/simple"
        environment = {
            **os.environ,
            "PIP_INDEX_URL": address,
            "PIP_CONFIG_FILE": os.devnull,
            "PYTHONPATH": str(Path.cwd()),
        }
        environment |= {"UV_DEFAULT_INDEX": address, "UV_INDEX_URL": address, "PIP_EXTRA_INDEX_URL": ""}
        work = ["--work", str(tmp_path / "work")] if words[0] == "images" else []
        process = subprocess.Popen(
            [sys.executable, "-m", "harness", *words, *work],
            cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        index.settimeout(60)
        connection, _ = index.accept()  # it has begun to fetch
        children = psutil.Process(process.pid).children(recursive=True)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        _, errors = process.communicate(timeout=30)
        connection.close()
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert errors.rstrip().splitlines()[-1].startswith("stopped; ")
    _, alive = psutil.wait_procs(children, timeout=10)
    assert alive == []
