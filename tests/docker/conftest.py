"""The Docker Engine that tests with containers share."""

import os
from pathlib import Path

import pytest

from harness.catalog import load_catalog
from harness.engines.contract import Built, Outcome
from harness.engines.docker.engine import DockerEngine
from harness.engines.registry import choose
from harness.errors import EnvironmentProblem
from harness.runner.steps import hand_closure
from tests.docker.in_container import Run, prepare


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> DockerEngine:
    """The engine; without one these tests fail where it is required, and are skipped with the reason elsewhere."""
    try:
        found, _ = choose("docker", tmp_path_factory.mktemp("work"))
    except EnvironmentProblem as problem:
        if os.environ.get("MATRIX_REQUIRE_DOCKER") == "1":
            pytest.fail(f"MATRIX_REQUIRE_DOCKER=1, but: {problem}")
        pytest.skip(str(problem))
    assert isinstance(found, DockerEngine)
    return found


@pytest.fixture(scope="session")
def null(engine: DockerEngine) -> Built:
    """The environment of the null runtime as it is in the tree, and what is run by hand of it."""
    catalog = load_catalog()
    image = catalog.images["runtimes/null"]
    return engine.refresh(image, hand_closure(catalog, image), engine.places()[0], lambda _: None)


@pytest.fixture
def run(engine: DockerEngine, null: Built, tmp_path: Path) -> Run:
    """Runs a program in the null runtime's container to its end."""

    def run(text: str, timeout_s: float = 60, lines: list[str] | None = None) -> Outcome:
        job = prepare(engine, tmp_path, null, text, timeout_s)
        return engine.run(job, (lines if lines is not None else []).append)

    return run
