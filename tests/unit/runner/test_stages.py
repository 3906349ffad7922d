"""A plan is run in a fair order, one bad step stops nothing else, and what is done is never done again."""

from __future__ import annotations

import errno
import json
import os
import signal
import threading
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from harness.catalog import Image
from harness.contracts.step import MachineName
from harness.engines.contract import Built, ImageGone, Job, Outcome, Place, Say
from harness.errors import EnvironmentProblem
from harness.results import Status
from harness.runner.interrupt import Interrupted, Interrupts
from harness.runner.stages import Run
from tests.in_process import CELLS, HERE, ROUNDS, Behaviour, InProcess, end, execute, kinds, pass_over, say, succeed


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return tmp_path / "store"


def test_conversions_come_first_then_rounds_then_evaluation(work: Path) -> None:
    engine = InProcess()
    execute(work, engine)
    stages = ["data"] + ["artifact"] * 8 + ["measure"] * 8 * ROUNDS + ["evaluate"] * 8
    assert kinds(engine.ran) == stages


def test_every_cell_has_a_round_before_any_has_two(work: Path) -> None:
    engine = InProcess()
    execute(work, engine)
    rounds = [key[-1] for key in engine.ran if key.startswith("measure")]
    assert rounds == ["0"] * 8 + ["1"] * 8 + ["2"] * 8


def test_cells_are_in_another_order_in_every_round(work: Path) -> None:
    engine = InProcess()
    execute(work, engine)
    measured = [key for key in engine.ran if key.startswith("measure")]
    orders = [[key.split("-")[1] for key in measured[start : start + 8]] for start in (0, 8, 16)]
    assert list(CELLS) not in orders
    assert len({tuple(order) for order in orders}) == 3


def test_the_same_seed_gives_the_same_order_and_another_seed_another(tmp_path: Path) -> None:
    engines = [InProcess() for _ in range(3)]
    for number, (engine, seed) in enumerate(zip(engines, (1, 1, 2), strict=True)):
        execute(tmp_path / str(number), engine, seed)
    orders = [[key for key in engine.ran if key.startswith("measure")] for engine in engines]
    assert orders[0] == orders[1]
    assert orders[0] != orders[2]


def test_a_second_run_runs_nothing(work: Path) -> None:
    execute(work, InProcess())
    again = InProcess()
    assert execute(work, again).ran == 0
    assert again.ran == []


def test_a_run_uses_all_steps_of_its_cells_and_their_inputs(work: Path) -> None:
    store = execute(work, InProcess()).store
    for step in work.glob("steps/??/*"):
        os.utime(step, (0, 0))
    assert len(list(store.old_entries(3600))) == len(list(work.glob("steps/??/*"))) > 0
    execute(work, InProcess())
    assert not list(store.old_entries(3600))


def test_what_depends_on_a_failed_step_inherits_its_reason_without_running(work: Path) -> None:
    engine = InProcess({"artifact-a": say("convert-failed", "no such operator")})
    run = execute(work, engine)
    heirs = {key for key, failure in run.failures.items() if "no such operator" in failure.reason}
    assert heirs == {"artifact-a", "evaluate-a", *(f"measure-a-{number}" for number in range(ROUNDS))}
    assert not {key for key in engine.ran if key.startswith(("measure-a", "evaluate-a"))}


def test_a_failed_step_is_tried_once_in_a_run(work: Path) -> None:
    engine = InProcess({"artifact-a": say("convert-failed", "no such operator")})
    execute(work, engine)
    assert engine.ran.count("artifact-a") == 1


def test_other_cells_go_on_after_a_failure(work: Path) -> None:
    run = execute(work, InProcess({"artifact-a": say("convert-failed", "no such operator")}))
    assert all(run.store.find(key) for planned in run.plan.cells[1:] for key in planned.leaves)


