"""The Docker Engine that tests with containers share."""

import os

import pytest

from harness.catalog import load_catalog
from harness.engines import Environment, choose
from harness.engines.docker import DockerEngine
from harness.errors import EnvironmentProblem


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
def null(engine: DockerEngine) -> Environment:
    """The image of the null runtime as it is in the tree."""
    return engine.ensure(load_catalog().images["runtimes/null"], lambda _: None)
