"""Size of every runtime's image beside a bare ``pip install`` of that runtime on the same base.

``nox -s bench -- image_sizes``; needs a Docker Engine. The bare image is the base and a virtual environment with the packages
that ``image.yaml`` names, installed by pip as it comes, without anything of the harness; the target is a ratio of at most
1.3. Prints the table of docs/runtimes.md.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from harness.catalog import Image, load_catalog
from harness.engines.docker.endpoint import endpoint, probe
from harness.engines.docker.engine import DockerEngine
from harness.provision import native_wheels
from harness.provision.contexts import base_hash
from harness.provision.images import NAMESPACE, reference
from harness.provision.wheels import WheelCache, image_target, link

WORK = Path(".matrix")
TARGET = 1.3
OURS = ("psutil", "nvidia-ml-py")  # what only the harness needs
BARE = """
FROM {base}
COPY wheels /wheels
RUN python3 -m venv /opt/venv && /opt/venv/bin/pip install --quiet --no-cache-dir --no-index --find-links /wheels {packages}
"""


def main() -> None:
    """Print the table, a line a runtime image that runs on CPUs."""
    engine = DockerEngine(WORK, endpoint(), probe(endpoint()))
    catalog = load_catalog()
    images = {
        r.image.name: r.image for r in catalog.runtimes.values() if "cpu" in r.card.devices and r.card.name != "null"
    }
    print("| image | MB | bare `pip install`, MB | ratio |\n| --- | ---: | ---: | ---: |")
    missed = 0
    for image in images.values():
        engine.ensure(image, engine.places()[0], lambda line: print(line, file=sys.stderr))
        ours, bare = size(engine, reference(image)), bare_size(engine, image)
        print(f"| `{image.name}` | {ours / 1e6:.0f} | {bare / 1e6:.0f} | {ours / bare:.2f} |", flush=True)
        missed += ours > TARGET * bare
    sys.exit(bool(missed))


def size(engine: DockerEngine, tag: str) -> int:
    """Bytes of an image, its base included."""
    return int(engine.client.images.get(tag).attrs["Size"])


def bare_size(engine: DockerEngine, image: Image) -> int:
    """Bytes of the bare image, which is built, measured and removed; the wheels stay in a layer that is not counted."""
    tag = f"{NAMESPACE}/bare:{image.slug}"
    with tempfile.TemporaryDirectory() as name:
        context(image, Path(name))
        engine.client.images.build(path=name, tag=tag, rm=True, forcerm=True)
    wheels: int = sum(
        entry["Size"] for entry in engine.client.images.get(tag).history() if "COPY" in entry["CreatedBy"]
    )
    found = size(engine, tag) - wheels
    engine.client.images.remove(tag, force=True)
    return found


def context(image: Image, folder: Path) -> None:
    """A build context with the wheels of the image's lock file and a Dockerfile that installs what ``image.yaml`` names."""
    cache, target = WheelCache(WORK / "wheels"), image_target()
    base = f"{NAMESPACE}/base:{base_hash(image.path.parent.parent / 'base')}"
    link(cache.fetch(image.requirements, target, print), folder / "wheels")
    packages = [package for package in image.packages if package.split("==")[0] not in OURS]
    for source in image.compiled:
        wheel = native_wheels.found(native_wheels.place(source, cache, f"{target.name} {base}"))
        assert wheel is not None  # the image was just built from it
        shutil.copy(wheel, folder / "wheels")
        packages.append(source.package)
    (folder / "Dockerfile").write_text(BARE.format(base=base, packages=" ".join(packages)))


if __name__ == "__main__":
    main()
