"""What is here and what is not: engine, GPU, disk, processor, what each runtime could use. One line each, with the cure."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from harness.catalog import Catalog, Image, Runtime, plugins
from harness.contracts import machine
from harness.engines import registry
from harness.engines.contract import Engine, devices_of, missing_somewhere
from harness.errors import EnvironmentProblem
from harness.runner.store import Checked, Store

#: ``problem``: a run would stop with exit code 3. ``missing``: some cells would be skipped, or something is made first.
State = Literal["ok", "missing", "problem"]


@dataclass(frozen=True)
class Diagnosis:
    """One thing that was looked at."""

    subject: str
    state: State
    text: str
    cure: str | None = None


def examine(work: Path, engine: str, images: Sequence[Path] = ()) -> list[Diagnosis]:
    """Look at everything; nothing is built, fetched or changed. ``images`` are more folders of images."""
    catalog = plugins.load(images)
    try:
        chosen, reason = registry.choose(engine, work)
    except EnvironmentProblem as refused:
        return [Diagnosis("engine", "problem", refused.problem, refused.cure), *_machine(work, catalog, None)]
    return [
        _engine(chosen, reason, asked=engine != "auto"),
        *_machine(work, catalog, chosen),
        *(_runtime(runtime, catalog, chosen) for runtime in catalog.runtimes.values()),
        *(_toolchain(image, chosen) for image in catalog.images.values() if image.kind == "toolchains"),
    ]


def examine_store(work: Path) -> list[Diagnosis]:
    """Look at every finished step, and hold each of its files against its hash; nothing is changed."""
    store = Store(work)
    checked = list(store.check())
    counts = Counter(each.state for each in checked)
    text = f"{counts['whole']:,} steps are whole, {counts['damaged']:,} are damaged"
    summary = Diagnosis("store", "problem" if counts["damaged"] else "ok", f"{text} ({store.root})")
    return [summary, *(_entry(store, each) for each in checked if each.state != "whole")]


def _entry(store: Store, checked: Checked) -> Diagnosis:
    name = checked.path.relative_to(store.root).as_posix()
    if checked.state == "foreign":
        return Diagnosis(name, "missing", "is no step, and nothing reads it", "move it elsewhere")
    cure = "remove it, or run the matrix again: it is set aside, and made again when it is needed"
    return Diagnosis(name, "problem", checked.reason, cure)


def _engine(engine: Engine, reason: str, asked: bool) -> Diagnosis:
    if registry.first_choice(engine.name) or asked:
        return Diagnosis("engine", "ok", reason)
    return Diagnosis("engine", "missing", reason, "start or install Docker for isolated containers with memory limits")


def _machine(work: Path, catalog: Catalog, engine: Engine | None) -> Iterator[Diagnosis]:
    yield _gpu(engine)
    yield _disk(work, catalog, engine)
    found = machine.describe()
    features = ", ".join(found.cpu_flags) or "none of those that matter here"
    memory = f"{found.memory_bytes / 2**30:.0f} GiB"
    yield Diagnosis("cpu", "ok", f"{found.cpu}, {found.cpu_count} CPUs, {memory}; {features}")


def _gpu(engine: Engine | None) -> Diagnosis:
    gpus = [gpu.name for gpu in machine.gpus()]
    if not gpus:
        return Diagnosis(
            "gpu", "missing", "no NVIDIA GPU answers; cuda cells are skipped", "install NVIDIA's driver if there is one"
        )
    why = devices_of(engine.places()).get("cuda") if engine else None
    if why:
        return Diagnosis(
            "gpu", "missing", f"{'; '.join(gpus)}, but {why}", "install the NVIDIA Container Toolkit, restart Docker"
        )
    return Diagnosis("gpu", "ok", "; ".join(gpus))


def _disk(work: Path, catalog: Catalog, engine: Engine | None) -> Diagnosis:
    place = next(path for path in (work.resolve(), *work.resolve().parents) if path.exists())
    free = shutil.disk_usage(place).free // 10**6
    wanted = sum(image.disk_mb for image in _cpu_images(catalog) if engine is None or missing_somewhere(engine, image))
    text = f"{free:,} MB free at {place}; building all images for the CPU takes about {wanted:,} MB more"
    if free < wanted:
        return Diagnosis(
            "disk", "problem", text, "free some space (`harness clean`), or put the store elsewhere with --work"
        )
    return Diagnosis("disk", "ok", text)


def _cpu_images(catalog: Catalog) -> set[Image]:
    runtimes = {runtime.image for runtime in catalog.runtimes.values() if "cpu" in runtime.card.devices}
    return runtimes | {tool.image for tool in (*catalog.passes, *catalog.exporters) if tool.card.device == "cpu"}


def _runtime(runtime: Runtime, catalog: Catalog, engine: Engine) -> Diagnosis:
    card, devices = runtime.card, devices_of(engine.places())
    usable = [device for device in card.devices if devices.get(device) is None]
    if not usable:
        return Diagnosis(card.name, "missing", f"needs {' or '.join(card.devices)}: its cells are skipped")
    here = machine.describe().cpu_flags
    uses = [feature for feature in card.cpu_features if feature in here]
    lacks = [feature for feature in card.cpu_features if feature not in here]
    parts = [f"on {', '.join(usable)}"]
    parts += [f"can use {', '.join(uses)}"] if uses else []
    parts += [f"this CPU lacks {', '.join(lacks)}"] if lacks else []
    return _built(card.name, catalog.image_of(runtime, usable[-1]), engine, "; ".join(parts))


def _toolchain(image: Image, engine: Engine) -> Diagnosis:
    return _built(image.name, image, engine, image.summary)


def _built(subject: str, image: Image, engine: Engine, text: str) -> Diagnosis:
    if missing_somewhere(engine, image):
        cure = f"harness images {image.name} (about {image.build_s} s; a run does it by itself)"
        return Diagnosis(subject, "missing", f"{text}; not built yet", cure)
    return Diagnosis(subject, "ok", text)


def text(findings: list[Diagnosis]) -> str:
    """The findings as aligned lines."""
    width = max(len(finding.subject) for finding in findings)
    lines = []
    for finding in findings:
        cure = f" -> {finding.cure}" if finding.cure else ""
        lines.append(f"{finding.state:8} {finding.subject:{width}}  {finding.text}{cure}")
    return "\n".join(lines)


def as_data(findings: list[Diagnosis]) -> list[dict[str, Any]]:
    """The findings for ``--json``."""
    return [asdict(finding) for finding in findings]
