"""Lock files: ``requirements.txt`` of an image, made from the packages that its ``image.yaml`` names.

``harness lock [NAME ...]`` writes them again (all of them without a name), those of variants, compiled packages
and shared layers too. Every requirement, down to the last dependency, is pinned with the hashes of its files, so that
``pip install --require-hashes`` installs the same anywhere.

Packages are looked up where pip would look: its configured index, extra indexes and find-links folders. None of these is
written into the file. The CPU build of PyTorch lies in PyTorch's own CPU index only: where pip does not know it yet, name that
index in ``PIP_EXTRA_INDEX_URL``.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence

from harness.catalog import Catalog, Image, Layer, WheelSource
from harness.contracts.files import write_atomically
from harness.errors import EnvironmentProblem, UsageError, did_you_mean
from harness.provision.requirements import entries
from harness.provision.wheels import IMAGE_PYTHON

PLATFORM = "x86_64-manylinux_2_28"

#: pip's option -> uv's option of the same meaning.
SOURCES = {"index-url": "--index-url", "extra-index-url": "--extra-index-url", "find-links": "--find-links"}

HEADER = """\
# Locked from the packages that the yaml file beside it names. To make it again: harness lock {name}
"""


def sources(config: str) -> Iterator[str]:
    """The uv options for the places where pip looks; ``config`` is what ``pip config list`` prints.

    Its lines read ``section.option='value value'``, with the section ``:env:`` for variables of the environment.
    """
    for line in config.splitlines():
        key, _, value = line.partition("=")
        option = SOURCES.get(key.rpartition(".")[2])
        if option:
            for place in shlex.split(value.strip("'\"")):
                yield from (option, place)


def lock(subject: Image | WheelSource | Layer) -> str:
    """The text of a lock file. Raises EnvironmentProblem with the resolver's last words.

    A layer, and what compiles a package, is locked as it is listed, without its dependencies. An image keeps to the versions
    of the layer that it shares.
    """
    config = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True)
    command = [sys.executable, "-m", "uv", "pip", "compile", "-", "--quiet", "--generate-hashes"]
    command += ["--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links", "--no-config"]
    # Every index that has a version may serve it: the CPU build of PyTorch and its dependencies come from different ones.
    command += ["--index-strategy", "unsafe-best-match"]
    command += ["--python-version", IMAGE_PYTHON, "--python-platform", PLATFORM]
    command += ["--no-deps"] if isinstance(subject, WheelSource) else []
    if isinstance(subject, Image) and subject.layer:
        command += ["--constraints", str(subject.layer.requirements)]
    run = subprocess.run(
        [*command, *sources(config.stdout)],
        input="\n".join(subject.packages),
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode:
        raise EnvironmentProblem(
            f"{subject.name}: the packages of its yaml file do not resolve\n{run.stderr.strip()}",
            "correct the pins, or name the missing index in PIP_EXTRA_INDEX_URL",
        )
    return HEADER.format(name=subject.name) + (
        _listed(subject, run.stdout) if isinstance(subject, Layer) else run.stdout
    )


def _listed(layer: Layer, text: str) -> str:
    """Only what a layer lists. Its dependencies are locked with it first, for --no-deps knows no hashes of find-links."""
    return "".join(f"{entry}\n" for entry in entries(text) if entry.split()[0] in layer.packages)


def write(names: Sequence[str], catalog: Catalog, say: Callable[[str], None]) -> None:
    """Write the lock files of the named images, variants, compiled packages and layers, of all where none is named.

    Raises UsageError for a name that is none, EnvironmentProblem where packages do not resolve.
    """
    first: list[WheelSource | Layer] = [
        *catalog.layers.values(),
        *catalog.wheels.values(),
    ]  # images keep to their layers'
    known: dict[str, Image | WheelSource | Layer] = {**{subject.name: subject for subject in first}, **catalog.images}
    for name in names:
        if name not in known:
            raise UsageError(f"there is no image {name!r}", did_you_mean(name, list(known)))
    for name in names or known:
        write_atomically(known[name].requirements, lock(known[name]))
        say(f"{name}: locked")
