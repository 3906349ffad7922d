"""``exclude`` and ``include`` mean what they mean in GitHub Actions, for any matrix and any entry."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from harness.catalog import load_catalog
from harness.matrix import spec
from harness.matrix.expand import MatrixCell, expand, workload_name

CATALOG = load_catalog()
MODEL = {"task": "image-classification", "source": "zoo:digits-cnn", "dataset": "zoo:digits"}
METHODS = ["original", "fp16", "bf16", "int8-dynamic"]
RUNTIMES = ["pytorch", "onnxruntime", "null"]
SIZES = [{"batch": 1}, {"batch": 4}, {"batch": 1, "image_size": 32}]


def subsets(values: list[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(st.sampled_from(values), min_size=1, max_size=len(values), unique_by=str)


matrices = st.fixed_dictionaries(
    {
        "models": st.just([{"name": "a", **MODEL}, {"name": "b", **MODEL}]),  # unknown names never come to expansion
        "methods": subsets(METHODS),
        "runtimes": subsets(RUNTIMES),
        "devices": subsets(["cpu", "cuda"]),
        "workloads": subsets(SIZES).map(lambda sizes: {"image-classification": sizes}),
    }
)
quick = settings(max_examples=40, deadline=None)
patterns = st.fixed_dictionaries(
    {},
    optional={
        "model": st.sampled_from(["a", "b"]),
        "method": st.sampled_from(METHODS),
        "runtime": st.sampled_from(RUNTIMES),
        "device": st.sampled_from(["cpu", "cuda"]),
        "workload": st.sampled_from(SIZES),
    },
)


def cells(data: dict[str, Any], **more: Any) -> list[MatrixCell]:
    return expand(spec.Matrix.model_validate({**data, **more}))


def agrees(cell: MatrixCell, entry: dict[str, Any]) -> bool:
    """The rule, written out once more: no key of the entry contradicts the cell."""
    axes = {axis: getattr(cell, axis) for axis in ("model", "method", "runtime", "device")}
    sizes = dict(cell.workload)
    return all(
        all(sizes[field] == size for field, size in value.items()) if key == "workload" else axes[key] == value
        for key, value in entry.items()
        if key in (*axes, "workload")
    )


@quick
@given(matrices)
def test_the_cells_are_the_product_of_the_axes(data: dict[str, Any]) -> None:
    axes = [
        data["models"],
        data["methods"],
        data["runtimes"],
        data["devices"],
        data["workloads"]["image-classification"],
    ]
    size = 1
    for axis in axes:
        size *= len(axis)
    assert len(cells(data)) == size


@quick
@given(matrices, st.lists(patterns, max_size=3), st.lists(patterns, max_size=3))
def test_ids_are_unique(data: dict[str, Any], exclude: list[Any], include: list[Any]) -> None:
    ids = [cell.id for cell in cells(data, exclude=exclude, include=include)]
    assert len(ids) == len(set(ids))


@quick
@given(matrices, patterns)
def test_exclude_removes_exactly_what_agrees_with_all_its_keys(data: dict[str, Any], entry: dict[str, Any]) -> None:
    assert cells(data, exclude=[entry]) == [cell for cell in cells(data) if not agrees(cell, entry)]


@quick
@given(matrices, patterns, st.integers(1, 9))
def test_include_changes_exactly_what_it_agrees_with(data: dict[str, Any], entry: dict[str, Any], rounds: int) -> None:
    before = {cell.id: cell for cell in cells(data)}
    after = {cell.id: cell for cell in cells(data, include=[{**entry, "rounds": rounds}])}
    assert {id: after[id].rounds for id in before} == {
        id: rounds if agrees(cell, entry) else None for id, cell in before.items()
    }


@quick
@given(matrices, patterns)
def test_include_makes_a_cell_only_where_it_agrees_with_none(data: dict[str, Any], entry: dict[str, Any]) -> None:
    before = cells(data)
    if any(agrees(cell, entry) for cell in before):
        assert cells(data, include=[entry]) == before


@quick
@given(matrices, st.integers(10, 99))
def test_include_that_contradicts_every_cell_makes_a_new_one(data: dict[str, Any], batch: int) -> None:
    entry = {"model": data["models"][0]["name"], "method": "original", "runtime": "null", "workload": {"batch": batch}}
    before, after = cells(data), cells(data, include=[entry])
    assert after[:-1] == before
    assert after[-1].id == f"{entry['model']}/original/null/cpu/b{batch}-i224"


def test_include_brings_back_what_exclude_removed() -> None:
    data = {"models": [{"name": "a", **MODEL}], "methods": ["original"], "runtimes": ["pytorch", "null"]}
    entry = {"model": "a", "method": "original", "runtime": "null"}
    assert [cell.runtime for cell in cells(data, exclude=[{"runtime": "null"}], include=[entry])] == ["pytorch", "null"]


def test_of_a_list_in_a_pattern_any_value_will_do() -> None:
    data = {"models": [{"name": "a", **MODEL}], "methods": ["original", "fp16"], "runtimes": ["pytorch", "onnxruntime"]}
    left = cells(data, exclude=[{"method": ["fp16", "int4"], "runtime": ["pytorch", "null"]}])
    assert [(cell.method, cell.runtime) for cell in left] == [
        ("original", "pytorch"),
        ("original", "onnxruntime"),
        ("fp16", "onnxruntime"),
    ]
    made = cells(data, include=[{"model": "a", "method": ["original", "fp16"], "runtime": ["null"]}])[4:]
    assert [(cell.method, cell.runtime, cell.device) for cell in made] == [
        ("original", "null", "cpu"),
        ("fp16", "null", "cpu"),
    ]


def test_later_includes_add_to_earlier_ones() -> None:
    data = {"models": [{"name": "a", **MODEL}], "methods": ["original"], "runtimes": ["pytorch"]}
    (cell,) = cells(data, include=[{"rounds": 5}, {"max_seconds": 2.0}, {"rounds": 7}])
    assert (cell.rounds, cell.max_seconds) == (7, 2.0)


def test_a_models_own_workloads_go_before_the_matrixs() -> None:
    model = {"name": "a", **MODEL, "workloads": [{"batch": 2}]}
    data = {"models": [model], "methods": ["original"], "runtimes": ["pytorch"]}
    (cell,) = cells(data, workloads={"image-classification": SIZES})
    assert workload_name(cell.workload) == "b2-i224"
