"""Several answers to one question: 1-minimal subsets that differ, disjoint ones first."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError
from .gate import Ask, Gate, Mask
from .masks import without_units

Subset = tuple[int, ...]
Find = Callable[[Mask], Subset | None]
"""A 1-minimal subset within the allowed units `[units]`; None where all of them together are not kept."""

FINDS = 1000
"""Most searches, so that it ends where subsets overlap in every way there is."""


@dataclass(frozen=True)
class Several:
    """Subsets that differ; no two of the first `disjoint` share a unit.

    `exhausted`: whichever way one unit of each subset is forbidden, the rest is not kept. Where the predicate
    is monotone there is then no other 1-minimal subset; where it is not, one may hide in a rest that is not kept.
    """

    subsets: tuple[Subset, ...]
    disjoint: int
    exhausted: bool
    finds: int


def several(find: Find, units: int, count: int, finds: int = FINDS) -> Several:
    """Find up to `count` 1-minimal subsets that differ.

    The first ones share no unit. Once the units outside of them are not kept any more, one unit of each subset is
    forbidden (a hitting-set tree, walked depth first, so that every step down to a search is one more subset hit): what
    is found then differs from each of them, so none comes twice. Deterministic if `find` is.
    Raises OptionError for a count below 1. Cost: `count` searches where so many are disjoint, at most `finds`.
    """
    if count < 1:
        raise OptionError(f"expected a count of 1 subset or more, got {count}")
    everything = np.ones(units, dtype=np.bool_)
    found = _disjoint(find, everything, count)
    disjoint = len(found)
    if disjoint == count or not disjoint:
        return Several(tuple(found), disjoint, not disjoint, disjoint + (disjoint < count))
    searches = disjoint + 1
    stack: list[frozenset[int]] = [frozenset()]
    seen = set(stack)
    while stack and len(found) < count and searches < finds:
        forbidden = stack.pop()
        subset = next((known for known in found if forbidden.isdisjoint(known)), None)
        if subset is None:
            subset = find(without_units(everything, list(forbidden)))
            searches += 1
            if subset is None:
                continue
            found.append(subset)
        children = [forbidden | {unit} for unit in reversed(subset)]
        stack += [child for child in children if child not in seen]
        seen.update(children)
    return Several(tuple(found), disjoint, not stack, searches)


def _disjoint(find: Find, everything: Mask, count: int) -> list[Subset]:
    """Find up to `count` subsets, each among the units that no earlier one has."""
    found: list[Subset] = []
    used: set[int] = set()
    while len(found) < count:
        subset = find(without_units(everything, list(used)))
        if subset is None:
            break
        found.append(subset)
        if not subset:  # no unit is needed: nothing else is minimal
            break
        used.update(subset)
    return found


def within(ask: Ask, batch: int, run: Callable[[Gate], Subset], order: NDArray[np.intp]) -> Find:
    """Return the `Find` of the search `run`, which sees the allowed units alone, all others being removed.

    `order` [units] is that of all units, most useful first. Where no unit is needed, the subset is empty.
    """

    def find(allowed: Mask) -> Subset | None:
        places = np.flatnonzero(allowed)
        if not len(places):
            return () if ask(allowed[None])[0] else None

        def ask_within(masks: Mask) -> Mask:
            spread = np.zeros((len(masks), len(allowed)), dtype=np.bool_)
            spread[:, places] = masks
            return ask(spread)

        gate = Gate(ask_within, len(places), batch, order=np.searchsorted(places, order[allowed[order]]))
        full, empty = gate.ends()
        if empty or not full:
            return () if empty else None
        return tuple(places[list(run(gate))].tolist())

    return find
