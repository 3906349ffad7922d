"""What a card has to say beyond what its type demands; a card that does not is refused with its file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

from harness.contracts.cards import CALLS, MODALITIES, TOLERANCES, ExporterCard, PassCard, RuntimeCard
from harness.errors import UsageError, did_you_mean

Card: TypeAlias = RuntimeCard | PassCard | ExporterCard


def require_known(card: Card, file: Path) -> None:
    """Raise UsageError where a card names a call, a modality or a tolerance that there is not."""
    for what, word, known in _words(card):
        if word not in known:
            raise UsageError(
                f"{file}: the card {card.name!r} names the unknown {what} {word!r}", did_you_mean(word, known)
            )


def incomplete(file: Path, error: TypeError) -> UsageError | None:
    """What to say where making a card failed for the lack of a field, or for one that there is not; None of any other error."""
    name, called, problem = str(error).partition(".__init__() ")
    if not called or name not in (kind.__name__ for kind in (RuntimeCard, PassCard, ExporterCard)):
        return None
    cure = "harness/contracts/cards.py tells what each field is"
    if problem.endswith("'costs'"):
        cure = f"say what the pass may cost: costs= one of {', '.join(TOLERANCES)}"
    return UsageError(f"{file}: its {name} is not right: {problem}", cure)


def _words(card: Card) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """What kind of word, the word, and what it may be."""
    yield from (("call", call, CALLS) for call in card.calls)
    yield from (("modality", modality, MODALITIES) for modality in card.modalities)
    if isinstance(card, PassCard):
        if isinstance(card.costs, str):
            yield "tolerance", card.costs, TOLERANCES
        else:
            yield "parameter", card.costs.parameter, tuple(card.parameters)
            yield from (("tolerance", name, TOLERANCES) for name in card.costs.tolerances.values())
