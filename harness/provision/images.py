"""Docker images: what goes into them, when they are built, and how.

An image is built when no image with its source hash is there, and only then. The build context is a plain folder
below ``work/contexts``: ``docker build .matrix/contexts/runtimes-onnxruntime`` makes the same image by hand.
Nothing here imports docker at the top; the client is handed in.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import tarfile
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import __version__
from harness.catalog import CODE, PACKAGE, Image, WheelSource
from harness.errors import BuildFailed, EnvironmentProblem
from harness.provision import native_wheels, requirements
from harness.provision.wheels import Target, WheelCache, image_target, link

if TYPE_CHECKING:
    from docker import DockerClient

NAMESPACE = "compression-matrix"
LABEL = "org.compression-matrix"
LOG_TAIL_LINES = 40


def repository(image: Image) -> str:
    """Such as ``compression-matrix/runtimes-onnxruntime``."""
    return f"{NAMESPACE}/{image.slug}"


def reference(image: Image) -> str:
    """The tag that stands for exactly these sources."""
    return f"{repository(image)}:{image.source_hash[:12]}"


def base_hash(base: Path) -> str:
    """What the base image depends on; ``debootstrap.sh`` computes the same."""
    sources = (base / "Dockerfile").read_bytes() + (base / "debootstrap.sh").read_bytes()
    return hashlib.sha256(sources).hexdigest()[:12]


def assemble_code(image: Image, folder: Path) -> None:
    """Write the code that an image carries: ``harness/`` (the subset for its kind), ``image/``, ``smoke.py``.

    The folder appears all at once. Files are copies with plain permissions, whatever the umask of the checkout was.
    """
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    for name in CODE[image.kind]:
        _copy(PACKAGE / name, partial / "harness" / name)
    for file in image.code:
        _copy(file, partial / "image" / file.name)
    (partial / "smoke.py").write_text(image.smoke + "\n", "utf-8")
    for path in (partial, *partial.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"), copy_function=shutil.copyfile)
    else:
        shutil.copyfile(source, target)


@dataclass(frozen=True)
class Packages:
    """The wheels that an image installs."""

    own: list[Path]
    layer: list[Path] = field(default_factory=list)  # those of the layer that it shares
    compiled: list[Path] = field(default_factory=list)  # made on this machine: no lock file can know their hashes


def assemble_context(image: Image, packages: Packages, base: str, folder: Path) -> None:
    """Write a whole build context: the code, the lock files, the wheels, the Dockerfile with its arguments filled in.

    What lies in ``layer/`` is the same, to the byte, for all images that share the layer, so that the engine installs it once.
    Raises UsageError where the image's lock file has other versions than the layer's.
    """
    assemble_code(image, folder)
    arguments = {
        "BASE": base,
        "IMAGE": image.name,
        "VERSION": __version__,
        "SOURCE_HASH": image.source_hash,
        "ENVIRONMENT_HASH": image.environment_hash,
        "LAYER": image.layer.name if image.layer else "layers/none",
        "LAYER_HASH": image.layer.hash if image.layer else "none",
    }
    _write_dockerfile(image.dockerfile, arguments, folder)
    shared, own = requirements.split(image)
    link(packages.layer, folder / "layer" / "wheels")
    (folder / "layer" / "requirements.txt").write_text(shared, "utf-8")
    (folder / "requirements.txt").write_text(own, "utf-8")
    link(packages.own, folder / "wheels")
    link(packages.compiled, folder / "compiled")


def assemble_compile(source: WheelSource, files: list[Path], base: str, folder: Path) -> None:
    """Write the build context in which a package is compiled: its sources, its script, the Dockerfile of all of them."""
    shutil.rmtree(folder, ignore_errors=True)
    _copy(source.path, folder / "recipe")
    link(files, folder / "sources")
    arguments = {"BASE": base, "PACKAGE": source.package, "SYSTEM": " ".join(source.system)}
    _write_dockerfile(source.dockerfile, arguments, folder)


def _write_dockerfile(source: Path, arguments: Mapping[str, str], folder: Path) -> None:
    """The Dockerfile with the defaults of its arguments filled in, so that the folder builds by hand as well."""
    text = source.read_text("utf-8")
    for name, value in arguments.items():
        text = re.sub(rf"^ARG {name}=.*$", f'ARG {name}="{value}"', text, flags=re.MULTILINE)
    (folder / "Dockerfile").write_text(text, "utf-8")


@dataclass(frozen=True)
class _Build:
    """One ``docker build``."""

    subject: str
    context: Path
    tag: str
    arguments: Mapping[str, str] = field(default_factory=dict)


class Stopped(Exception):
    """The build was ended on the user's word."""


