"""What a change of one file does to the keys of a plan: the steps whose closure holds it, no more and no less."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.catalog import Catalog, closure, load_catalog
from harness.contracts.step import MachineName
from harness.matrix import keys, load
from harness.matrix.plan import Plan
from harness.matrix.planner import Site
from tests.planning import planner

ROOT = Path(__file__).parents[3]
HERE = Site(MachineName("0", "here"), {"cpu": None, "cuda": "no GPU"})


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the package and its images that the closures are read from."""
    ignored = shutil.ignore_patterns("__pycache__", "requirements*.txt.*")
    shutil.copytree(ROOT / "harness", tmp_path / "harness", ignore=ignored)
    shutil.copytree(ROOT / "images", tmp_path / "images", ignore=ignored)
    monkeypatch.setattr(closure, "PACKAGE", tmp_path / "harness")
    monkeypatch.setattr(closure, "OPEN", ())
    keys._closure.cache_clear()
    yield tmp_path
    keys._closure.cache_clear()


#: Every kind of step, on few cells: two models of the zoo, one of files with a pass that trains.
SMALL = """
models:
  - {name: digits-cnn, source: "zoo:digits-cnn", task: image-classification, dataset: "zoo:digits"}
  - {name: mine, source: "path:./mine", task: text-classification, dataset: "path:./rows.jsonl"}
methods: [original, int8-dynamic, movement]
runtimes: [pytorch, onnxruntime]
"""


def plan(tree: Path, site: Site = HERE, catalog: Catalog | None = None, text: str | None = None) -> Plan:
    """The default matrix, or that of a text, planned over the copy."""
    catalog = catalog or load_catalog(tree / "images")
    matrix = load.parse(text or (ROOT / "matrix.yaml").read_text("utf-8"), "matrix.yaml", catalog)
    keys._closure.cache_clear()
    return planner(matrix, catalog, sites=[site]).plan()


def changed(tree: Path, before: Plan) -> int:
    """How many steps have another key."""
    return len(set(before.steps) - set(plan(tree).steps))


def test_a_task_a_data_set_a_pass_and_a_runtime_that_nothing_uses_change_no_key(tree: Path) -> None:
    before = plan(tree)
    toy = tree / "harness" / "tasks" / "toy"
    shutil.copytree(tree / "harness" / "tasks" / "image_classification", toy)
    shutil.copy(tree / "harness" / "zoo" / "datasets" / "digits.py", tree / "harness" / "zoo" / "datasets" / "toys.py")
    shutil.copy(tree / "harness" / "datasets" / "jsonl.py", tree / "harness" / "datasets" / "toys.py")
    text = (tree / "images/toolchains/torch/passes/fp16.py").read_text("utf-8")
    (tree / "images/toolchains/torch/passes/toy.py").write_text(text.replace('name="fp16"', 'name="toy"'), "utf-8")
    shutil.copytree(tree / "images/runtimes/null", tree / "images/runtimes/toy")
    adapter = tree / "images/runtimes/toy/adapter.py"
    adapter.write_text(adapter.read_text("utf-8").replace('name="null"', 'name="toy"'), "utf-8")
    assert changed(tree, before) == 0
    assert set(plan(tree).steps) == set(before.steps)


def test_every_file_changes_the_steps_whose_closure_holds_it_and_those_after_them(tree: Path) -> None:
    before = plan(tree, text=SMALL)
    assert {step.kind for step in before.steps.values()} == {
        *("fetch", "normalize", "prepare", "train", "compress", "export", "measure", "evaluate")
    }
    held: dict[Path, set[str]] = {}
    for key, step in before.steps.items():
        for source in step.code.files.values() if step.code else ():
            held.setdefault(source, set()).add(key)
    after: dict[str, set[str]] = {key: set() for key in before.steps}
    for key, step in before.steps.items():
        for wanted in step.inputs.values():
            after[wanted].add(key)

    def downstream(found: set[str]) -> set[str]:
        pending, seen = list(found), set(found)
        while pending:
            for key in after[pending.pop()] - seen:
                seen.add(key)
                pending.append(key)
        return seen

    catalog = load_catalog(tree / "images")
    tools = [*(tree / "images/toolchains/torch").rglob("*.py"), *(tree / "images/runtimes/pytorch").glob("*.py")]
    for file in sorted([*(tree / "harness").rglob("*.py"), *tools]):
        text = file.read_bytes()
        file.write_bytes(text + b"\n# changed\n")
        gone = set(before.steps) - set(plan(tree, catalog=catalog, text=SMALL).steps)
        file.write_bytes(text)
        assert gone == downstream(held.get(file, set())), file


@pytest.mark.parametrize(
    ("file", "kinds"),
    [
        ("harness/report/__init__.py", set()),
        ("harness/runner/store/store.py", set()),
        ("harness/datasets/jsonl.py", set()),  # the default matrix has data of the zoo only
        ("harness/worker/loop.py", {"measure"}),
        ("harness/worker/fidelity.py", {"evaluate"}),
        ("harness/tasks/image_classification/score.py", {"evaluate"}),
    ],
)
def test_a_change_makes_only_the_steps_that_need_it_anew(tree: Path, file: str, kinds: set[str]) -> None:
    before = plan(tree)
    with (tree / file).open("a") as stream:
        stream.write("\n# changed\n")
    gone = set(before.steps) - set(plan(tree).steps)
    assert {before.steps[key].kind for key in gone} <= kinds
    assert bool(gone) == bool(kinds)


def test_a_training_module_concerns_the_passes_that_train(tree: Path) -> None:
    before = plan(tree)
    with (tree / "images/toolchains/torch/training.py").open("a") as stream:
        stream.write("\n# changed\n")
    gone = set(before.steps) - set(plan(tree).steps)
    assert not [key for key in gone if before.steps[key].title.endswith(("fp16 by torch", "bf16 by torch"))]


def test_a_changed_environment_changes_the_steps_of_its_image(tree: Path) -> None:
    before = plan(tree)
    with (tree / "images/runtimes/onnxruntime/requirements.txt").open("a") as stream:
        stream.write("# changed\n")
    gone = set(before.steps) - set(plan(tree).steps)
    assert {before.steps[key].image for key in gone} == {"runtimes/onnxruntime"}


def test_a_measurement_belongs_to_its_machine_and_an_artifact_to_none(tree: Path) -> None:
    here, there = plan(tree), plan(tree, Site(MachineName("1", "there"), HERE.devices))
    renamed = plan(tree, Site(MachineName("0", "another name"), HERE.devices))
    differ = {here.steps[key].kind for key in set(here.steps) - set(there.steps)}
    assert differ == {"measure", "evaluate"}
    assert {step.kind for step in here.steps.values()} > differ
    assert set(renamed.steps) == set(here.steps)


def test_the_cells_of_a_group_are_measured_on_one_machine(tree: Path) -> None:
    catalog = load_catalog(tree / "images")
    matrix = load.load(ROOT / "matrix.yaml", catalog)
    sites = [Site(MachineName(str(number), ""), HERE.devices) for number in range(3)]
    made = planner(matrix, catalog, sites=sites).plan()
    machines: dict[tuple[object, ...], set[str]] = {}
    for planned in made.cells:
        cell = planned.cell
        for key in planned.leaves:
            machine = made.steps[key].machine
            assert machine is not None
            machines.setdefault((cell.model, cell.device, cell.workload), set()).add(machine.id)
    assert all(len(found) == 1 for found in machines.values())
