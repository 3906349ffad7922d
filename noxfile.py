"""The commands of this repository: ``nox -s matrix``, ``nox -s tests``; ``nox --list`` names the rest.

Arguments pass through after ``--``: ``nox -s matrix -- --only runtime=onnxruntime --plan``.
"""

from __future__ import annotations

from itertools import takewhile
from pathlib import Path
from tempfile import TemporaryDirectory

import nox

# pip, not uv: it honours the host's own pip configuration (mirrors, certificates, find-links).
nox.options.default_venv_backend = "virtualenv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["lint", "tests"]

PYPROJECT = nox.project.load_toml("pyproject.toml")
WAIT = {"interrupt_timeout": None, "terminate_timeout": None}  # Ctrl-C is the harness's to answer: it finishes the step


def install(session: nox.Session, *groups: str) -> None:
    """The package, editable, and the given dependency groups, unless nothing has changed since they were installed."""
    wanted = [requirement for group in groups for requirement in nox.project.dependency_groups(PYPROJECT, group)]
    mark = Path(session.virtualenv.location) / "installed.txt"
    state = Path("pyproject.toml").read_text("utf-8") + str(groups)
    if mark.exists() and mark.read_text("utf-8") == state:
        return
    session.install("--quiet", "--editable", ".", *wanted)
    mark.write_text(state, "utf-8")


def harness(session: nox.Session, *arguments: str, codes: tuple[int, ...] = (0,)) -> None:
    """Run the command line."""
    session.run("harness", *arguments, success_codes=list(codes), **WAIT)


@nox.session
def matrix(session: nox.Session) -> None:
    """Run matrix.yaml to a finished report in reports/, resumed where it stopped."""
    install(session)
    harness(session, "run", *session.posargs)


@nox.session
def images(session: nox.Session) -> None:
    """Build all images (or those named); where no Docker Engine answers, their virtual environments."""
    install(session)
    harness(session, "images", *session.posargs)


@nox.session
def base(session: nox.Session) -> None:
    """Make the base image from Debian packages, for machines that reach no image registry (needs root and debootstrap)."""
    session.run("bash", "images/base/debootstrap.sh", *session.posargs, external=True)


@nox.session
def report(session: nox.Session) -> None:
    """Draw the report again from reports/results.json."""
    install(session)
    harness(session, "report", *session.posargs)


@nox.session
def publish(session: nox.Session) -> None:
    """Write a static site into site/, ready for any web host."""
    install(session)
    harness(session, "publish", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests; those with containers or a browser run where an engine and Chromium are found. -- --cov tells coverage."""
    install(session, "test")
    words = [word for word in session.posargs if word != "--cov"]
    if words == session.posargs:
        session.run("pytest", *words)
        return
    session.run("coverage", "erase")
    session.run("coverage", "run", "-m", "pytest", *words)
    session.run("coverage", "combine", "--quiet")
    session.run("coverage", "report")


def image_of(toolchain: str) -> tuple[Path, Path]:
    """The folder of a toolchain's image and the lock file of its environment; ``tensorrt.rtx`` is a variant of tensorrt."""
    name, _, variant = toolchain.partition(".")
    folder = Path("images/toolchains", name)
    return folder, folder / (f"requirements.{variant}.txt" if variant else "requirements.txt")


def compiled(image: Path) -> list[Path]:
    """The recipes of the packages without wheels that an image's yaml file names."""
    _, _, listed = (image / "image.yaml").read_text("utf-8").partition("\ncompiled:\n")
    lines = takewhile(lambda line: line.startswith("  - "), listed.splitlines())
    return [Path("images/wheels", line.removeprefix("  - ")) for line in lines]


def install_compiled(session: nox.Session, recipe: Path) -> None:
    """Compile a package and install its wheel."""
    with TemporaryDirectory() as scratch:
        sources, out = Path(scratch, "sources"), Path(scratch, "out")
        out.mkdir()
        fetch = ("pip", "download", "--quiet", "--no-deps", "--require-hashes", "--no-binary", recipe.name)
        session.run(*fetch, "--requirement", f"{recipe}/requirements.txt", "--dest", str(sources))
        session.run("bash", f"{recipe}/build.sh", str(sources), str(out), external=True, silent=True)
        session.install("--quiet", "--no-deps", *map(str, out.glob("*.whl")))


@nox.session
@nox.parametrize("toolchain", sorted({file.parent.name for file in Path("tests/passes").glob("*/test_*.py")}))
def passes(session: nox.Session, toolchain: str) -> None:
    """Test the compression passes of a toolchain in its own locked environment: nox -s "passes(toolchain='torch')"."""
    image, lock = image_of(toolchain)
    recipes = compiled(image)
    state = "".join(file.read_text("utf-8") for file in (lock, *(recipe / "requirements.txt" for recipe in recipes)))
    mark = Path(session.virtualenv.location) / "installed.txt"
    if not mark.exists() or mark.read_text("utf-8") != state:
        session.install("--quiet", "--no-deps", "--require-hashes", "--requirement", str(lock))
        for recipe in recipes:
            install_compiled(session, recipe)
        session.install("--quiet", "pytest")
        mark.write_text(state, "utf-8")
    environment = {"PYTHONPATH": ".", "HF_HUB_OFFLINE": "1", "OMP_WAIT_POLICY": "PASSIVE", "TF_USE_LEGACY_KERAS": "1"}
    session.run(
        "python", "-m", "pytest", "--durations=10", f"tests/passes/{toolchain}", *session.posargs, env=environment
    )


@nox.session
def acceptance(session: nox.Session) -> None:
    """Run the default matrix from nothing with every engine, every mode of every runtime, then ``passes`` and ``faults``."""
    session.notify("passes")
    session.notify("faults")
    install(session, "test")
    session.run("pytest", "-s", "tests/acceptance", *session.posargs, **WAIT)


@nox.session
def fuzz(session: nox.Session) -> None:
    """Feed spoiled files to all that reads files: 100,000 inputs, or -- --inputs 5000; -- TARGET for one: see tests/fuzz/."""
    install(session, "test", "fuzz")
    session.run("python", "-m", "tests.fuzz", *session.posargs)


@nox.session
def faults(session: nox.Session) -> None:
    """Strike small runs with kills, full disks, clocks that are set, a Docker Engine that goes: see tests/faults; as root."""
    install(session, "test")
    session.run("pytest", "tests/faults", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and types."""
    install(session, "lint")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")
    for described in sorted(
        Path("images").glob("*/*/image.yaml")
    ):  # apart: images use the same names for their modules
        folder = str(described.parent)
        session.run("mypy", "--explicit-package-bases", folder, env={"MYPYPATH": f"{folder}:."}, silent=True)


@nox.session
def lock(session: nox.Session) -> None:
    """Make the requirements.txt of images again from the packages in their image.yaml."""
    install(session)
    harness(session, "lock", *session.posargs)


@nox.session
def audit(session: nox.Session) -> None:
    """Ask the package index for known vulnerabilities of all lock files; exceptions stand in .ci/audit.yaml."""
    install(session, "audit")
    session.run("python", ".ci/audit.py", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation into docs/_build/."""
    install(session, "docs")
    session.run("sphinx-build", "-W", "--keep-going", "docs", "docs/_build", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure the harness, native tools and images; or what is named, such as -- report_page: see benchmarks/."""
    install(session, "test")  # the page is measured in the browser of the tests, with the rows that they make
    for name in session.posargs or ("overhead", "native", "image_sizes"):
        session.run("python", f"benchmarks/{name}.py", env={"PYTHONPATH": "."}, **WAIT)
