"""The machines of a run, for the places that name them."""

from __future__ import annotations

from harness.results import Results, RunMachine


def measuring(results: Results) -> list[RunMachine]:
    """The machines that measured any cell, in the order of the rows; where none did, all that the results name."""
    used = dict.fromkeys(cell.machine for cell in results.cells if cell.machine is not None)
    found = [results.machines[id] for id in used if id in results.machines]
    return found or list(results.machines.values())


def described(machine: RunMachine) -> list[str]:
    """Its graphics cards for people: name and what is known of memory and driver."""
    return [
        ", ".join(
            part
            for part in (
                gpu.name,
                f"{gpu.memory_bytes >> 20} MiB" if gpu.memory_bytes else "",
                gpu.driver or "",
            )
            if part
        )
        for gpu in machine.gpu
    ]
