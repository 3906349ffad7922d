"""The Docker Engine that tests with containers share."""

import os

import pytest

from harness.catalog import load_catalog
from harness.engines.contract import Built
from harness.engines.docker.engine import DockerEngine
from harness.engines.registry import choose
from harness.errors import EnvironmentProblem
from harness.runner.steps import hand_closure


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