def test_without_a_reference_the_others_are_evaluated_all_the_same(work: Path) -> None:
    given: dict[str, bool] = {}

    def note(job: Job) -> Outcome:
        given[job.key] = "reference" in job.inputs
        return succeed(job)

    behaviours: dict[str, Behaviour] = {f"evaluate-{name}": note for name in CELLS}
    run = execute(work, InProcess(behaviours | {"evaluate-a": say("crashed", "killed")}))
    assert run.failures.keys() == {"evaluate-a"}
    assert len(given) == len(CELLS) - 1
    assert not any(given.values())
    again: dict[str, Behaviour] = {f"evaluate-{name}": note for name in CELLS}
    execute(work.with_name("other"), InProcess(again))
    assert sum(given.values()) == len(CELLS) - 1


def test_a_failed_step_is_tried_again_by_the_next_run(work: Path) -> None:
    execute(work, InProcess({"artifact-a": say("convert-failed", "no such operator")}))
    again = InProcess()
    assert execute(work, again).failures == {}
    assert set(kinds(again.ran)) == {"artifact", "measure", "evaluate"}
    assert all("-a" in key for key in again.ran)


def test_an_image_that_does_not_build_fails_its_steps_only(work: Path) -> None:
    run = execute(work, InProcess(broken=("runtimes/null",)))
    assert run.failures["measure-a-0"].status == Status.BUILD_FAILED
    assert run.failures["measure-a-0"].log_tail == "the end of the log"
    assert run.store.find("artifact-a")


def test_a_run_that_was_killed_goes_on_where_it_stopped(work: Path) -> None:
    def stop(job: Job) -> Outcome:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        execute(work, InProcess({"measure-c-1": stop}))
    done = {file.parent.name for file in work.glob("steps/??/*/receipt.json")}
    again = InProcess()
    execute(work, again)
    assert done
    assert "measure-c-1" in again.ran
    assert not done & set(again.ran)


def test_ctrl_c_ends_the_run_after_the_step_that_runs(work: Path) -> None:
    engine = InProcess()
    interrupts = Interrupts(lambda line: None, engine.kill)

    def interrupt(job: Job) -> Outcome:
        signal.raise_signal(signal.SIGINT)
        return succeed(job)

    engine.behaviours = {"measure-b-0": interrupt}
    run = pass_over(work, engine, interrupts)
    with interrupts, pytest.raises(Interrupted):
        run.execute()
    assert engine.ran[-1] == "measure-b-0"
    assert run.store.find("measure-b-0")


def test_ctrl_c_lets_all_steps_end_that_run_side_by_side(work: Path) -> None:
    engine = InProcess()
    interrupts = Interrupts(lambda line: None, engine.kill)
    both = threading.Barrier(2, timeout=10)

    def interrupt(job: Job) -> Outcome:
        both.wait()  # proves that the two run at the same time
        signal.raise_signal(signal.SIGINT)
        both.wait()
        return succeed(job)

    engine.behaviours = {"artifact-a": interrupt, "artifact-b": interrupt}
    run = pass_over(work, engine, interrupts)
    with interrupts, pytest.raises(Interrupted):
        run.execute()
    assert set(engine.ran) == {"data", "artifact-a", "artifact-b"}
    assert run.store.find("artifact-a")
    assert run.store.find("artifact-b")


def test_an_image_is_built_while_steps_of_another_run(work: Path) -> None:
    both = threading.Barrier(2, timeout=10)

    @dataclass
    class Slow(InProcess):
        def ensure(self, image: Image, place: Place, say: Say) -> Built:
            if image.kind == "runtimes":
                both.wait()
            return super().ensure(image, place, say)

    def meet(job: Job) -> Outcome:
        both.wait()
        return succeed(job)

    engine = Slow({"data": meet})
    execute(work, engine)
    assert kinds(engine.ran)[-1] == "evaluate"


def test_one_missing_step_is_all_that_runs(work: Path) -> None:
    run = execute(work, InProcess())
    entry = run.store.find("measure-d-2")
    assert entry is not None
    (entry.path / "receipt.json").unlink()
    again = InProcess()
    execute(work, again)
    assert again.ran == ["measure-d-2"]


