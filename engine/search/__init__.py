"""Pure set search: subsets go out through a gate, yes or no comes back; no model and no picture is known."""

import difflib
from collections.abc import Callable

import numpy as np

from ..errors import OptionError
from .ddmin import ddmin
from .gate import Ask, Gate
from .outcome import Outcome
from .removal import remove_units

Search = Callable[[Gate], tuple[int, ...]]

SEARCHES: dict[str, Search] = {
    "ddmin": ddmin,
    "units": remove_units,
}
"""Every search returns a 1-minimal subset if the full set is kept and the empty set is not."""


def search(name: str, gate: Gate) -> tuple[tuple[int, ...], Outcome]:
    """Ask about the full set, then about the empty set, then run the search `name`: (subset, how it ended).

    The subset is empty unless the outcome is ONE_MINIMAL.
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
    if not gate.keeps(np.ones(gate.units, dtype=np.bool_)):
        return (), Outcome.FULL_FAILS
    if gate.keeps(np.zeros(gate.units, dtype=np.bool_)):
        return (), Outcome.EMPTY_SUFFICES
    return run(gate), Outcome.ONE_MINIMAL


__all__ = ["SEARCHES", "Ask", "Gate", "Outcome", "Search", "search", "search_with"]
