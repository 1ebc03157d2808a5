"""The gate never asks for more than a batch, never twice, lazily, counts truly and lets the lowest index win."""

import time
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddcam.engine.errors import OptionError
from ddcam.engine.search import Budget, Gate
from ddcam.engine.search.gate import Mask, OutOfBudget


class Recorder:
    """Keeps the masks whose first unit is on, and remembers every batch."""

    def __init__(self) -> None:
        self.batches: list[Mask] = []

    def __call__(self, masks: Mask) -> Mask:
        assert masks.dtype == np.bool_
        self.batches.append(masks.copy())
        return np.asarray(masks[:, 0])

    @property
    def sizes(self) -> list[int]:
        return [len(batch) for batch in self.batches]


def numbered(number: int, answer: bool) -> Mask:
    """Return a mask that is no other's, kept or not."""
    return np.array([answer, *((number >> bit) & 1 for bit in range(6))], dtype=np.bool_)


@given(st.lists(st.booleans(), max_size=40), st.integers(1, 9))
def test_first_kept_is_the_lowest_index_whatever_the_batch(answers: list[bool], batch: int) -> None:
    built = 0

    def masks() -> Iterator[Mask]:
        nonlocal built
        for number, answer in enumerate(answers):
            built += 1
            yield numbered(number, answer)

    ask = Recorder()
    gate = Gate(ask, 7, batch)
    found = gate.first_kept(masks())

    assert found == (answers.index(True) if True in answers else None)
    assert all(0 < size <= batch for size in ask.sizes)
    assert (gate.probes, gate.batches) == (sum(ask.sizes), len(ask.sizes))
    needed = len(answers) if found is None else min(len(answers), (found // batch + 1) * batch)
    assert built == gate.probes == needed


@given(st.lists(st.integers(0, 15), min_size=1, max_size=40), st.integers(1, 9))
def test_what_was_asked_is_remembered_and_not_counted(numbers: list[int], batch: int) -> None:
    masks = np.array([numbered(number // 2, number % 2 == 1) for number in numbers])
    ask = Recorder()
    gate = Gate(ask, 7, batch)

    assert gate.answers(masks).tolist() == masks[:, 0].tolist()
    assert all(0 < size <= batch for size in ask.sizes)
    assert gate.probes == sum(ask.sizes) == len(set(numbers))
    before = gate.probes, gate.batches
    assert gate.answers(masks).tolist() == masks[:, 0].tolist()
    assert [gate.keeps(mask) for mask in masks] == masks[:, 0].tolist()
    assert gate.first_kept(masks) == next((i for i, mask in enumerate(masks) if mask[0]), None)
    assert (gate.probes, gate.batches) == before


def test_a_caller_may_reuse_its_mask() -> None:
    gate, mask = Gate(Recorder(), 2, 8), np.array([True, False])

    assert gate.keeps(mask)
    mask[:] = [False, True]
    assert not gate.keeps(mask)
    assert gate.smallest is not None
    assert gate.smallest.tolist() == [True, False]


def test_keeps_costs_one_probe() -> None:
    gate = Gate(Recorder(), 2, 8)

    assert gate.keeps(np.array([True, False]))
    assert not gate.keeps(np.array([False, True]))
    assert (gate.probes, gate.batches) == (2, 2)


def test_no_masks_are_no_batch() -> None:
    gate = Gate(Recorder(), 2, 8)

    assert gate.answers(np.zeros((0, 2), np.bool_)).shape == (0,)
    assert gate.first_kept([]) is None
    assert gate.batches == 0


def test_the_smallest_kept_subset_is_remembered() -> None:
    gate = Gate(Recorder(), 3, 2)
    assert gate.smallest is None
    gate.answers(np.array([[1, 1, 1], [0, 1, 0], [1, 0, 1], [1, 1, 0], [0, 0, 0]], dtype=np.bool_))

    assert gate.smallest is not None
    assert gate.smallest.tolist() == [True, False, True]


def test_what_is_known_already_is_not_asked() -> None:
    ask = Recorder()
    gate = Gate(ask, 3, 8, budget=Budget(probes=1))
    gate.remember(full=True, empty=False)

    assert gate.ends() == (True, False)
    assert gate.keeps(np.array([True, True, True]))
    assert not gate.keeps(np.array([False, False, False]))
    assert gate.probes == 0
    assert gate.smallest is not None
    assert gate.smallest.all()


def test_units_stand_in_index_order_unless_told() -> None:
    assert Gate(Recorder(), 3, 1).order.tolist() == [0, 1, 2]
    assert Gate(Recorder(), 3, 1, order=np.array([2, 0, 1])).order.tolist() == [2, 0, 1]


@pytest.mark.parametrize("order", [[0, 1], [0, 1, 1], [1, 2, 3], [[0, 1, 2]], [0, 1, 2, 3]])
def test_an_order_that_does_not_name_every_unit_once_is_refused(order: list[int]) -> None:
    with pytest.raises(OptionError, match="names each of 3 units once"):
        Gate(Recorder(), 3, 1, order=np.array(order))


def test_a_batch_of_zero_is_refused() -> None:
    with pytest.raises(OptionError, match="at least 1, not 0"):
        Gate(Recorder(), 2, 0)


@pytest.mark.parametrize("batch", [1, 2, 3, 64])
def test_a_budget_of_probes_is_exact(batch: int) -> None:
    ask = Recorder()
    gate = Gate(ask, 7, batch, budget=Budget(probes=5))
    masks = np.array([numbered(number, number == 4) for number in range(9)])
    with pytest.raises(OutOfBudget):
        gate.answers(masks)

    assert gate.probes == sum(ask.sizes) == 5
    assert gate.smallest is not None, "the last probe that was allowed is not forgotten"
    assert gate.first_kept(masks[:5]) == 4, "what is known costs nothing"
    with pytest.raises(OutOfBudget):
        gate.keeps(masks[5])
    assert gate.probes == 5


def test_a_budget_of_seconds_is_looked_at_before_each_batch() -> None:
    ask = Recorder()
    gate = Gate(ask, 7, 2, budget=Budget(seconds=0.05))
    gate.answers(np.array([numbered(0, True), numbered(1, True)]))
    time.sleep(0.06)
    with pytest.raises(OutOfBudget):
        gate.keeps(numbered(2, True))

    assert ask.sizes == [2]


@pytest.mark.parametrize("batch", [1, 64])
def test_the_ends_are_asked_whatever_the_budget_and_count(batch: int) -> None:
    gate = Gate(Recorder(), 3, batch, budget=Budget(probes=1))

    assert gate.ends() == (True, False)
    assert gate.probes == 2
    with pytest.raises(OutOfBudget):
        gate.keeps(np.array([True, False, False]))


@pytest.mark.parametrize("budget", [{"probes": 0}, {"probes": -1}, {"seconds": 0.0}, {"seconds": float("nan")}])
def test_a_budget_of_nothing_is_refused(budget: dict[str, float]) -> None:
    with pytest.raises(OptionError, match="expected a budget of"):
        Budget(**budget)  # type: ignore[arg-type]
