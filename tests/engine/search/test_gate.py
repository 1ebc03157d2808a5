"""The gate never asks for more than a batch, asks lazily, counts truly and lets the lowest index win."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddcam.engine.errors import OptionError
from ddcam.engine.search import Gate
from ddcam.engine.search.gate import Mask


class Recorder:
    """Keeps the masks whose first unit is on, and remembers the size of every batch."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def __call__(self, masks: Mask) -> Mask:
        assert masks.dtype == np.bool_
        self.sizes.append(len(masks))
        return np.asarray(masks[:, 0])


@given(st.lists(st.booleans(), max_size=40), st.integers(1, 9))
def test_first_kept_is_the_lowest_index_whatever_the_batch(answers: list[bool], batch: int) -> None:
    built = 0

    def masks() -> Iterator[Mask]:
        nonlocal built
        for answer in answers:
            built += 1
            yield np.array([answer, False])

    ask = Recorder()
    gate = Gate(ask, 2, batch)
    found = gate.first_kept(masks())

    assert found == (answers.index(True) if True in answers else None)
    assert all(0 < size <= batch for size in ask.sizes)
    assert (gate.probes, gate.batches) == (sum(ask.sizes), len(ask.sizes))
    needed = len(answers) if found is None else min(len(answers), (found // batch + 1) * batch)
    assert built == gate.probes == needed


def test_keeps_costs_one_probe() -> None:
    gate = Gate(Recorder(), 2, 8)

    assert gate.keeps(np.array([True, False]))
    assert not gate.keeps(np.array([False, True]))
    assert (gate.probes, gate.batches) == (2, 2)


def test_a_batch_of_zero_is_refused() -> None:
    with pytest.raises(OptionError, match="at least 1, not 0"):
        Gate(Recorder(), 2, 0)
