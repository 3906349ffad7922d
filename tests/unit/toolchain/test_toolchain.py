"""The runner of toolchain images: what a step leaves behind when it works and when it does not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

from harness import tasks
from harness.catalog.closure import closure
from harness.contracts.artifact import Context, ConversionError, Recipe
from harness.contracts.cards import Use
from harness.toolchain.__main__ import KINDS, main, progress_printer
from harness.toolchain.steps import prepare

PASS = """
    from harness.contracts.cards import CostsBy, Form, Parameter, PassCard
    from harness.contracts.artifact import ConversionError, Made

    CARD = PassCard(
        name="flip-bits", summary="flips bits", accepts=(Form("hf"),), makes=Form("hf", "int8"), source="a paper",
        costs=CostsBy("mask", {"255": "int4", "254": "int8"}),
        parameters={"mask": Parameter(255, "what to flip", minimum=0, maximum=255)},
    )

    def apply(source, out, parameters, context):
        if parameters["mask"] == 13:
            raise ConversionError("13 brings bad luck")
        if parameters["mask"] == 14:
            return Made(weights=["model.safetensors"])
        if parameters["mask"] == 15:
            raise ZeroDivisionError("oh no")
        from flipping import flip  # what passes of one image share lies beside their folder

        context.progress(0.5, "half way")
        flipped = flip((source.path / "model.safetensors").read_bytes(), parameters["mask"])
        (out / "model.safetensors").write_bytes(flipped)
        return Made(weights=["model.safetensors"], effect={"bytes_flipped": len(flipped), "seed": context.seed,
            "use": str(context.use), "class": context.auto_class, "steps": context.recipe.steps})
"""
SHARED = """
    def flip(data, mask):
        return bytes(byte ^ mask for byte in data)
"""
EXPORTER = """
    from harness.contracts.cards import ExporterCard, Form
    from harness.contracts.artifact import Made

    CARD = ExporterCard(name="onnx", summary="exports", accepts=(Form("hf"),), makes=Form("onnx"), source="a manual")

    def export(source, out, context):
        (out / "model.onnx").write_bytes(2 * (source.path / "model.safetensors").read_bytes())
        return Made(weights=["model.onnx"], effect={"opset": 20}, extra={"inputs": ["pixel_values"]})
