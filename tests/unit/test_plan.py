"""From a matrix to cells and steps, on the catalog as it is in the tree."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from harness.catalog import load_catalog
from harness.matrix import spec
from harness.matrix.expand import expand
from harness.matrix.plan import Plan, Planner

CATALOG = load_catalog()
TEXT = (Path(__file__).parents[2] / "matrix.yaml").read_text("utf-8")
DEVICES = {"cpu": None, "cuda": "no NVIDIA driver"}


def planned(text: str = TEXT, engine: str = "docker") -> Plan:
    return Planner(spec.parse(text, "matrix.yaml", CATALOG), CATALOG, engine, DEVICES, str).plan()


def titles(plan: Plan, cell_id: str) -> list[str]:
    cell = next(cell for cell in plan.cells if cell.cell.id == cell_id)
    upstream = plan.upstream(cell.leaves)
    return [step.title for key, step in plan.steps.items() if key in upstream]


def test_int8_dynamic_is_pytorchs_own_on_pytorch_and_onnx_runtimes_own_on_onnx_runtime() -> None:
    plan = planned()
    assert "compress digits-cnn: int8-dynamic by torch" in titles(plan, "digits-cnn/int8-dynamic/pytorch/cpu/b1-i32")
    on_onnx = titles(plan, "digits-cnn/int8-dynamic/onnxruntime/cpu/b1-i32")
    exported = on_onnx.index("export digits-cnn to onnx/fp32")
    assert exported < on_onnx.index("compress digits-cnn: int8-dynamic by onnxruntime")


def test_a_combination_without_a_way_is_a_row_with_a_reason() -> None:
    cell = next(c for c in planned().cells if (c.cell.method, c.cell.runtime) == ("bf16", "onnxruntime"))
    assert cell.status == "unsupported"
    assert "hf/bf16" in str(cell.reason)


def test_cells_of_an_absent_device_are_skipped_with_the_reason() -> None:
    plan = planned(TEXT.replace("devices: [cpu]", "devices: [cpu, cuda]"))
    skipped = [c for c in plan.cells if c.cell.device == "cuda" and c.cell.runtime == "pytorch"]
    assert {c.status for c in skipped} == {"skipped"}
    assert {c.reason for c in skipped} == {"no NVIDIA driver"}


def test_the_same_matrix_has_the_same_keys() -> None:
    assert list(planned().steps) == list(planned().steps)


def test_only_measurements_depend_on_the_engine() -> None:
    docker, venv = planned(), planned(engine="venv")
    differing = {docker.steps[key].kind for key in docker.steps.keys() - venv.steps.keys()}
    assert differing == {"measure", "evaluate"}


def test_every_step_comes_after_its_inputs() -> None:
    plan = planned()
    order = {key: number for number, key in enumerate(plan.steps)}
    assert all(order[needed] < order[key] for key, step in plan.steps.items() for needed in step.inputs.values())


def test_exclude_drops_what_agrees_with_every_key() -> None:
    matrix = spec.parse(TEXT + "\nexclude: [{method: fp16, runtime: pytorch}]", "m", CATALOG)
    left = {(cell.method, cell.runtime) for cell in expand(matrix)}
    assert ("fp16", "pytorch") not in left
    assert ("fp16", "onnxruntime") in left


def test_include_adds_to_the_cells_it_agrees_with_and_makes_no_new_one() -> None:
    before = expand(spec.parse(TEXT, "m", CATALOG))
    after = expand(spec.parse(TEXT + "\ninclude: [{runtime: pytorch, rounds: 5}]", "m", CATALOG))
    assert [cell.id for cell in before] == [cell.id for cell in after]
    assert {cell.rounds for cell in after if cell.runtime == "pytorch"} == {5}
    assert {cell.rounds for cell in after if cell.runtime == "onnxruntime"} == {None}


def test_include_that_agrees_with_none_is_a_new_cell() -> None:
    extra = '\ninclude: [{model: digits-cnn, method: original, runtime: "null", workload: {batch: 7}}]'
    before, after = (expand(spec.parse(text, "m", CATALOG)) for text in (TEXT, TEXT + extra))
    (new,) = {cell.id for cell in after} - {cell.id for cell in before}
    assert new.startswith("digits-cnn/original/null/cpu/b7")


@given(st.integers(1, 4), st.integers(1, 3))
def test_cells_are_the_product_of_the_axes_and_their_ids_differ(workloads: int, methods: int) -> None:
    names = ["original", "fp16", "bf16"][:methods]
    sizes = [{"batch": batch + 1} for batch in range(workloads)]
    text = f"""
models: [{{name: digits-cnn, source: "zoo:digits-cnn", task: image-classification, dataset: "zoo:digits"}}]
methods: {names}
runtimes: [pytorch, onnxruntime]
workloads: {{image-classification: {sizes}}}
"""
    cells = expand(spec.parse(text, "m", CATALOG))
    assert len(cells) == workloads * methods * 2
    assert len({cell.id for cell in cells}) == len(cells)
