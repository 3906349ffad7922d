"""News of the Australian Broadcasting Corporation, 2000-2002 (Lee, Pincombe & Welsh, 2005), shipped with gensim.

300 background stories train or calibrate; the 50 stories that were rated in the study are held out.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from harness.contracts.task import Row
from harness.zoo import PinnedFile

_DATA = "pypi:gensim==4.4.0/gensim/test/test_data"
_WHEEL = "91a7fa5e814e7b1bad4b2dffa8d62c1e55410d5cbdf930714c1997ffb4404db8"

TASK = "text-generation"
SOURCES = {
    "train": PinnedFile(f"{_DATA}/lee_background.cor", _WHEEL),
    "evaluate": PinnedFile(f"{_DATA}/lee.cor", _WHEEL),
}
_FILES = {"train": "lee_background.cor", "evaluate": "lee.cor"}


def rows(split: str, sources: Mapping[str, Path]) -> list[Row]:
    """One story a row, once each (the file repeats some)."""
    lines = (sources[split] / _FILES[split]).read_text("latin-1").splitlines()
    return [{"text": line} for line in dict.fromkeys(map(str.strip, lines)) if line]