def test_a_damaged_artifact_is_made_again_before_it_is_used(work: Path) -> None:
    store = execute(work, InProcess()).store
    for key, damage in (("artifact-a", "made.txt"), ("measure-a-0", None)):
        entry = store.find(key)
        assert entry is not None
        if damage:
            (entry.out / damage).write_text("damaged")
        else:
            (entry.path / "receipt.json").unlink()
    again = InProcess()
    execute(work, again)
    assert again.ran == ["artifact-a", "measure-a-0"]


def test_a_damaged_record_is_measured_again(work: Path) -> None:
    entry = execute(work, InProcess()).store.find("measure-a-0")
    assert entry is not None
    (entry.out / "record.json").write_text("a better number")
    again = InProcess()
    execute(work, again)
    assert again.ran == ["measure-a-0"]


@pytest.mark.parametrize(
    ("behaviour", "status", "reason"),
    [
        (end(timed_out=True), Status.TIMEOUT, "measure was ended after 60 s"),
        (end(oom=True), Status.OOM_HOST, "measure needed more than its 1.0 GiB of memory"),
        (end("loading\nAborted\n\n"), Status.CRASHED, "exit code 137 (SIGKILL, killed): Aborted"),
        (end(exit_code=132), Status.CRASHED, "exit code 132 (SIGILL, illegal instruction): it printed nothing"),
        (end(), Status.CRASHED, "exit code 137 (SIGKILL, killed): it printed nothing"),
        (end(exit_code=0), Status.CRASHED, "exit code 0"),
        (end(exit_code=170), Status.CRASHED, "exit code 170: it printed nothing"),
        (end(exceeded="it wrote too much"), Status.CRASHED, "measure: it wrote too much"),
        (say("crashed", "OSError: [Errno 27] File too large: 'x'"), Status.CRASHED, "256 GiB (MATRIX_OUTPUT_BYTES is"),
        (end(exit_code=153), Status.CRASHED, "256 GiB (MATRIX_OUTPUT_BYTES is the bound)"),
        (say("crashed", "OSError: [Errno 28] No space left on device"), Status.CRASHED, "1 GiB (MATRIX_TMP_BYTES is"),
        (say("oom-gpu", "CUDA out of memory"), Status.OOM_GPU, "measure: CUDA out of memory"),
        (say("crashed", "ValueError: no"), Status.CRASHED, "measure: ValueError: no"),
    ],
)
def test_how_a_step_ended_is_told_by_its_status(work: Path, behaviour: Behaviour, status: Status, reason: str) -> None:
    engine = InProcess({"measure-a-1": behaviour}, isolation="container")
    failure = execute(work, engine).failures["measure-a-1"]
    assert failure.status == status
    assert reason in failure.reason


def test_a_failure_is_on_disk_with_its_reason(work: Path) -> None:
    execute(work, InProcess({"measure-a-1": end(timed_out=True)}))
    (kept,) = work.glob("failed/*/measure-a-1/status.json")
    assert json.loads(kept.read_text()) == {"status": "timeout", "reason": "measure was ended after 60 s"}


# --- several places ---------------------------------------------------------------------------------------------------------

TWO = tuple(Place(name, {"cpu": None}, replace(HERE.machine, id=name, name=name)) for name in ("left", "right"))


def at_two_places(run: Run) -> Run:
    """Cells are for the left and the right machine by turns."""
    steps = dict(run.plan.steps)
    for number, planned in enumerate(run.plan.cells):
        machine = TWO[number % 2].machine
        for key in (*planned.rounds, *planned.extra):
            steps[key] = replace(steps[key], machine=MachineName(machine.id, machine.name))
    return replace(run, plan=replace(run.plan, steps=steps))


def test_places_measure_side_by_side_and_each_one_step_at_a_time(work: Path) -> None:
    busy: Counter[str] = Counter()
    most: Counter[str] = Counter()
    where: dict[str, set[str]] = {}
    together = threading.Barrier(2, timeout=60)

    def note(job: Job) -> Outcome:
        place = job.place.name
        busy[place] += 1
        most[place] = max(most[place], busy[place])
        where.setdefault(job.key.split("-")[1], set()).add(place)
        if job.key in ("measure-a-0", "measure-b-0"):
            together.wait()  # proves that both are measured at the same time
        outcome = succeed(job)
        busy[place] -= 1
        return outcome

    measures = [f"measure-{cell}-{number}" for cell in CELLS for number in range(ROUNDS)]
    engine = InProcess(dict.fromkeys(measures, note), offered=TWO)
    run = at_two_places(pass_over(work, engine, Interrupts(print, engine.kill)))
    run.execute()
    assert not run.failures
    assert most == {"left": 1, "right": 1}
    assert where == {cell: {TWO[number % 2].name} for number, cell in enumerate(CELLS)}