class ImageBuilder:
    """Finds and builds images with one Docker Engine; contexts, wheels and logs lie below ``work``.

    Several images may be made at the same time, from several threads.
    """

    def __init__(self, client: DockerClient, work: Path) -> None:
        self.client = client
        self.work = work
        self._under_way: set[threading.Event] = set()  # of every build, what stops it
        self._cache = WheelCache(work / "wheels")
        self._making_base, self._compiling = threading.Lock(), threading.Lock()  # what images share is made once

    @cached_property
    def _target(self) -> Target:
        return image_target(str(self.client.info().get("Architecture", "x86_64")))

    def find(self, image: Image) -> str | None:
        """The engine's id of the image with exactly these sources, or None."""
        return self._labelled(reference(image), "source-hash", image.source_hash)

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
        context.parent.mkdir(parents=True, exist_ok=True)
        assemble_context(image, packages, base, context)
        say(f"building the image of {image.name}")
        self._build(_Build(image.name, context, reference(image)))
        self.client.api.tag(reference(image), repository(image), "latest")
        self._prune_old_stages(image)
        built = self.find(image)
        if built is None:
            raise BuildFailed(
                f"{image.name} was built, but its label source-hash is missing", "keep the LABEL of its Dockerfile"
            )
        return built

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
            assemble_compile(source, files, base, context)
            self._build(_Build(f"wheels/{source.package}", context, tag))
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
            self._build(_Build("base", base, tag, {"BASE_HASH": wanted}))
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

    def _build(self, build: _Build) -> None:
        """Build by the engine's own builder, or by buildx where it has none. The tag appears at the end."""
        from docker.errors import APIError

        log = self.work / "logs" / f"build-{build.subject.replace('/', '-')}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        try:
            messages = self.client.api.build(
                path=str(build.context),
                tag=build.tag,
                buildargs=dict(build.arguments),
                rm=True,
                forcerm=True,
                decode=True,
            )
            with self._stoppable(messages) as followed:
                failure = _keep_build_log(followed, log)
        except APIError as refused:
            if not _wants_buildkit(refused):
                raise BuildFailed(f"the engine refused to build {build.subject}: {refused.explanation}") from refused
            failure = _buildx(build, log)
        if failure is not None:
            raise _explain(build.subject, failure, log)

    def stop(self) -> None:
        """End the builds that are under way, each at the next line that it prints."""
        for stopped in tuple(self._under_way):
            stopped.set()

    @contextmanager
    def _stoppable(self, messages: Iterable[Mapping[str, Any]]) -> Iterator[Iterator[Mapping[str, Any]]]:
        """The builder's messages, until ``stop``. It ceases to work when nobody listens any more."""
        stopped = threading.Event()

        def follow() -> Iterator[Mapping[str, Any]]:
            for message in messages:
                if stopped.is_set():
                    raise Stopped
                yield message

        self._under_way.add(stopped)
        try:
            yield follow()
        finally:
            self._under_way.discard(stopped)

    def _prune_old_stages(self, image: Image) -> None:
        """Drop the untagged build stages of former environments and layers; the present ones make rebuilds cheap."""
        current = [(image.name, image.environment_hash)]
        current += [(image.layer.name, image.layer.hash)] if image.layer else []
        for name, wanted in current:
            own, old = f"{LABEL}.image={name}", f"{LABEL}.environment-hash={wanted}"
            self.client.images.prune({"dangling": True, "label": [own], "label!": [old]})


def _keep_build_log(messages: Iterable[Mapping[str, Any]], log: Path) -> str | None:
    """Write what the builder says to ``log``; return its error message, or None where it succeeded."""
    failure = None
    with log.open("w", encoding="utf-8", buffering=1) as file:
        for message in messages:
            file.write(message.get("stream", ""))
            if "error" in message:
                failure = str(message["error"])
                file.write(failure + "\n")
    return failure


def _wants_buildkit(refused: Any) -> bool:
    """Whether the engine has no classic builder: unknown endpoint, not implemented, or it says so."""
    return refused.status_code in (404, 405, 501) or "buildkit" in str(refused.explanation).lower()


def _buildx(build: _Build, log: Path) -> str | None:
    words = ["docker", "buildx", "build", "--load", "--provenance=false", "--sbom=false", "--progress=plain"]
    words += ["--tag", build.tag, *(w for k, v in build.arguments.items() for w in ("--build-arg", f"{k}={v}"))]
    with log.open("wb") as file:
        try:
            code = subprocess.run([*words, str(build.context)], stdout=file, stderr=subprocess.STDOUT).returncode
        except FileNotFoundError:
            return "the engine has no classic builder, and there is no docker command with buildx"
    return f"docker buildx build ended with {code}" if code else None


def _explain(subject: str, failure: str, log: Path) -> EnvironmentProblem:
    text = log.read_text("utf-8", "replace")
    if "no space left on device" in text.lower():
        return EnvironmentProblem(
            f"the disk is full: {subject} could not be built", "free some space: docker system prune, harness clean"
        )
    tail = "\n".join(text.splitlines()[-LOG_TAIL_LINES:])
    return BuildFailed(f"{subject} could not be built: {failure}", f"the whole log: {log}", tail)


def remove_all(client: DockerClient, *, dry_run: bool) -> dict[str, int]:
    """Remove every image of ours, the base and build stages included, but for those that something still uses.

    Returns their count and bytes; layers that images share are counted in each.
    """
    found = client.api.images(filters={"label": f"{LABEL}.image"})
    found.sort(
        key=lambda image: image["Labels"][f"{LABEL}.image"] == "base"
    )  # the others are its children: it goes last
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
