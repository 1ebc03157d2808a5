"""The one gate through which every probe of a search passes: it batches, remembers and counts them."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError

Mask = NDArray[np.bool_]
Units = NDArray[np.intp]
Ask = Callable[[Mask], Mask]
"""Which of the subsets `[B, units]` (True = keep) satisfy the predicate, `[B]`; must be deterministic."""


TOGETHER = 4
"""Masks that cost little more than one where nothing else is known."""


class OutOfBudget(Exception):  # noqa: N818 - not an error: the search ends early, and `search_with` says so
    """The budget of a search is spent; never leaves `search_with`."""


@dataclass(frozen=True)
class Budget:
    """What a search may spend: probes, and seconds since its gate was made; None is no limit."""

    probes: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        """Raise OptionError for a budget that allows nothing."""
        if self.probes is not None and self.probes < 1:
            raise OptionError(f"expected a budget of 1 probe or more, got {self.probes}")
        if self.seconds is not None and not self.seconds > 0:
            raise OptionError(f"expected a budget of more than 0 seconds, got {self.seconds}")


class Gate:
    """Asks about subsets of `units` units, at most `batch` in one go and none of them twice.

    `order` [units] names the units, most useful first (by default as they are numbered); it is a hint that
    searches may follow, and no answer's correctness rests on it; `together` is how many masks cost little more
    than one. `probes` and `batches` count what was really asked;
    `smallest` is the smallest kept subset so far. With a spent `budget` it raises OutOfBudget: probes are
    exact, seconds are looked at before each batch.
    """

    def __init__(
        self,
        ask: Ask,
        units: int,
        batch: int,
        *,
        order: NDArray[np.integer] | None = None,
        budget: Budget | None = None,
        together: int = TOGETHER,
    ) -> None:
        if batch < 1:
            raise OptionError(f"the batch of a search must be at least 1, not {batch}")
        self._ask = ask
        self.units = units
        self.batch = batch
        self.together = together
        self.order: Units = np.arange(units) if order is None else np.asarray(order, dtype=np.intp)
        self._places = self.order if order is None else _places(self.order, units)
        self.probes = 0
        self.batches = 0
        self.smallest: Mask | None = None
        self._size = units + 1
        self._known: dict[bytes, bool] = {}
        self._ends: tuple[bool, bool] | None = None
        self._budget = budget
        self._started = time.perf_counter()

    def remember(self, full: bool, empty: bool) -> None:
        """Take what is known already of the full set and of the empty set, so that it is not asked for."""
        self._ends = full, empty
        masks = self._end_masks()
        self._known.update(zip(_keys(masks), self._ends, strict=True))
        for mask, kept in zip(masks, self._ends, strict=True):
            if kept:
                self._note(mask)

    def prefixes(self, lengths: list[int]) -> Mask:
        """Return the masks of so many units from the start of the order, [B, units]."""
        return np.asarray(self._places < np.array(lengths)[:, None])

    def keeps(self, mask: Mask) -> bool:
        """Say whether the subset `mask` [units] satisfies the predicate. Cost: one probe."""
        return self._settle(mask[None])[0]

    def answers(self, masks: Mask) -> Mask:
        """Say which of the subsets `masks` [B, units] satisfy the predicate, [B]. Cost: B probes."""
        kept: list[bool] = []
        for start in range(0, len(masks), self.batch):
            kept += self._settle(masks[start : start + self.batch])
        return np.array(kept, dtype=np.bool_)

    def first_kept(self, masks: Iterable[Mask]) -> int | None:
        """Return the lowest index among `masks`, each [units], that satisfies the predicate, or None.

        The answer is that of asking one after the other; the rest of a winner's batch is asked in vain,
        and what follows that batch is neither built nor asked.
        """
        start = 0
        for block in _blocks(masks, self.batch):
            kept = self._settle(block)
            if True in kept:
                return start + kept.index(True)
            start += len(kept)
        return None

    def ends(self) -> tuple[bool, bool]:
        """Ask about the full set and the empty set, together and whatever the budget says."""
        if self._ends is None:
            budget, self._budget = self._budget, None
            full, empty = self.answers(self._end_masks()).tolist()
            self._budget, self._ends = budget, (full, empty)
        return self._ends

    def _end_masks(self) -> Mask:
        both = np.zeros((2, self.units), dtype=np.bool_)
        both[0] = True
        return both

    def _settle(self, masks: Mask) -> list[bool]:
        """Answer at most a batch of masks; what was asked before comes from memory."""
        known, keys = self._known, _keys(masks)
        fresh = {key: row for row, key in enumerate(keys) if key not in known}
        if fresh:
            self._put(list(fresh), masks if len(fresh) == len(keys) else masks[list(fresh.values())])
        return [known[key] for key in keys]

    def _put(self, keys: list[bytes], masks: Mask) -> None:
        """Ask about new masks as far as the budget allows, and note the answers."""
        allowed = self._allowed(len(keys))
        if allowed:
            kept = self._ask(masks[:allowed]).tolist()
            self.probes += allowed
            self.batches += 1
            self._known.update(zip(keys, kept, strict=False))
            for row, yes in enumerate(kept):
                if yes:
                    self._note(masks[row])
        if allowed < len(keys):
            raise OutOfBudget

    def _allowed(self, wanted: int) -> int:
        budget = self._budget
        if budget is None:
            return wanted
        if budget.seconds is not None and time.perf_counter() - self._started >= budget.seconds:
            return 0
        return wanted if budget.probes is None else max(0, min(wanted, budget.probes - self.probes))

    def _note(self, mask: Mask) -> None:
        size = int(np.count_nonzero(mask))
        if size < self._size:
            self._size, self.smallest = size, mask.copy()


def _blocks(masks: Iterable[Mask], most: int) -> Iterator[Mask]:
    if isinstance(masks, np.ndarray):
        yield from (masks[start : start + most] for start in range(0, len(masks), most))
        return
    rest = iter(masks)
    while block := list(islice(rest, most)):
        yield np.array(block)


def _keys(masks: Mask) -> list[bytes]:
    packed = np.packbits(masks, axis=1)
    data, width = packed.tobytes(), packed.shape[1]
    return [data[at : at + width] for at in range(0, len(data), width)]


def _places(order: Units, units: int) -> Units:
    """Return where in the order each unit stands; OptionError if it does not name every unit once."""
    places = np.full(units, -1)
    if order.shape == (units,) and order.min(initial=0) >= 0 and order.max(initial=0) < max(1, units):
        places[order] = np.arange(units)
    if places.min(initial=0) < 0:
        raise OptionError(f"expected an order that names each of {units} units once, got {order.shape} {order}")
    return places
