"""What is particular to QuickXplain: its cost, and that it prefers the start of the order."""

import numpy as np

from ddcam.engine.search import Gate
from ddcam.engine.search.gate import Mask
from ddcam.engine.search.quickxplain import quickxplain


def test_the_cost_stays_within_the_known_bound_on_monotone_predicates() -> None:
    for seed in range(60):
        rng = np.random.default_rng(seed)
        size = int(rng.integers(1, 40))
        core = rng.choice(512, size, replace=False)
        gate = Gate(lambda masks, c=core: masks[:, c].all(axis=1), 512, 1, order=rng.permutation(512))

        assert quickxplain(gate) == tuple(sorted(core.tolist()))
        assert gate.probes <= 2 * size * np.log2(512 / size) + 3 * size


def test_the_core_that_comes_first_in_the_order_is_chosen() -> None:
    gate = Gate(
        lambda masks: masks[:, [0, 1]].all(axis=1) | masks[:, [6, 7]].all(axis=1), 8, 8, order=np.arange(8)[::-1]
    )

    assert quickxplain(gate) == (6, 7)


def test_what_hinders_each_other_is_swept_up() -> None:
    def ask(masks: Mask) -> Mask:  # the third unit is needed only beside the second one
        return np.asarray(masks[:, 0] & (masks[:, 2] | ~masks[:, 1]))

    assert quickxplain(Gate(ask, 3, 8, order=np.array([1, 2, 0]))) == (0,)


def test_the_sweep_lets_the_least_useful_go_first() -> None:
    kept = {(0, 1, 2, 3), (2, 3), (2,), (3,)}  # halving finds the pair, each of which would do

    def ask(masks: Mask) -> Mask:
        return np.array([tuple(np.flatnonzero(mask).tolist()) in kept for mask in masks])

    assert quickxplain(Gate(ask, 4, 8)) == (2,)
