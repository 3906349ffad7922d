"""How each call is timed. The manifest of an artifact names the call.

A sample of ``forward`` is one run. A sample of the other calls is a whole request, whose parts are timed as well: a prefill
and one decode per given token for ``generate``, and the encoder before them for ``encode_decode``. The task prepares inputs.
``continuation_ids`` [batch, tokens] are fed one by one. For ``encode_decode``, ``decoder_input_ids`` [batch, tokens] are the
decoder's first tokens, and all other inputs go into the encoder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import perf_counter_ns
from typing import cast

from harness.contracts.adapter import Adapter, Arrays, EncoderDecoderAdapter, GenerativeAdapter
from harness.contracts.record import GenerationRecord
from harness.worker.loop import Timed

CONTINUATION, BEGINNING = "continuation_ids", "decoder_input_ids"


@dataclass
class Parts:
    """Times of the parts of every request, nanoseconds; empty where a call has none."""

    encode_ns: list[int] = field(default_factory=list)
    prefill_ns: list[int] = field(default_factory=list)
    decode_ns: list[int] = field(default_factory=list)

    def record(self, kept: slice) -> GenerationRecord | None:
        """The parts of those requests that were kept, or None."""
        if not self.prefill_ns:
            return None
        encode = self.encode_ns[kept] if self.encode_ns else None
        return GenerationRecord(self.prefill_ns[kept], self.decode_ns[kept], encode)


def timed(call: str, adapter: Adapter, parts: Parts) -> Timed:
    """A function that runs one sample of that call on a batch and returns its wall time; ``parts`` collects its parts."""
    return _TIMED[call](adapter, parts)


def calls_per_sample(call: str, batch: Arrays) -> int:
    """How often one sample calls the runtime."""
    if call == "forward":
        return 1
    return (2 if call == "encode_decode" else 1) + int(batch[CONTINUATION].shape[1])


def _forward(adapter: Adapter, parts: Parts) -> Timed:
    def run(batch: Arrays) -> int:
        start = perf_counter_ns()
        adapter.run(batch)
        return perf_counter_ns() - start

    return run


def _generate(adapter: Adapter, parts: Parts) -> Timed:
    generative = cast(GenerativeAdapter, adapter)

    def request(batch: Arrays) -> int:
        prompt, continuation = batch["input_ids"], batch[CONTINUATION]
        columns = [continuation[:, i] for i in range(continuation.shape[1])]
        start = perf_counter_ns()
        generative.prefill(prompt)
        first = perf_counter_ns()
        for token in columns:
            generative.decode(token)
        end = perf_counter_ns()
        parts.prefill_ns.append(first - start)
        parts.decode_ns.append(end - first)
        return end - start

    return request


def _encode_decode(adapter: Adapter, parts: Parts) -> Timed:
    both = cast(EncoderDecoderAdapter, adapter)
    decode = _generate(adapter, parts)

    def request(batch: Arrays) -> int:
        inputs = {name: array for name, array in batch.items() if name not in (BEGINNING, CONTINUATION)}
        begun = {"input_ids": batch[BEGINNING], CONTINUATION: batch[CONTINUATION]}
        start = perf_counter_ns()
        both.encode(inputs)
        encoded = perf_counter_ns() - start
        parts.encode_ns.append(encoded)
        return encoded + decode(begun)

    return request


_TIMED: Mapping[str, Callable[[Adapter, Parts], Timed]] = {
    "forward": _forward,
    "generate": _generate,
    "encode_decode": _encode_decode,
}
