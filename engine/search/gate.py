"""The one gate through which every probe of a search passes: it batches them and counts them."""

from collections.abc import Callable, Iterable
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError

Mask = NDArray[np.bool_]
Ask = Callable[[Mask], Mask]
"""Which of the subsets `[B, units]` (True = keep) satisfy the predicate, `[B]`; must be deterministic."""


class Gate:
    """Asks about subsets of `units` units, at most `batch` in one go, and counts `probes` and `batches`."""

    def __init__(self, ask: Ask, units: int, batch: int) -> None:
        if batch < 1:
            raise OptionError(f"the batch of a search must be at least 1, not {batch}")
        self._ask = ask
        self.units = units
        self.batch = batch
        self.probes = 0
        self.batches = 0

    def keeps(self, mask: Mask) -> bool:
        """Say whether the subset `mask` [units] satisfies the predicate. Cost: one probe."""
        return self.first_kept([mask]) is not None

    def first_kept(self, masks: Iterable[Mask]) -> int | None:
        """Return the lowest index among `masks`, each [units], that satisfies the predicate, or None.

        The answer is that of asking one after the other; the rest of a winner's batch is asked in vain,
        and what follows that batch is neither built nor asked.
        """
        rest, start = iter(masks), 0
        while block := list(islice(rest, self.batch)):
            kept = self._ask(np.stack(block))
            self.probes += len(block)
            self.batches += 1
            if kept.any():
                return start + int(kept.argmax())
            start += len(block)
        return None
