"""How numeric libraries are told their number of threads."""

from __future__ import annotations

#: The environment variables that they read when they are imported.
VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")


def thread_variables(count: int) -> dict[str, str]:
    """The variables and their value for ``count`` threads."""
    return dict.fromkeys(VARIABLES, str(count))
