"""Docker images: when they are built. What is in them says ``contexts``, how they are built ``builds``.

An *environment* holds packages only. It is built when none with its hash is there, and only then: our code is laid over it when
a step runs. An image *by hand* is the environment with our code, made in a second, for who runs a container without the
harness. Nothing here imports docker at the top; the client is handed in.
"""

from __future__ import annotations

import tarfile
import tempfile
import threading
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from harness.catalog import Image, WheelSource
from harness.catalog.closure import Closure
from harness.errors import BuildFailed, EnvironmentProblem
from harness.provision import contexts, native_wheels
from harness.provision.builds import Build, Builds
from harness.provision.contexts import Packages, base_hash
from harness.provision.wheels import Target, WheelCache, image_target

if TYPE_CHECKING:
    from docker import DockerClient

NAMESPACE = "compression-matrix"
LABEL = "org.compression-matrix"


def repository(image: Image) -> str:
    """Such as ``compression-matrix/runtimes-onnxruntime``."""
    return f"{NAMESPACE}/{image.slug}"


def reference(image: Image) -> str:
    """The tag that stands for exactly this environment."""
    return f"{repository(image)}:{image.environment_hash[:12]}"


def hand_reference(image: Image) -> str:
    """The tag of the environment with the code of now in it."""
    return f"{repository(image)}:hand-{image.environment_hash[:12]}"


