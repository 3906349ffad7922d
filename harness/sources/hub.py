"""Fetching from a Hugging Face hub: the endpoint, the token and the cache are those of the user's own environment.

``HF_ENDPOINT`` names another hub, ``HF_TOKEN`` or ``hf auth login`` gives the token, ``HF_HOME`` moves the cache; the
token is never read nor logged here. The cache resumes what was interrupted, and serves other programs too.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from harness.errors import SourceError
from harness.redaction import without_secrets
from harness.sources import file_safety

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoSibling

#: What models are made of: weights, configuration, tokenizers. Pictures, read-me files and other formats stay there.
WANTED = file_safety.WEIGHTS | {
    ".json",
    ".txt",
    ".model",
    ".tiktoken",
    ".jinja",
    ".spm",
    ".vocab",
    ".onnx_data",
    ".data",
}
TRUSTED = frozenset({".bin", ".ckpt", ".pt", ".pth", ".py"})

_COMMIT = re.compile(r"[0-9a-f]{40}")


def fetch(
    repository: str,
    revision: str,
    out: Path,
    *,
    file: str = "",
    trust: bool,
    most: int,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Take a snapshot of a repository, or the one ``file`` of it, into ``out``; facts of where it came from.

    All of it is taken or none. ``most`` is how many bytes it may have. Raises SourceError.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.utils.tqdm import disable_progress_bars

    disable_progress_bars()  # the orchestrator shows progress, and stays still while something is measured
    source = f"hf:{repository}@{revision}"
    endpoint = os.environ.get("HF_ENDPOINT") or None
    api = HfApi(endpoint=endpoint)
    with _hub_errors_told(repository, revision, api.endpoint):
        info = api.model_info(repository, revision=revision, files_metadata=True)
        commit = info.sha or revision
        listed = {sibling.rfilename: sibling for sibling in info.siblings or []}
        wanted = [name for name in listed if PurePosixPath(name).suffix.lower() in WANTED | TRUSTED]
        if file:
            wanted = _only(file, listed, source)
        for name in wanted:
            file_safety.require_inside(name, source)
        kept, left_out = file_safety.sift(wanted, source, trust=trust)
        if not any(PurePosixPath(name).suffix.lower() in file_safety.WEIGHTS | TRUSTED for name in kept):
            raise SourceError(f"{source}: holds no weights", "choose a repository with *.safetensors, *.gguf or *.onnx")
        address = without_secrets(api.endpoint)
        size = sum(listed[name].size or 0 for name in kept)
        file_safety.require_small(source, size, most)
        say(f"{source}: {len(kept)} files, {file_safety.size_told(size)}, at commit {commit[:12]} from {address}")
        snapshot = Path(api.snapshot_download(repository, revision=commit, allow_patterns=_literal(kept)))
    for name in kept:
        _require_whole(source, snapshot / name, listed[name])
    file_safety.copy({name: snapshot / name for name in kept}, out, link=True)
    notes = file_safety.tell_left_out(source, left_out, say)
    if not _COMMIT.fullmatch(revision):
        notes.append(f"{source} was commit {commit} when fetched: a branch or a tag can move, a commit cannot")
    url = f"{address}/{repository}/tree/{commit}"
    return {"url": url, "revision": revision, "commit": commit, "notes": notes}


def _only(file: str, listed: Iterable[str], source: str) -> list[str]:
    """The file that is meant. Raises SourceError where the repository does not have it."""
    if file not in listed:
        near = file_safety.nearest(file, list(listed))
        raise SourceError(f"{source}: has no file {file!r}", f"did you mean {near[0]!r}?" if near else None)
    return [file]


def _require_whole(source: str, file: Path, told: RepoSibling) -> None:
    """Raise SourceError where a file of the cache is not there, or not what the hub says it is."""
    wrong = "is not there" if not file.is_file() else None
    if not wrong and told.size is not None and file.stat().st_size != told.size:
        wrong = f"has {file.stat().st_size:,} bytes, and the hub says {told.size:,}"
    if not wrong and told.lfs and file_safety.file_hash(file) != told.lfs.sha256:
        wrong = "does not have the hash that the hub says"
    if wrong:
        raise SourceError(f"{source}: {told.rfilename} {wrong}", f"remove it and run again: {file.resolve()}")


def _literal(names: list[str]) -> list[str]:
    """Patterns that match these names alone (``[`` is the only special character that file names use in earnest)."""
    return [name.replace("[", "[[]") for name in names]


@contextmanager
def _hub_errors_told(repository: str, revision: str, endpoint: str) -> Iterator[None]:
    """Turn the library's errors into ours; those it has no class for are HTTP errors or connection errors."""
    from huggingface_hub import errors

    source = f"hf:{repository}@{revision}"
    try:
        yield
    except errors.GatedRepoError as error:
        raise SourceError(
            f"{source}: the repository is gated, and this account has no access",
            f"accept its conditions at {endpoint}/{repository}, then set HF_TOKEN or run `hf auth login`",
        ) from error
    except errors.RevisionNotFoundError as error:
        raise SourceError(
            f"{source}: the repository has no revision {revision!r}",
            f"see its branches, tags and commits at {endpoint}/{repository}/commits/main",
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise SourceError(
            f"{source}: {endpoint} has no repository {repository!r}, or it is private",
            "check the name; for a private one set HF_TOKEN or run `hf auth login`",
        ) from error
    except errors.HfHubHTTPError as error:
        raise SourceError(
            f"{source}: {endpoint} answered {error.response.status_code}",
            "check HF_ENDPOINT and HF_TOKEN, or try again later: what was fetched is kept",
        ) from error
    except SourceError:
        raise
    except (errors.OfflineModeIsEnabled, errors.LocalEntryNotFoundError, ConnectionError, TimeoutError) as error:
        raise _no_network(source, endpoint, error) from error
    except Exception as error:
        if _is_transport_error(error):
            raise _no_network(source, endpoint, error) from error
        raise


def _is_transport_error(error: Exception) -> bool:
    """Whether the HTTP client failed to connect; which client that is differs between versions of the library."""
    return any(kind.__name__ in ("TransportError", "ConnectionError", "Timeout") for kind in type(error).__mro__)


def _no_network(source: str, endpoint: str, error: Exception) -> SourceError:
    first = (str(error).strip() or type(error).__name__).splitlines()[0]
    return SourceError(
        f"{source}: {endpoint} cannot be reached ({first})",
        "check the network, the proxy and HF_ENDPOINT; without a network use a path:, pypi: or zoo: source",
    )
