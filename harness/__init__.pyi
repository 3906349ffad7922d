# What __init__.py loads lazily, for type checkers.
from harness.commands.api import compare as compare
from harness.commands.api import load as load
from harness.commands.api import plan as plan
from harness.commands.api import run as run

__version__: str
