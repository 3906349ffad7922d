"""Work side by side: tasks that wait for each other, on lanes that hold so many at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from harness.runner.interrupt import Killed

GRACE_S = 10.0  # for what is being ended


@dataclass(frozen=True)
class Task:
    """Something to do, on a lane, after the tasks that it needs; a need that is no task here is done already."""

    name: str
    lane: str
    needs: frozenset[str]
    do: Callable[[], None]


def side_by_side(tasks: Iterable[Task], room: Mapping[str, int], check: Callable[[], None]) -> None:
    """Do all tasks in threads; of those that are ready, the first in the order given goes first.

    ``room`` says how many tasks a lane holds. ``check`` is called before each start. What it raises, or a task, is raised
    here as soon as all that is under way has ended; Killed already after GRACE_S. No task may need itself, not by way of
    others either.
    """
    waiting = list(tasks)
    undone = {task.name for task in waiting}
    running: dict[Future[None], Task] = {}
    free = Counter(room)
    pool = ThreadPoolExecutor(sum(room.values()))
    try:
        while waiting or running:
            for task in [task for task in waiting if not task.needs & undone]:
                if free[task.lane]:
                    check()
                    waiting.remove(task)
                    free[task.lane] -= 1
                    running[pool.submit(task.do)] = task
            assert running, "tasks need each other in a circle"
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                task = running.pop(future)
                free[task.lane] += 1
                undone.remove(task.name)
                future.result()
    except Killed:
        wait(running, GRACE_S)
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    except BaseException:
        pool.shutdown()
        raise
    pool.shutdown()