"""
MANIFEST = {
    "format": "hf",
    "precision": "fp32",
    **tasks.card("image-classification").facts,
    "weights": ["model.safetensors"],
    "passes": [
        {
            "name": "prune",
            "toolchain": "torch",
            "parameters": {},
            "effect": {"bits_per_weight": 8.0, "zeros": 3},
            "source": "another paper",
            "costs": "other",
        }
    ],
    "provenance": ["found on the beach"],
    "tools": {"sieve": "1.0"},
    "extra": {"of": "the source"},
}

Run = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def image(tmp_path: Path) -> Iterator[Path]:
    image = tmp_path / "image"
    for folder, name, code in (
        ("passes", "flip_bits", PASS),
        ("exporters", "onnx", EXPORTER),
        (".", "flipping", SHARED),
    ):
        (image / folder).mkdir(parents=True, exist_ok=True)
        (image / folder / f"{name}.py").write_text(textwrap.dedent(code))
    with mock.patch.dict(os.environ, {"MATRIX_IMAGE_DIR": str(image)}):
        yield image


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    artifact = tmp_path / "artifact"
    artifact.mkdir()
    (artifact / "model.safetensors").write_bytes(b"\x00\x01\x02")
    (artifact / "manifest.json").write_text(json.dumps(MANIFEST))
    return artifact


@pytest.fixture
def step(tmp_path: Path) -> Path:
    (tmp_path / "step").mkdir()
    return tmp_path / "step"


@pytest.fixture
def run(image: Path, artifact: Path, step: Path) -> Run:
    def run(kind: str, **spec: Any) -> tuple[int, dict[str, Any]]:
        described = {"kind": kind, "spec": {"toolchain": "fake", **spec}}
        (step / "step.json").write_text(json.dumps({**described, "seed": 7, "threads": 1}))
        code = main(["--step", str(step), "--input", f"artifact={artifact}"])
        return code, json.loads((step / "status.json").read_text())

    return run


def manifest(step: Path) -> dict[str, Any]:
    return dict(json.loads((step / "out/manifest.json").read_text()))


def test_a_pass_is_applied_and_recorded(run: Run, step: Path) -> None:
    code, status = run("compress", **{"pass": "flip-bits", "parameters": {}})
    assert (code, status["status"]) == (0, "ok")
    assert status["versions"]["python"]
    assert (step / "out/model.safetensors").read_bytes() == b"\xff\xfe\xfd"
    made = manifest(step)
    assert (made["format"], made["precision"], made["extra"]) == ("hf", "int8", {})
    assert made["passes"] == [
        *MANIFEST["passes"],  # type: ignore[misc]
        {
            "name": "flip-bits",
            "toolchain": "fake",
            "parameters": {"mask": 255},
            "effect": {
                "bytes_flipped": 3,
                "seed": 7,
                "use": "forward over image",
                "class": "AutoModelForImageClassification",
                "steps": 0,
            },
            "source": "a paper",
            "costs": "int4",
        },
    ]


@pytest.mark.parametrize(("mask", "costs"), [(255, "int4"), (254, "int8"), (1, "other")])
def test_what_a_pass_may_cost_goes_by_its_parameters(run: Run, step: Path, mask: int, costs: str) -> None:
    run("compress", **{"pass": "flip-bits", "parameters": {"mask": mask}})
    assert manifest(step)["passes"][-1]["costs"] == costs


def test_a_pass_is_told_the_recipe_of_its_step(run: Run, step: Path) -> None:
    recipe = {"steps": 5, "batch": 2, "learning_rate": 1e-3}
    run("compress", **{"pass": "flip-bits", "parameters": {}, "recipe": recipe})
    assert manifest(step)["passes"][-1]["effect"]["steps"] == 5


@pytest.mark.parametrize("kind", ["compress", "export"])
def test_how_a_model_is_used_is_carried_over(run: Run, step: Path, kind: str) -> None:
    run(kind, **({"pass": "flip-bits", "parameters": {}} if kind == "compress" else {"exporter": "onnx"}))
    facts = tasks.card("image-classification").facts
    assert facts.items() <= manifest(step).items()


def test_an_artifact_that_does_not_say_its_use_is_refused(run: Run, artifact: Path) -> None:
    (artifact / "manifest.json").write_text(json.dumps({k: v for k, v in MANIFEST.items() if k != "call"}))
    told = "artifact: manifest.json: the field 'call' is missing"
    assert run("export", exporter="onnx")[1]["reason"] == told


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_imports_the_module_of_its_own_kind_only(kind: str) -> None:
    found = closure(["harness.toolchain.__main__", f"harness.toolchain.steps.{kind}"]).files
    others = {f"harness/toolchain/steps/{other}.py" for other in KINDS if other != kind}
    assert not others & set(found)
    assert ("harness/datasets/__init__.py" in found) == (kind in ("prepare", "train"))


def test_provenance_and_tools_are_carried_over(run: Run, step: Path) -> None:
    run("compress", **{"pass": "flip-bits", "parameters": {}})
    assert manifest(step)["provenance"] == ["found on the beach"]
    assert manifest(step)["tools"]["sieve"] == "1.0"
    assert manifest(step)["tools"]["numpy"] == np.__version__


def test_an_exporter_changes_the_form_and_keeps_the_passes(run: Run, step: Path) -> None:
    code, _ = run("export", exporter="onnx")
    made = manifest(step)
    assert code == 0
    assert (made["format"], made["precision"], made["weights"]) == ("onnx", "fp32", ["model.onnx"])
    assert [each["name"] for each in made["passes"]] == ["prune"]
    assert made["extra"] == {"inputs": ["pixel_values"]}
    assert made["exports"] == [{"name": "onnx", "toolchain": "fake", "effect": {"opset": 20}, "source": "a manual"}]


def test_after_an_export_the_bits_of_a_weight_are_those_of_the_new_file(run: Run, step: Path) -> None:
    run("export", exporter="onnx")
    assert manifest(step)["passes"][0]["effect"] == {"bits_per_weight": 16.0, "zeros": 3}


@pytest.mark.parametrize(
    ("mask", "reason"),
    [
        (0, "the pass changed nothing: the weights are the same as before"),
        (13, "13 brings bad luck"),
        (14, "no weights were written: model.safetensors"),
        (15, "ZeroDivisionError: oh no"),
        (256, "flip-bits: mask: expected at most 255, got 256"),
        ("x", "flip-bits: mask: expected int, got 'x'"),
    ],
)
def test_a_pass_that_fails_says_why(run: Run, step: Path, mask: Any, reason: str) -> None:
    code, status = run("compress", **{"pass": "flip-bits", "parameters": {"mask": mask}})
    assert code == 1
    assert (status["status"], status["reason"]) == ("convert-failed", reason)
    assert not (step / "out/manifest.json").exists()


@pytest.mark.parametrize(
    ("kind", "spec", "reason"),
    [
        ("compress", {"pass": "flip-bits", "parameters": {"masc": 1}}, "flip-bits has no parameter masc"),
        ("compress", {"pass": "other", "parameters": {}}, "this toolchain has no other among its passes"),
        (
            "measure",
            {},
            "a toolchain does not know the step 'measure'; it knows normalize, prepare, train, compress, export",
        ),
    ],
)
def test_a_step_that_cannot_run_says_why(run: Run, kind: str, spec: dict[str, Any], reason: str) -> None:
    assert run(kind, **spec)[1]["reason"] == reason


def test_a_form_that_is_not_accepted_is_told(run: Run, artifact: Path) -> None:
    (artifact / "manifest.json").write_text(json.dumps({**MANIFEST, "precision": "bf16"}))
    assert run("export", exporter="onnx")[1]["reason"] == "onnx takes hf/fp32, not hf/bf16"


def test_a_folder_without_a_manifest_is_no_artifact(run: Run, artifact: Path) -> None:
    (artifact / "manifest.json").unlink()
    assert run("export", exporter="onnx")[1]["reason"] == "artifact is not an artifact: it has no manifest.json"


def test_the_command_runs_by_itself_and_prints_progress(image: Path, artifact: Path, step: Path) -> None:
    spec = {"pass": "flip-bits", "parameters": {}, "toolchain": "fake"}
    (step / "step.json").write_text(json.dumps({"kind": "compress", "spec": spec, "seed": 0, "threads": 1}))
    command = [sys.executable, "-m", "harness.toolchain", "--step", str(step), "--input", f"artifact={artifact}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "progress 0.50 half way\n"
    assert sorted(path.name for path in step.iterdir()) == ["out", "status.json", "step.json"]


@pytest.mark.parametrize("wrong", ["nothing", "name=/no/such/folder"])
def test_a_wrong_input_is_a_usage_error(step: Path, wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--step", str(step), "--input", wrong])
    assert f"expected NAME=DIR with an existing folder, got '{wrong}'" in capsys.readouterr().err


def test_help_explains_the_steps_with_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    shown = capsys.readouterr().out
    assert all(kind in shown for kind in ("prepare", "train", "compress", "export"))
    assert shown.count("python -m harness.toolchain --step /step") == 2


def test_progress_is_printed_once_a_second_and_at_the_end() -> None:
    lines: list[str] = []
    clock = iter([0.0, 0.4, 0.9, 1.2, 1.3])
    progress = progress_printer(lines.append, lambda: next(clock))
    for fraction in (0.0, 0.2, 0.4, 0.6, 1.0):
        progress(fraction, "epoch")
    assert lines == ["progress 0.00 epoch", "progress 0.60 epoch", "progress 1.00 epoch"]


def context(inputs: Mapping[str, Path]) -> Context:
    use, recipe = Use("forward", "image"), Recipe(0, 0, 0.0)
    return Context(0, 1, "image-classification", use, "AutoModel", recipe, lambda share, what: None, inputs)


def test_a_workload_that_asks_for_too_much_is_told_with_the_cure(tmp_path: Path) -> None:
    np.savez(tmp_path / "evaluate.npz", images=np.zeros((15, 8, 8), np.uint8), labels=np.zeros(15, np.int64))
    spec = {
        "task": "image-classification",
        "dataset": "path:./x",
        "split": "evaluate",
        "workload": {"batch": 2, "image_size": 8},
    }
    told = "path:./x: the data set has 15 images, the workload needs 16 (8 inputs of batch 2): ask for a smaller batch"
    with pytest.raises(ConversionError) as raised:
        prepare.run(spec, tmp_path, context({"model": tmp_path, "data-user": tmp_path}))
    assert str(raised.value) == told


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('{"tokens": ["a"], "tags": []}', "evaluate.jsonl, line 2: 1 tokens but 0 tags"),
        ('{"tokens": "a", "tags": "O"}', "evaluate.jsonl, line 2: tokens and tags have to be lists"),
        (
            '{"tokens": ["a"]}',
            "evaluate.jsonl, line 2: no field 'tags' (list of their tags in the IOB2 scheme); it has tokens",
        ),
    ],
)
def test_a_row_that_the_task_can_t_take_is_told_with_its_place(tmp_path: Path, line: str, told: str) -> None:
    (tmp_path / "evaluate.jsonl").write_text(f'{{"tokens": ["a"], "tags": ["O"]}}\n{line}\n', "utf-8")
    spec = {"task": "token-classification", "dataset": "path:./x", "split": "evaluate", "workload": None}
    with pytest.raises(ConversionError) as raised:
        prepare.run(spec, tmp_path, context({"model": tmp_path, "data-user": tmp_path}))
    assert str(raised.value) == told
