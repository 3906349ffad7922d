"""What a local model is, and what will not work with it, is told before anything runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.catalog import load_catalog
from harness.contracts.cards import Form
from harness.errors import SourceError
from harness.matrix import check
from harness.matrix.document import MatrixError
from harness.matrix.load import load
from harness.matrix.source import HubSource, PathSource
from harness.matrix.spec import Matrix, Method, Model
from harness.sources import look
from tests.checkpoints import write_model


def model(**more: Any) -> Model:
    given = {"name": "m", "source": "path:m", "task": "token-classification", "dataset": "zoo:named-entities", **more}
    return Model.model_validate(given)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "m"
    path.mkdir()
    return path


def configure(folder: Path, **config: Any) -> None:
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(("dtype", "precision"), [("F32", "fp32"), ("BF16", "bf16"), ("F16", "fp16"), ("F64", "fp32")])
def test_a_checkpoint_starts_in_its_own_precision(folder: Path, dtype: str, precision: str) -> None:
    write_model(folder, {"w": (dtype, [4, 4])})
    assert look.contents(model(), folder.parent).form == Form("hf", precision)


def test_a_model_of_another_task_is_refused(folder: Path) -> None:
    write_model(folder)
    configure(folder, architectures=["BartForConditionalGeneration"])
    with pytest.raises(SourceError, match="a BartForConditionalGeneration, which is not made for text-generation"):
        look.contents(model(task="text-generation"), folder.parent)
    configure(folder, architectures=["BertForSequenceClassification"])
    with pytest.raises(SourceError) as told:
        look.contents(model(), folder.parent)
    assert told.value.cure == "its task is text-classification"
    configure(folder, architectures=["BertModel"])
    with pytest.raises(SourceError) as told:
        look.contents(model(), folder.parent)
    assert "it has no head" in str(told.value.cure)


def test_a_model_with_code_of_its_own_may_be_called_anything(folder: Path) -> None:
    write_model(folder)
    configure(folder, architectures=["Mine"], auto_map={"AutoModelForTokenClassification": "mine.Mine"})
    assert look.contents(model(), folder.parent).form == Form("hf", "fp32")


def test_a_quantized_checkpoint_is_refused(folder: Path) -> None:
    write_model(folder)
    configure(folder, quantization_config={"quant_method": "gptq"})
    with pytest.raises(SourceError, match="quantized already, by gptq"):
        look.contents(model(), folder.parent)


def test_an_adapter_alone_needs_its_base(folder: Path) -> None:
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "org/base"}))
    write_model(folder)
    (folder / "config.json").unlink()
    (folder / "model.safetensors").rename(folder / "adapter_model.safetensors")
    with pytest.raises(SourceError, match="an adapter alone, of the base model 'org/base'") as told:
        look.contents(model(), folder.parent)
    assert "`base: hf:org/base`" in str(told.value.cure)
    assert look.contents(model(base="hf:org/base"), folder.parent).base == HubSource("org/base")


def test_all_mistakes_stand_at_the_sources_of_their_models(tmp_path: Path) -> None:
    file = tmp_path / "m.yaml"
    names = ("gone", "empty")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/readme.md").write_text("")
    entries = "\n".join(
        f"  - {{name: {name}, source: 'path:{name}', task: token-classification, dataset: 'zoo:named-entities'}}"
        for name in names
    )
    file.write_text(f"models:\n{entries}\nmethods: [original]\nruntimes: [pytorch]\n")
    with pytest.raises(MatrixError) as told:
        load(file, load_catalog(), look.mistakes)
    assert [mistake.location for mistake in told.value.mistakes] == [("models", 0, "source"), ("models", 1, "source")]


def test_a_base_belongs_to_an_adapter_alone(folder: Path) -> None:
    write_model(folder)
    with pytest.raises(SourceError, match="no adapter alone, so that it has no base"):
        look.contents(model(base="hf:org/base"), folder.parent)
    assert look.contents(model(source="hf:org/adapter", base="path:b"), folder.parent).base == PathSource("b")


@pytest.mark.parametrize(
    ("more", "location", "told"),
    [
        ({"base": "nowhere"}, "base", "is not a source"),
        ({"base": "zoo:digits-cnn"}, "base", "the zoo's models are trained"),
        ({"file": "../x.gguf"}, "source", "is no file inside"),
        ({"file": "/x.gguf"}, "source", "is no file inside"),
        ({"file": "a#b"}, "source", "is no file inside"),
        ({"source": "zoo:digits-cnn", "file": "x"}, "source", "names one model already"),
    ],
)
def test_a_base_or_a_file_that_cannot_be_is_told_at_its_key(more: dict[str, str], location: str, told: str) -> None:
    matrix = Matrix(models=[model(**more)], methods=[Method(name="original")], runtimes=["pytorch"])
    (mistake,) = check.mistakes(matrix, load_catalog())
    assert mistake.location == ("models", 0, location)
    assert told in mistake.problem
