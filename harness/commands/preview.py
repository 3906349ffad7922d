"""The plan, told before anything runs: cells and their steps, what is cached, which images, how long, how much disk."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.commands.workspace import Workspace
from harness.engines.contract import missing_somewhere
from harness.matrix.plan import Plan, PlannedCell
from harness.runner import estimate
from harness.runner.progress import duration
from harness.runner.stages import missing_steps


def of(workspace: Workspace) -> dict[str, Any]:
    """The outlook as data."""
    plan, store = workspace.plan, workspace.store
    missing = missing_steps(plan, store)
    keys = {step.key for step in missing}
    images = plan.images(keys)
    history = estimate.Durations.of(store)
    shown = plan.upstream([key for planned in plan.wanted for key in planned.leaves] + list(plan.overhead))
    to_build = [name for name in images if missing_somewhere(workspace.engine, workspace.catalog.images[name])]
    place = {key: at for at, key in enumerate(plan.steps)}
    build = [workspace.catalog.images[name] for name in to_build]
    return {
        "engine": workspace.engine.name,
        "cells": [_cell(planned, plan, keys, place) for planned in plan.wanted],
        "steps": [
            {
                "key": step.key,
                "kind": step.kind,
                "title": step.title,
                "image": step.image,
                "cached": step.key not in keys,
            }
            for key, step in plan.steps.items()
            if key in shown
        ],
        "images_to_build": to_build,
        "estimate": {
            "seconds": round(history.total(missing) + sum(image.build_s for image in build)),
            "from_history": sum(history.estimate(step)[1] for step in missing),
            "steps": len(missing),
            "disk_mb": estimate.disk_mb(missing) + sum(image.disk_mb for image in build),
        },
    }


def _cell(planned: PlannedCell, plan: Plan, missing: set[str], place: Mapping[str, int]) -> dict[str, Any]:
    steps = plan.upstream(planned.leaves)
    return {
        "id": planned.cell.id,
        "status": planned.status or ("measured" if not steps & missing else "to run"),
        "reason": planned.reason,
        "steps": sorted(steps, key=place.__getitem__),
        "to_run": len(steps & missing),
    }


def text(outlook: dict[str, Any]) -> str:
    """The outlook for people."""
    titles = {step["key"]: step for step in outlook["steps"]}
    lines: list[str] = []
    for cell in outlook["cells"]:
        why = f": {cell['reason']}" if cell["reason"] else ""
        lines.append(f"{cell['id']}  [{cell['status']}{why}]")
        made = [titles[key] for key in cell["steps"] if titles[key]["kind"] not in ("measure", "evaluate")]
        rounds = [titles[key] for key in cell["steps"] if titles[key]["kind"] == "measure"]
        lines.extend(f"    {'cached' if step['cached'] else 'to run'}  {step['title']}" for step in made)
        if rounds:
            cached = sum(step["cached"] for step in rounds)
            lines.append(f"    {cached} of {len(rounds)} rounds measured, then evaluated on held-out data")
    estimate_ = outlook["estimate"]
    lines.append("")
    if outlook["images_to_build"]:
        lines.append(f"images to build: {', '.join(outlook['images_to_build'])}")
    known = f"{estimate_['from_history']} of {estimate_['steps']} steps estimated from this machine's history"
    if estimate_["steps"]:
        lines.append(f"{estimate_['steps']} steps to run: about {duration(estimate_['seconds'])} ({known})")
        lines.append(f"disk: about {estimate_['disk_mb']:,} MB more")
    else:
        lines.append("nothing to run: everything is cached")
    return "\n".join(lines)
