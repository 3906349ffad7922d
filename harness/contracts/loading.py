"""The one place that imports a module by a name that is not written in the source.

Everything else that runs inside a step imports statically, so that the files a step depends on can be found without running
it (``harness/catalog/closure.py``). What is loaded here is named in the step's spec, which is part of its key.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType


def load(name: str) -> ModuleType:
    """The module of that dotted name. Raises ModuleNotFoundError."""
    return importlib.import_module(name)


def load_file(file: Path, name: str, siblings: Path | None = None) -> ModuleType:
    """The module in a file, under a name of its own; it may import modules in the folder ``siblings`` by their bare names.

    Raises FileNotFoundError where there is no such file.
    """
    if not file.is_file():
        raise FileNotFoundError(file)
    if siblings and str(siblings) not in sys.path:
        sys.path.append(str(siblings))
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up there
    spec.loader.exec_module(module)
    return module
