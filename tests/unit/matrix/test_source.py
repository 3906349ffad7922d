"""The grammar of sources, and the form that one is taken to hold before it is fetched."""

from __future__ import annotations

import pytest

from harness.contracts.cards import Form
from harness.matrix.source import HubSource, PackageSource, PathSource, Source, ZooSource, form_of, parse


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("hf:org/name@v1.0", HubSource("org/name", "v1.0")),
        ("hf:org/name", HubSource("org/name", "main")),
        ("hf:org/name@refs/pr/7", HubSource("org/name", "refs/pr/7")),
        ("path:./model", PathSource("./model")),
        ("path:models/my model.gguf", PathSource("models/my model.gguf")),
        ("pypi:a-b==1.0/a_b/model.gguf", PackageSource("a-b", "1.0", "a_b/model.gguf")),
        ("pypi:a==1.0/a/model/", PackageSource("a", "1.0", "a/model")),
        ("pypi:a==1.0+cpu/a/m", PackageSource("a", "1.0+cpu", "a/m")),
        ("zoo:minilm-ner", ZooSource("minilm-ner")),
    ],
)
def test_a_source_is_read_and_written_the_same_way(text: str, source: Source) -> None:
    assert parse(text) == source
    assert parse(str(source)) == source


@pytest.mark.parametrize(
    ("text", "expected_form"),
    [
        ("", "hf:org/name@revision"),
        ("name", "hf:org/name@revision"),
        ("s3:bucket/key", "zoo:name"),
        ("hf:name", "hf:org/name@revision"),
        ("hf:org/name@", "hf:org/name@revision"),
        ("hf:--org/name", "hf:org/name@revision"),
        ("path:", "path:./folder"),
        ("pypi:package", "pypi:package==version/path"),
        ("pypi:package==1.0", "pypi:package==version/path"),
        ("pypi:package>=1.0/x", "pypi:package==version/path"),
        ("pypi:--index-url=x==1.0/x", "pypi:package==version/path"),
        ("pypi:package==1.0/../x", "plain path"),
        ("pypi:package==1.0//etc/passwd", "plain path"),
        ("zoo:No Such", "zoo:name"),
    ],
)
def test_a_mistake_is_told_with_the_expected_form(text: str, expected_form: str) -> None:
    with pytest.raises(ValueError, match="expected") as caught:
        parse(text)
    assert expected_form in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("pypi:a==1/a/SmolLM.Q4_1.gguf", "gguf/mixed"),
        ("path:./model.GGUF", "gguf/mixed"),
        ("path:./model.onnx", "onnx/fp32"),
        ("pypi:a==1/a/model", "hf/fp32"),
        ("hf:org/name.gguf", "hf/fp32"),
        ("zoo:digits-cnn", "hf/fp32"),
    ],
)
def test_the_form_is_guessed_from_the_name_alone(text: str, form: str) -> None:
    assert form_of(parse(text)) == Form.parse(form)
