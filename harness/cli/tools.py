"""Single things by hand: ``artifact``, ``images``, ``lock``, ``selftest``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from harness import terminal
from harness.cli import options
from harness.errors import Exit
from harness.untrusted_text import visible_json


@click.command()
@options.matrix
@options.place
@click.argument("cell")
@click.option(
    "--out", "folder", default="artifact", show_default=True, type=click.Path(path_type=Path, file_okay=False)
)
def artifact(matrix: Path, cell: str, folder: Path, **where: Any) -> None:
    """Lay out what a cell measures in a folder, for a container that is run by hand.

    The folder holds the weights, manifest.json, and data/ with the cell's inputs and the held-out examples.

    \b
    examples:
      harness artifact digits-cnn/original/onnxruntime/cpu/b1-i32
      docker run --rm -v ./artifact:/artifact:ro IMAGE /artifact
    """
    from harness.commands import api
    from harness.commands import artifact as artifacts

    artifacts.lay_out(api.load(matrix, cells=cell, **where), folder)
    terminal.say(f"wrote {folder}")


@click.command("images")
@options.place
@click.argument("names", nargs=-1)
def images(names: tuple[str, ...], work: Path, engine: str, images: tuple[Path, ...]) -> None:
    """Build images (all, or those named, such as runtimes/onnxruntime).

    \b
    examples:
      harness images
      harness images toolchains/torch
    """
    from harness.commands import images as building

    building.build(names, work, engine, images)


@click.command()
@options.images
@click.argument("names", nargs=-1)
def lock(names: tuple[str, ...], images: tuple[Path, ...]) -> None:
    """Write the requirements.txt of images again from the packages in their image.yaml: all, or those named.

    Packages are looked up where pip would look. NAMES may be images, their variants, compiled packages and shared layers.

    \b
    examples:
      harness lock runtimes/onnxruntime.gpu
      harness lock wheels/llama-cpp-python layers/torch
    """
    from harness.catalog import plugins
    from harness.provision import lock as locking

    locking.write(names, plugins.load(images), terminal.say)


@click.command()
@options.place
@options.machine
@click.option("--repeats", default=20, show_default=True, type=click.IntRange(1), help="Comparisons of each kind.")
@click.option("--seed", default=0, show_default=True, help="Of the shuffled order of rounds.")
@options.json_
def selftest(as_json: bool, **where: Any) -> None:
    """Hold what the harness finds against what is known: equal and unequal speeds, memory, its own overhead.

    Takes seconds a repeat on a quiet machine, up to a minute on a noisy one. The report shows the last one of this machine.

    \b
    examples:
      harness selftest
      harness selftest --repeats 100

    Exit codes: 0 all checks passed; 1 one failed; 3 the engine is missing.
    """
    from harness.commands import selftest as tested
    from harness.runner import selftest as testing

    made = tested.run(**where)
    if as_json:
        click.echo(visible_json(made.model_dump_json(indent=1)))
    else:
        terminal.show(testing.text(made))
    sys.exit(int(Exit.OK if all(check.passed for check in made.checks) else Exit.CELLS_FAILED))
