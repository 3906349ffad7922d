"""The command line: parse, call, print. Everything heavy is imported by the command that needs it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from harness import __version__, terminal
from harness.cli import place, reports, running, tools
from harness.errors import Exit, HarnessError, of_disk


class _Group(click.Group):
    def invoke(self, ctx: click.Context) -> Any:
        """Tell a HarnessError, and what the disk refuses, in one line with its exit code; so too Ctrl-C."""
        try:
            return super().invoke(ctx)
        except HarnessError as error:
            told: HarnessError = error
        except KeyboardInterrupt:
            terminal.say("stopped; what is done is kept: run the same command again to go on")
            ctx.exit(int(Exit.INTERRUPTED))
        except OSError as error:
            if (problem := of_disk(error, Path.cwd())) is None:
                raise
            told = problem
        terminal.say(f"error: {told}")
        ctx.exit(int(told.exit_code))


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__, prog_name="harness")
def main() -> None:
    """Measure compressed models on every runtime and draw one honest table.

    \b
    examples:
      harness run                      the whole matrix.yaml, resumed where it stopped
      harness plan --only runtime=onnxruntime
    """


for command in (
    running.run,
    running.plan,
    reports.report,
    reports.compare,
    reports.export,
    reports.publish,
    tools.artifact,
    tools.images,
    tools.lock,
    tools.selftest,
    place.init,
    place.doctor,
    place.clean,
    place.schema,
):
    main.add_command(command)
