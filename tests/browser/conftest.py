"""One browser and one set of reports for all tests here."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness import report
from harness.results import Results
from tests.results_factory import hostile, many, results, two_machines

if TYPE_CHECKING:
    from playwright.sync_api import Browser

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        message = "no chromium on the PATH; apt-get install chromium"
        if os.environ.get("MATRIX_REQUIRE_BROWSER"):
            pytest.fail(message)
        pytest.skip(message)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    other = results().model_copy(update={"baseline": {"method": "original", "runtime": "onnxruntime"}})
    few = results(rounds=2, seed=3)
    runs = {
        "en": results(),
        "ru": results(language="ru"),
        "hostile": hostile(),
        "few": few,
        "other": other,
        "many": many(450),
        "two": two_machines(),
    }
    paths = {name: written(run, tmp_path_factory.mktemp(name)) for name, run in runs.items()}
    return {**paths, "compared": written(results(seed=8), tmp_path_factory.mktemp("compared"), before=results())}


def written(run: Results, folder: Path, before: Results | None = None) -> Path:
    report.render(run, folder, before)
    return folder / "index.html"