def test_a_receipt_names_the_place_and_the_machine(work: Path) -> None:
    engine = InProcess(offered=TWO)
    run = at_two_places(pass_over(work, engine, Interrupts(print, engine.kill)))
    run.execute()
    entry = run.store.find("measure-b-0")
    assert entry is not None
    assert (entry.receipt.place, entry.receipt.machine) == ("right", "right")


def test_what_is_not_measured_is_made_at_the_same_place_each_time(tmp_path: Path) -> None:
    seen: list[dict[str, str]] = []
    for number in range(2):
        where: dict[str, str] = {}

        def note(job: Job, where: dict[str, str] = where) -> Outcome:
            where[job.key] = job.place.name
            return succeed(job)

        engine = InProcess({f"artifact-{cell}": note for cell in CELLS}, offered=TWO)
        at_two_places(pass_over(tmp_path / str(number), engine, Interrupts(print, engine.kill))).execute()
        seen.append(where)
    assert seen[0] == seen[1]
    assert set(seen[0].values()) == {"left", "right"}


def raising(error: Exception) -> Behaviour:
    def behave(job: Job) -> Outcome:
        raise error

    return behave


def test_an_image_that_is_removed_while_the_run_uses_it_is_built_again(work: Path) -> None:
    def behave(job: Job) -> Outcome:
        if engine.ran.count(job.key) == 1:
            (job.left / "half").touch()
            raise ImageGone("runtimes/null was removed", "run it again")
        assert not list(job.left.iterdir())
        return succeed(job)

    engine = InProcess({"measure-c-1": behave})
    assert execute(work, engine).failures == {}
    assert engine.ran.count("measure-c-1") == 2


@pytest.mark.parametrize("error", [ValueError("unheard of"), OSError(errno.EACCES, "denied"), RecursionError("deep")])
def test_an_error_that_nobody_expected_costs_one_row_and_says_its_type(work: Path, error: Exception) -> None:
    engine = InProcess({"measure-c-1": raising(error)})
    run = execute(work, engine)
    assert set(run.failures) == {"measure-c-1"}
    failure = run.failures["measure-c-1"]
    assert failure.status is Status.CRASHED
    assert type(error).__name__ in failure.reason
    assert "report it" in failure.reason
    assert "Traceback" in str(failure.log_tail)
    assert run.store.find("measure-d-1") is not None


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO])
def test_trouble_with_the_disk_ends_the_run_in_one_line(work: Path, number: int) -> None:
    engine = InProcess({"measure-c-1": raising(OSError(number, os.strerror(number)))})
    with pytest.raises(EnvironmentProblem) as caught:
        execute(work, engine)
    assert "\n" not in caught.value.problem
    assert "what is done is kept" in str(caught.value.cure)


@pytest.mark.parametrize(
    ("status", "told"),
    [
        ('{"status": "nonsense"}', "expected one of"),
        ('{"status": "ok"', "no JSON"),
        ('{"status": "ok", "seconds": "long"}', "status.json: seconds: expected a number"),
        ('{"status": "ok", "more": 1}', "unknown field 'more'"),
        ('{"status": "ok"}', "record.json"),
    ],
)
def test_a_step_that_writes_nonsense_is_a_row_that_says_what(work: Path, status: str, told: str) -> None:
    def behave(job: Job) -> Outcome:
        (job.left / "out").mkdir()
        (job.left / "status.json").write_text(status)
        return Outcome(0, 0.1)

    run = execute(work, InProcess({"measure-c-1": behave}))
    assert run.failures["measure-c-1"].status is Status.CRASHED
    assert told in run.failures["measure-c-1"].reason
    assert set(run.failures) == {"measure-c-1"}
