"""No runtime: work and memory of a known amount, so that what the harness finds can be held against what is true."""

from __future__ import annotations

import mmap
import time
from pathlib import Path
from typing import Any

import numpy as np

from harness.contracts.adapter import Array, Arrays
from harness.contracts.artifact import Manifest
from harness.contracts.cards import Form, RuntimeCard

CARDS = (
    RuntimeCard(
        name="known",
        summary="no model: a known amount of work and memory, for `harness selftest`",
        loads=(Form("known", "fp32"),),
        devices=("cpu",),
        source="https://docs.kernel.org/filesystems/proc.html (what the memory that it takes counts as)",
    ),
)

_SIZE = 64  # of the matrices that are multiplied: some microseconds each, in one thread
_SPIKE_S = 0.001
_PAGE = 4096


class Adapter:
    """Multiplies small matrices as often as the manifest says; ``load`` takes memory in the way that it names.

    ``extra`` of the manifest holds ``products`` (per call) and ``memory`` (``none``, ``held``, ``spike``: held for a
    millisecond, ``mapped``: the weights file, read through a mapping, ``reserved``: never touched) with its ``bytes``.
    """

    def __init__(self, device: str, threads: int, mode: str) -> None:
        self.left, self.right = np.random.default_rng(0).random((2, _SIZE, _SIZE), np.float32)
        self.product = np.empty((_SIZE, _SIZE), np.float32)
        self.logits = np.zeros((1, 2), np.float32)

    def load(self, artifact: Path, manifest: Manifest) -> None:
        """Take the memory."""
        extra = manifest.extra
        self.products = int(extra["products"])
        self.held = getattr(self, f"_{extra['memory']}")(int(extra["bytes"]), artifact / manifest.weights[0])

    def run(self, inputs: Arrays) -> dict[str, Array]:
        """Do the work."""
        for _ in range(self.products):
            np.dot(self.left, self.right, out=self.product)
        return {"logits": self.logits}

    def precision(self) -> str:
        """Of the products."""
        return "fp32"

    def close(self) -> None:
        """Free the memory."""
        self.held = None

    @staticmethod
    def _none(size: int, weights: Path) -> None:
        """No memory."""

    @staticmethod
    def _held(size: int, weights: Path) -> Any:
        return np.ones(size, np.uint8)

    @staticmethod
    def _spike(size: int, weights: Path) -> None:
        spike = np.ones(size, np.uint8)
        time.sleep(_SPIKE_S)
        del spike

    @staticmethod
    def _mapped(size: int, weights: Path) -> Any:
        mapping = np.memmap(weights, np.uint8, mode="r")
        mapping[::_PAGE].sum()
        return mapping

    @staticmethod
    def _reserved(size: int, weights: Path) -> Any:
        return mmap.mmap(-1, size)
