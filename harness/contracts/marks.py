"""Lines that the worker prints while it runs a step, for who reads counters from outside. Standard library only."""

from __future__ import annotations

STEADY_BEGINS = "steady state begins"
STEADY_ENDS = "steady state ends"
