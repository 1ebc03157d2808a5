"""What is particular to ProbDD: what it removes first, and what it learns."""

import numpy as np
import pytest

from ddcam.engine.search import Gate
from ddcam.engine.search.gate import Mask
from ddcam.engine.search.probdd import first_guess, probdd


def test_the_run_with_the_largest_expected_gain_is_removed_first() -> None:
    removed: list[list[int]] = []

    def ask(masks: Mask) -> Mask:
        removed.extend(np.flatnonzero(~mask).tolist() for mask in masks)
        return np.asarray(masks[:, 3])

    order = np.array([3, 0, 1, 2, 4, 5, 6, 7])
    probdd(Gate(ask, 8, 1, order=order))
    guess = first_guess(8)
    gains = [(8 - keep) * np.prod(1 - guess[keep:]) for keep in range(8)]

    assert removed[0] == sorted(order[int(np.argmax(gains)) :].tolist())


def test_the_first_guess_falls_with_the_rank_and_leaves_every_unit_a_chance() -> None:
    guess = first_guess(1000)

    assert (np.diff(guess) <= 0).all()
    assert 0 < guess.min() < guess.max() < 1


@pytest.mark.parametrize("needed", [1, 5, 30])
def test_a_core_of_any_size_costs_far_less_than_a_probe_a_unit(needed: int) -> None:
    gate = Gate(lambda masks: masks[:, :needed].all(axis=1), 1000, 1)

    assert probdd(gate) == tuple(range(needed))
    assert gate.probes < 20 + 5 * needed


def test_a_failed_run_is_tried_in_smaller_pieces() -> None:
    sizes: list[int] = []

    def ask(masks: Mask) -> Mask:
        sizes.extend((64 - masks.sum(axis=1)).tolist())
        return np.asarray(masks.all(axis=1))  # nothing can go

    assert probdd(Gate(ask, 64, 1)) == tuple(range(64))
    assert sizes[0] > 8
    assert sizes[-1] == 1
    assert len(sizes) < 64 * 4


def test_the_sweep_lets_the_least_useful_go_first() -> None:
    kept = {(0, 1, 2), (1, 2), (1,), (2,)}  # the odds leave the pair, each of which would do

    def ask(masks: Mask) -> Mask:
        return np.array([tuple(np.flatnonzero(mask).tolist()) in kept for mask in masks])

    assert probdd(Gate(ask, 3, 8)) == (1,)
