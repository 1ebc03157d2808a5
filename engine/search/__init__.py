"""Pure set search: subsets go out through a gate, yes or no comes back; no model and no picture is known."""

import difflib
from collections.abc import Callable

import numpy as np

from ..errors import OptionError
from .ddmin import ddmin, ddmin_star
from .gate import Ask, Budget, Gate, OutOfBudget
from .ordered import ordered
from .outcome import Outcome
from .probdd import probdd
from .quickxplain import quickxplain
from .removal import remove_units
from .sweep import sweep

Search = Callable[[Gate], tuple[int, ...]]

SEARCHES: dict[str, Search] = {
    "ddmin": ddmin,
    "units": remove_units,
    "ordered": ordered,
    "quickxplain": quickxplain,
    "probdd": probdd,
    "dd-star": ddmin_star,
    "sweep": sweep,
}
"""Every search returns a 1-minimal subset if the full set is kept and the empty set is not."""


def search(name: str, gate: Gate) -> tuple[tuple[int, ...], Outcome]:
    """Ask about the full set and the empty set, then run the search `name`: (subset, how it ended).

    The subset is empty where the outcome is FULL_FAILS or EMPTY_SUFFICES. With a spent budget it is the smallest
    kept subset that the gate has seen (the full set at least, as the first two questions are always asked).
    """
    if name not in SEARCHES:
        near = difflib.get_close_matches(name, SEARCHES, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise OptionError(f"unknown search {name!r}: expected one of {', '.join(SEARCHES)}{hint}")
    return search_with(SEARCHES[name], gate)


def search_with(run: Search, gate: Gate) -> tuple[tuple[int, ...], Outcome]:
    """Do as `search` with a search of your own."""
    if gate.units < 1:
        raise OptionError("a search needs at least one unit, but the split has none: choose another split")
    full, empty = gate.ends()
    if not full:
        return (), Outcome.FULL_FAILS
    if empty:
        return (), Outcome.EMPTY_SUFFICES
    try:
        return run(gate), Outcome.ONE_MINIMAL
    except OutOfBudget:
        smallest = gate.smallest  # there is one: the full set was kept
        return () if smallest is None else tuple(np.flatnonzero(smallest).tolist()), Outcome.OUT_OF_BUDGET


__all__ = ["SEARCHES", "Ask", "Budget", "Gate", "Outcome", "Search", "search", "search_with"]
