"""How libraries are told how many threads to use: environment variables that they read when they are imported."""

from __future__ import annotations

#: OpenMP, Intel's and OpenBLAS's matrix products, and Rust's Rayon (tokenizers).
VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")


def thread_variables(threads: int) -> dict[str, str]:
    """The variables that limit a process to so many threads."""
    return dict.fromkeys(VARIABLES, str(threads))
