"""The interface between the worker and a runtime: all that an ``images/runtimes/<name>/adapter.py`` has to fill.

The worker owns the clock, the loop, memory and statistics; an adapter only loads and runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from harness.contracts.artifact import Manifest

Array: TypeAlias = npt.NDArray[Any]
Arrays: TypeAlias = Mapping[str, Array]


class Unsupported(Exception):
    """This runtime cannot run this model: an operator is too new, a shape is fixed. The message becomes the row's reason."""


class Adapter(Protocol):
    """A runtime with one model in it. One instance serves one process, from ``load`` to ``close``.

    What goes in, by modality (integers are int64):

    =========  =========================================================================================================
    ``text``   ``input_ids`` [batch, tokens]; for ``forward`` also ``attention_mask`` and ``token_type_ids``, same shape
    ``image``  ``pixel_values`` float32 [batch, channels, height, width]
    ``audio``  ``input_features`` float32 [batch, bins, frames], or ``input_values`` float32 [batch, samples]
    =========  =========================================================================================================

    By call: ``forward`` needs ``run`` alone, ``generate`` a :class:`GenerativeAdapter`, ``encode_decode`` an
    :class:`EncoderDecoderAdapter`. The adapter leaves out inputs that its model does not take.
    """

    def __init__(self, device: str, threads: int, mode: str) -> None:
        """Import the runtime and set its threads; load nothing. What is resident now is the runtime's floor.

        ``mode`` is that of the card under which the runtime was asked for. This method, ``load`` and ``run`` may raise
        :class:`Unsupported`.
        """

    def load(self, artifact: Path, manifest: Manifest) -> None:
        """Load the artifact (a folder, read-only) so that ``run`` can be called."""

    def run(self, inputs: Arrays) -> dict[str, Array]:
        """One pass: every output of the model by its name, ready to read; floats as float32.

        ``logits`` are [batch, tokens, vocabulary] for a model that generates, otherwise what its head gives:
        [batch, tokens, labels] or [batch, classes]. A model may have other outputs, such as ``logits`` and ``pred_boxes``.
        """

    def precision(self) -> str:
        """The precision of the arithmetic that really runs, as the runtime tells it: ``fp32``, ``bf16``, ``int8``..."""

    def close(self) -> None:
        """Free the model."""


class GenerativeAdapter(Adapter, Protocol):
    """A runtime that also generates text with a key-value cache."""

    def prefill(self, input_ids: npt.NDArray[np.int64]) -> Array:
        """Start a new sequence from ``input_ids`` [batch, tokens]; return the last position's logits [batch, vocabulary]."""

    def decode(self, token_ids: npt.NDArray[np.int64]) -> Array:
        """Append one token per sequence, ``token_ids`` [batch]; return the next logits [batch, vocabulary]."""


class EncoderDecoderAdapter(GenerativeAdapter, Protocol):
    """A runtime that also encodes inputs once, and then generates text that attends to them.

    ``input_ids`` of ``prefill`` are the decoder's: its first tokens.
    """

    def encode(self, inputs: Arrays) -> None:
        """Run the encoder and keep what it gives until the next ``encode``: each later ``prefill`` attends to it."""
