"""What is particular to the removal of single units: its order and its batches."""

import numpy as np

from ddcam.engine.search import Gate
from ddcam.engine.search.gate import Mask
from ddcam.engine.search.removal import remove_units


def test_the_last_of_equal_units_stays() -> None:
    gate = Gate(lambda masks: np.asarray(masks.any(axis=1)), 9, 4)

    assert remove_units(gate) == (8,)


def test_batches_double_while_units_stay_and_shrink_after_a_removal() -> None:
    sizes: list[int] = []

    def ask(masks: Mask) -> Mask:
        sizes.append(len(masks))
        return np.asarray(np.delete(masks, 20, axis=1).all(axis=1))  # only unit 20 can go

    assert remove_units(Gate(ask, 40, 8)) == tuple(unit for unit in range(40) if unit != 20)
    # The batch of 15 to 22 lets 20 go; the next one has to stay, and then all others for a whole round.
    assert sizes == [1, 2, 4, 8, 8, 1, 1, 2, 4, 8, 8, 8, 7]


def test_batches_double_while_units_go_too() -> None:
    sizes: list[int] = []

    def ask(masks: Mask) -> Mask:
        sizes.append(len(masks))
        return np.asarray(masks[:, 30])

    assert remove_units(Gate(ask, 40, 64)) == (30,)
    # Unit 0 goes; 1, 2 and 3, 4 to 7 and so on go too, in the run of 15 to 30 the last one stays; then the rest.
    assert sizes == [1, 1, 2, 4, 8, 16, 1, 1, 2, 4, 1]


def test_units_that_stay_are_asked_once_in_few_batches() -> None:
    gate = Gate(lambda masks: np.asarray(masks.all(axis=1)), 100, 64)

    assert remove_units(gate) == tuple(range(100))
    assert gate.probes == 100
    assert gate.batches == 7


def test_a_single_unit_is_not_asked_about() -> None:
    gate = Gate(lambda masks: np.asarray(masks.all(axis=1)), 1, 4)

    assert remove_units(gate) == (0,)
    assert gate.probes == 0
