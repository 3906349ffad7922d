"""The way from a model's source to what a runtime loads: formats are nodes, exporters and passes are edges."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from harness.catalog import Catalog, Tool
from harness.contracts.cards import ExporterCard, Form, PassCard, Use, serves
from harness.matrix.spec import PassUse

MANY = 5  # forms of one format that a reason still lists by name


@dataclass(frozen=True)
class Hop:
    """One tool applied on the way, and the form that comes out."""

    tool: Tool
    asked: PassUse | None  # the pass as the matrix asks for it; None for an exporter
    form: Form


_State: TypeAlias = tuple[int, Form]  # passes done, and the form that came out
_Explored: TypeAlias = dict[_State, tuple[_State, Hop] | None]


class NoRoute(Exception):
    """There is no way; the message is the reason that the row shows."""


def route(start: Form, passes: Sequence[PassUse], goal: Sequence[Form], use: Use, catalog: Catalog) -> list[Hop]:
    """The shortest way from ``start`` through all ``passes``, in order, to one of the forms in ``goal``.

    Raises NoRoute with the reason.
    """
    came_from = _explore(start, passes, use, catalog)
    for state in came_from:  # nearest first
        if state[0] == len(passes) and state[1] in goal:
            return _walk_back(state, came_from)
    raise NoRoute(_reason(list(came_from), passes, goal, use))


def doable(start: Form, passes: Sequence[PassUse], use: Use, catalog: Catalog) -> int:
    """How many of ``passes`` can be done in their order, whatever runtime loads the result."""
    return max(done for done, _ in _explore(start, passes, use, catalog))


def _explore(start: Form, passes: Sequence[PassUse], use: Use, catalog: Catalog) -> _Explored:
    """Every state that can be reached, nearest first.

    Breadth-first over (passes done, form); passes are tried before exporters and tools by name, so that the same matrix
    always takes the same way.
    """
    came_from: _Explored = {(0, start): None}
    queue = deque([(0, start)])
    while queue:
        state = queue.popleft()
        done, form = state
        for hop in _hops(form, passes[done] if done < len(passes) else None, use, catalog):
            following = (done + (hop.asked is not None), hop.form)
            if following not in came_from:
                came_from[following] = (state, hop)
                queue.append(following)
    return came_from


def _hops(form: Form, asked: PassUse | None, use: Use, catalog: Catalog) -> Iterator[Hop]:
    if asked:
        for tool in catalog.passes_named(asked.name):
            card = tool.card
            if isinstance(card, PassCard) and _takes(card, form, asked, use):
                yield Hop(tool, asked, card.result(form, card.complete(asked.parameters)))
    for tool in catalog.exporters:
        card = tool.card
        if isinstance(card, ExporterCard) and form in card.accepts and serves(card, use):
            yield Hop(tool, None, card.result(form))


def _takes(card: PassCard, form: Form, asked: PassUse, use: Use) -> bool:
    """Whether an implementation takes the form, and every parameter that the matrix gives."""
    return form in card.accepts and serves(card, use) and asked.parameters.keys() <= card.parameters.keys()


def _walk_back(state: _State, came_from: _Explored) -> list[Hop]:
    hops: list[Hop] = []
    while step := came_from[state]:
        state, hop = step
        hops.append(hop)
    return hops[::-1]


def _reason(reached: list[_State], passes: Sequence[PassUse], goal: Sequence[Form], use: Use) -> str:
    furthest = max(done for done, _ in reached)
    forms = _listed(form for done, form in reached if done == furthest)
    if furthest < len(passes):
        before = f"after {passes[furthest - 1].name} " if furthest else ""
        with_ = f" with {', '.join(passes[furthest].parameters)}" if passes[furthest].parameters else ""
        return f"{before}no implementation of {passes[furthest].name}{with_} takes {forms} for {use}"
    return f"on this device the runtime loads {_listed(goal)}; from {forms} no exporter leads there for {use}"


def _listed(forms: Iterable[Form]) -> str:
    """``a, b or c``; a format with many precisions is named once, with their number."""
    by_format: dict[str, list[str]] = {}
    for form in sorted(forms):
        by_format.setdefault(form.format, []).append(str(form))
    names = [
        name
        for format_, each in by_format.items()
        for name in (each if len(each) <= MANY else [f"{format_} in {len(each)} precisions"])
    ]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}" if names else "nothing"
