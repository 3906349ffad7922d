"""``python -m harness`` and ``harness``: the command line."""

import sys


def main() -> None:
    """Run the command line; Ctrl-C ends it quietly also while it is being imported."""
    try:
        from harness.cli import main as command
    except KeyboardInterrupt:
        sys.exit(130)
    command(prog_name="harness")


if __name__ == "__main__":
    main()