class ImageBuilder:
    """Finds and builds images with one Docker Engine; contexts, wheels and logs lie below ``work``.

    Several images may be made at the same time, from several threads.
    """

    def __init__(self, client: DockerClient, work: Path) -> None:
        self.client = client
        self.work = work
        self._builds = Builds(client, work / "logs")
        self._cache = WheelCache(work / "wheels")
        self._making_base, self._compiling = threading.Lock(), threading.Lock()  # what images share is made once

    @cached_property
    def _target(self) -> Target:
        return image_target(str(self.client.info().get("Architecture", "x86_64")))

    def find(self, image: Image) -> str | None:
        """The engine's id of exactly this environment, or None."""
        return self._labelled(reference(image), "environment-hash", image.environment_hash)

    def fetch(self, image: Image, say: Callable[[str], None]) -> list[Path]:
        """The wheels of an image, and the sources of what is compiled for it, downloaded where they are missing."""
        for source in image.compiled:
            native_wheels.sources(source, self._cache, self._target, say)
        return self._cache.fetch(image.requirements, self._target, say)

    def ensure(self, image: Image, say: Callable[[str], None]) -> str:
        """Build what is missing; return the engine's id. Raises BuildFailed, EnvironmentProblem, or Stopped."""
        if found := self.find(image):
            return found
        with self._making_base:
            base = self.ensure_base(image.base, say)
        packages = self._packages(image, base, say)
        context = self.work / "contexts" / image.slug
        contexts.of_environment(image, packages, base, context)
        say(f"building the image of {image.name}")
        self._builds.run(Build(image.name, context, reference(image)))
        self._prune_old_stages(image)
        built = self.find(image)
        if built is None:
            raise BuildFailed(
                f"{image.name} was built, but its label environment-hash is missing", "keep the LABEL of its Dockerfile"
            )
        return built

    def ensure_hand(self, image: Image, code: Closure, say: Callable[[str], None]) -> None:
        """Put code into the environment, which is there, to be run by hand. Raises BuildFailed, or Stopped."""
        if self._labelled(hand_reference(image), "code-hash", code.hash):
            return
        say(f"putting the code of now into the image of {image.name} that is run by hand")
        context = self.work / "contexts" / f"{image.slug}.hand"
        contexts.of_hand(image, reference(image), code, context)
        self._builds.run(Build(f"{image.name}.hand", context, hand_reference(image)))
        self.client.api.tag(hand_reference(image), repository(image), "latest")
        own, old = f"{LABEL}.image={image.name}", f"{LABEL}.code-hash={code.hash}"
        filters = {"dangling": True, "label": [own, f"{LABEL}.code-hash"], "label!": [old]}
        self.client.images.prune(filters)

    def _packages(self, image: Image, base: str, say: Callable[[str], None]) -> Packages:
        wheels = self._cache.fetch(image.requirements, self._target, say)
        layer = self._cache.fetch(image.layer.requirements, self._target, say) if image.layer else []
        compiled = []
        if image.compiled:
            with self._compiling:
                compiled = [self._compile(source, base, say) for source in image.compiled]
        return Packages([wheel for wheel in wheels if wheel not in layer], layer, compiled)

    def _compile(self, source: WheelSource, base: str, say: Callable[[str], None]) -> Path:
        """The wheel of a package that is compiled in the base image, and kept here and, as an image, in the engine."""
        folder = native_wheels.place(source, self._cache, f"{self._target.name} {base}")
        if wheel := native_wheels.found(folder):
            return wheel
        tag = f"{NAMESPACE}/wheels-{source.package}:{folder.name.rpartition('-')[2]}"
        if not self._there(tag):
            files = native_wheels.sources(source, self._cache, self._target, say)
            say(f"compiling {source.package} (once; about {source.build_s // 60} min)")
            context = self.work / "contexts" / f"wheels-{source.package}"
            contexts.of_compile(source, files, base, context)
            self._builds.run(Build(f"wheels/{source.package}", context, tag))
        with tempfile.TemporaryDirectory() as scratch:
            self._copy_out(tag, "/build/out", Path(scratch))
            wheel = native_wheels.found(Path(scratch, "out"))
            if wheel is None:
                raise BuildFailed(f"{tag} holds no wheel", "its build.sh must write one into the folder OUT")
            return native_wheels.keep(wheel, folder)

    def _copy_out(self, tag: str, path: str, folder: Path) -> None:
        """Copy a folder out of an image; the container that this takes is never started."""
        container = self.client.api.create_container(tag)["Id"]
        try:
            chunks, _ = self.client.api.get_archive(container, path)
            with tempfile.TemporaryFile() as spool:
                spool.writelines(chunks)
                spool.seek(0)
                with tarfile.open(fileobj=spool) as archive:
                    archive.extractall(folder, filter="data")
        finally:
            self.client.api.remove_container(container, force=True)

    def ensure_base(self, base: Path, say: Callable[[str], None]) -> str:
        """The tag of the base image, built from its Dockerfile where no image of this hash is there."""
        wanted = base_hash(base)
        tag = f"{NAMESPACE}/base:{wanted}"
        if self._labelled(tag, "base-hash", wanted):
            return tag
        say("building the base image")
        try:
            self._builds.run(Build("base", base, tag, {"BASE_HASH": wanted}))
        except BuildFailed as failure:
            raise EnvironmentProblem(
                f"the base image could not be built, perhaps because no image registry answers: {failure.problem}",
                f"make it from Debian packages, without a registry: nox -s base, or as root: bash {base / 'debootstrap.sh'}",
            ) from failure
        self.client.api.tag(tag, f"{NAMESPACE}/base", "latest")
        return tag

    def _there(self, tag: str) -> bool:
        return bool(self.client.api.images(name=tag))

    def _labelled(self, tag: str, label: str, value: str) -> str | None:
        from docker.errors import ImageNotFound

        try:
            found = self.client.images.get(tag).attrs
        except ImageNotFound:
            return None
        labels = (found.get("Config") or {}).get("Labels") or {}
        return str(found["Id"]) if labels.get(f"{LABEL}.{label}") == value else None

    def stop(self) -> None:
        """End the builds that are under way, each at the next line that it prints."""
        self._builds.stop()

    def _prune_old_stages(self, image: Image) -> None:
        """Drop the untagged build stages of former environments and layers; the present ones make rebuilds cheap."""
        current = [(image.name, image.environment_hash)]
        current += [(image.layer.name, image.layer.hash)] if image.layer else []
        for name, wanted in current:
            own, old = f"{LABEL}.image={name}", f"{LABEL}.environment-hash={wanted}"
            self.client.images.prune({"dangling": True, "label": [own], "label!": [old]})


def remove_all(client: DockerClient, *, dry_run: bool) -> dict[str, int]:
    """Remove every image of ours, the base and build stages included, but for those that something still uses.

    Returns their count and bytes; layers that images share are counted in each.
    """
    found = client.api.images(filters={"label": f"{LABEL}.image"})
    # The base is the parent of all environments, and an environment of what is run by hand: children go first.
    found.sort(
        key=lambda image: (image["Labels"][f"{LABEL}.image"] == "base", f"{LABEL}.code-hash" not in image["Labels"])
    )
    gone = found if dry_run else [image for image in found if _remove(client, image["Id"])]
    return {"count": len(gone), "bytes": sum(int(image["Size"]) for image in gone)}


def _remove(client: DockerClient, image: str) -> bool:
    from docker.errors import APIError

    try:
        client.api.remove_image(image, force=True)
    except APIError as refused:
        if refused.status_code != 409:  # in use by a running container, or by an image that is not ours
            raise
        return False
    return True
