"""The interface between the worker and a runtime: all that an ``images/runtimes/<name>/adapter.py`` has to fill.

The worker owns the clock, the loop, memory and statistics; an adapter only loads and runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
Arrays: TypeAlias = Mapping[str, Array]


class Unsupported(Exception):
    """This runtime cannot run this model: an operator is too new, a shape is fixed. The message becomes the row's reason."""


class Adapter(Protocol):
    """A runtime with one model in it. One instance serves one process, from ``load`` to ``close``.

    Names of inputs by what the model takes in (ids and masks are int64); a model that knows fewer is given more:

    =========  ====================================================================
    ``text``   ``input_ids``, ``attention_mask``, ``token_type_ids`` [batch, tokens]
    ``image``  ``pixel_values`` float32 [batch, channels, height, width]
    =========  ====================================================================

    The manifest says how the model is called (``call``: ``forward``, ``generate`` or ``encode_decode``), what it takes in
    (``modality``) and which class of transformers builds it (``auto_class``); never what it is for.
    """

    def __init__(self, device: str, threads: int, mode: str) -> None:
        """Import the runtime and set its threads; load nothing. What is resident now is the runtime's floor.

        ``mode`` is that of the card under which the runtime was asked for. Here, in ``load`` and in ``run``,
        :class:`Unsupported` may be raised.
        """

    def load(self, artifact: Path, manifest: Mapping[str, Any]) -> None:
        """Load the artifact (a folder, read-only) so that ``run`` can be called."""

    def run(self, inputs: Arrays) -> dict[str, Array]:
        """The model's outputs by name, ready to read. A classifier or a language model has one, ``logits``, of floats.

        Shapes of logits: ``[batch, classes]``, or ``[batch, tokens, classes]`` where every token has an answer.
        """

    def precision(self) -> str:
        """The precision of the arithmetic that really runs, as the runtime tells it: ``fp32``, ``bf16``, ``int8``..."""

    def close(self) -> None:
        """Free the model."""


class GenerativeAdapter(Adapter, Protocol):
    """A runtime that also continues a sequence with a key-value cache: the call ``generate``."""

    def prefill(self, input_ids: npt.NDArray[np.int64]) -> Array:
        """Start a new sequence from ``input_ids`` [batch, tokens]; return the last position's logits [batch, vocabulary]."""

    def decode(self, token_ids: npt.NDArray[np.int64]) -> Array:
        """Append one token per sequence, ``token_ids`` [batch]; return the next logits [batch, vocabulary]."""


class EncoderDecoderAdapter(GenerativeAdapter, Protocol):
    """A runtime whose decoder attends to what an encoder made of the inputs: the call ``encode_decode``."""

    def encode(self, inputs: Arrays) -> None:
        """Run the encoder and keep what it made: ``prefill`` and ``decode`` attend to it until the next call."""
