"""The tree below images/ can be read anywhere: cards are complete, nothing heavy is imported, locks hold hashes."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from harness.catalog import Catalog, Image, Tool, WheelSource, load_catalog
from harness.contracts.cards import ExporterCard, Form, PassCard
from harness.provision.lock import sources

ROOT = Path(__file__).parents[3]

CATALOG = load_catalog()
TOOLS = [*CATALOG.passes, *CATALOG.exporters]
IMAGES: list[Image | WheelSource] = [*CATALOG.images.values(), *CATALOG.wheels.values()]
TASKS = ("text-generation", "token-classification", "text-classification", "image-classification")
HEAVY = {"torch", "transformers", "onnx", "onnxruntime", "onnxruntime_genai", "safetensors", "gguf", "sklearn", "scipy"}


def reaches(form: Form) -> set[Form]:
    """Every form that passes and exporters can make of ``form``."""
    found = {form}
    while True:
        more = {
            made for tool in TOOLS for f in found if f in tool.card.accepts for made in made_of(tool.card, f)
        } - found
        if not more:
            return found
        found |= more


def made_of(card: PassCard | ExporterCard, form: Form) -> set[Form]:
    """What comes out of ``form``: for a pass with every choice of every parameter."""
    if isinstance(card, ExporterCard):
        return {card.result(form)}
    choices = [(name, value) for name, parameter in card.parameters.items() for value in parameter.choices]
    return {card.result(form, card.complete(dict([choice]))) for choice in choices} or {
        card.result(form, card.complete({}))
    }


def test_every_card_says_what_it_is_and_where_that_comes_from() -> None:
    cards = [*(runtime.card for runtime in CATALOG.runtimes.values()), *(tool.card for tool in TOOLS)]
    assert cards
    assert all(card.summary and re.search(r"https://", card.source) for card in cards)


def test_every_folder_of_runtimes_holds_one_of_its_name() -> None:
    folders = {runtime.module.parent.name for runtime in CATALOG.runtimes.values()}
    assert folders <= CATALOG.runtimes.keys()


def test_modes_of_one_folder_tell_themselves_apart() -> None:
    told = [
        (runtime.module, card.mode, card.variant, card.loads)
        for runtime in CATALOG.runtimes.values()
        for card in [runtime.card]
    ]
    assert len(set(told)) == len(told)


@pytest.mark.parametrize(
    ("template", "expected"),
    [("{precision}", "fp16"), ("{type}", "q4_k_m"), ("int8", "int8")],
)
def test_a_form_is_filled_from_what_goes_in_and_from_parameters(template: str, expected: str) -> None:
    made = Form("gguf", template).filled(Form("hf", "fp16"), {"type": "Q4_K_M"})
    assert made == Form("gguf", expected)


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: f"{tool.module.parent.parent.name}-{tool.card.name}")
def test_a_pass_or_exporter_is_named_like_its_file(tool: Tool) -> None:
    assert tool.module.stem == tool.card.name.replace("-", "_")


def test_defaults_of_parameters_are_valid() -> None:
    parameters = [p for tool in CATALOG.passes for p in tool.card.parameters.values()]
    assert [p.problem(p.default) for p in parameters] == [None] * len(parameters)


def test_every_form_that_can_be_made_of_a_checkpoint_is_loaded_or_taken_further() -> None:
    loaded = {form for runtime in CATALOG.runtimes.values() for form in runtime.card.loads}
    taken = {form for tool in TOOLS for form in tool.card.accepts}
    assert reaches(Form("hf")) <= loaded | taken


def test_no_code_below_images_names_a_task() -> None:
    """What a model is for is known to its task alone: all else goes by how it is called and what it takes in."""
    named = re.compile(
        "|".join(rf"[\"']{name}[\"']" for name in TASKS) + r"|\bharness(\.| import )tasks\b|\bcontext\.task\b"
    )
    files = list((ROOT / "images").rglob("*.py"))
    assert len(files) > len(TOOLS)
    assert [file for file in files if named.search(file.read_text("utf-8"))] == []


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
    assert {re.sub(r"\[.*?\]", "", package).lower() for package in image.packages} <= locked


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
