"""The tree below images/ can be read anywhere: cards are complete, nothing heavy is imported, locks hold hashes."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from harness.cards import Form
from harness.catalog import ROOT, Catalog, Image, Tool, load_catalog
from harness.lock import sources

CATALOG = load_catalog()
TOOLS = [*CATALOG.passes, *CATALOG.exporters]
IMAGES = list(CATALOG.images.values())
HEAVY = {"torch", "transformers", "onnx", "onnxruntime", "onnxruntime_genai", "safetensors", "gguf", "sklearn", "scipy"}


def reaches(form: Form) -> set[Form]:
    """Every form that passes and exporters can make of ``form``."""
    found = {form}
    while True:
        more = {tool.card.makes or f for tool in TOOLS for f in found if f in tool.card.accepts} - found
        if not more:
            return found
        found |= more


def test_every_card_says_what_it_is_and_where_that_comes_from() -> None:
    cards = [*(runtime.card for runtime in CATALOG.runtimes.values()), *(tool.card for tool in TOOLS)]
    assert cards
    assert all(card.summary and re.search(r"https://", card.source) for card in cards)


def test_a_runtime_is_named_like_its_folder() -> None:
    assert all(name == runtime.module.parent.name for name, runtime in CATALOG.runtimes.items())


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: f"{tool.module.parent.parent.name}-{tool.card.name}")
def test_a_pass_or_exporter_is_named_like_its_file(tool: Tool) -> None:
    assert tool.module.stem == tool.card.name.replace("-", "_")


def test_defaults_of_parameters_are_valid() -> None:
    parameters = [p for tool in CATALOG.passes for p in tool.card.parameters.values()]
    assert [p.problem(p.default) for p in parameters] == [None] * len(parameters)


def test_some_runtime_loads_every_form_that_can_be_made_of_a_checkpoint() -> None:
    loaded = {form for runtime in CATALOG.runtimes.values() for form in runtime.card.loads}
    assert reaches(Form("hf")) <= loaded


def test_reading_the_catalog_imports_nothing_heavy() -> None:
    code = "import sys; from harness.catalog import load_catalog; load_catalog(); print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not HEAVY & set(run.stdout.split())


@pytest.mark.parametrize("image", IMAGES, ids=lambda image: image.name)
def test_every_requirement_is_pinned_and_hashed(image: Image) -> None:
    text = image.requirements.read_text("utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert lines
    assert all(re.fullmatch(r"[\w.\-]+==[\w.+]+( ;.*?)?(\s+--hash=sha256:[0-9a-f]{64})+\s*", line) for line in lines)


@pytest.mark.parametrize("image", IMAGES, ids=lambda image: image.name)
def test_the_lock_holds_the_packages_of_image_yaml(image: Image) -> None:
    locked = set(re.findall(r"^[\w.\-]+==[\w.+]+", image.requirements.read_text("utf-8"), re.MULTILINE))
    assert {package.lower() for package in image.packages} <= locked


def test_the_lock_looks_where_pip_looks() -> None:
    config = "global.cert='/ca.crt'\n:env:.find-links='/wheels'\nglobal.extra-index-url='file:///a file:///b'\n"
    expected = ["--find-links", "/wheels", "--extra-index-url", "file:///a", "--extra-index-url", "file:///b"]
    assert list(sources(config)) == expected


def test_no_lock_names_a_place_of_this_machine() -> None:
    assert not [
        image.name for image in IMAGES if re.search(r"(?m)^--|file:|/opt/", image.requirements.read_text("utf-8"))
    ]


def test_images_are_found_by_their_folders(tmp_path: Path) -> None:
    assert load_catalog(tmp_path) == Catalog()
