"""What is particular to the ordered search: which prefixes it asks about, and how it shrinks."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from ddcam.engine.search import Gate
from ddcam.engine.search.gate import Ask, Mask
from ddcam.engine.search.ordered import ordered, shortest_prefix, shrink

Reals = NDArray[np.float64]


def recording(sizes: list[list[int]], keeps: Callable[[Mask], bool]) -> Ask:
    """Note the sizes of the subsets of each batch."""

    def ask(masks: Mask) -> Mask:
        sizes.append(masks.sum(axis=1).tolist())
        return np.array([keeps(mask) for mask in masks])

    return ask


@pytest.mark.parametrize("units", [1, 2, 3, 7, 64, 100])
def test_the_shortest_kept_prefix_is_found_where_prefixes_are_monotone(units: int) -> None:
    order = np.random.default_rng(units).permutation(units)
    for needed in range(1, units + 1):
        gate = Gate(lambda masks, n=needed: masks[:, order[:n]].all(axis=1), units, 8, order=order)

        assert shortest_prefix(gate) == needed
        assert gate.probes <= 4 + 4 * max(1, needed).bit_length()


def test_prefixes_grow_by_doubling_four_at_a_time_and_the_gap_is_cut_in_quarters() -> None:
    sizes: list[list[int]] = []
    gate = Gate(recording(sizes, lambda mask: bool(mask[:55].all())), 1280, 64)

    assert shortest_prefix(gate) == 55
    assert sizes == [[1, 2, 4, 8], [16, 32, 64, 128], [40, 48, 56], [50, 52, 54], [55]]


def test_a_prefix_is_kept_and_the_one_before_it_is_not_on_any_predicate() -> None:
    for seed in range(500):
        rng = np.random.default_rng(seed)
        kept, order = rng.random(41) < rng.random(), rng.permutation(40)
        kept[0], kept[40] = False, True
        gate = Gate(lambda masks, k=kept: k[masks.sum(axis=1)], 40, 7, order=order)
        length = shortest_prefix(gate)

        assert kept[length]
        assert not kept[length - 1]


def test_what_nothing_can_leave_costs_one_probe_a_unit() -> None:
    sizes: list[list[int]] = []
    gate = Gate(recording(sizes, lambda mask: bool(mask[:50].all())), 80, 64)

    assert shrink(gate, np.arange(50)) == tuple(range(50))
    assert [len(batch) for batch in sizes] == [8, 16, 26]


def test_the_least_useful_units_go_first() -> None:
    either = Gate(lambda masks: masks[:, 3] | masks[:, 1], 5, 4, order=np.array([4, 1, 0, 3, 2]))

    assert ordered(either) == (1,)


def test_long_runs_go_at_once() -> None:
    gate = Gate(lambda masks: masks[:, [7, 11]].all(axis=1), 1024, 64)

    assert shrink(gate, np.arange(1024)) == (7, 11)
    assert gate.probes < 60


def test_units_that_can_only_go_one_by_one_go_one_by_one() -> None:
    """Of five units any three keep: two of the five that could go alone go together."""
    gate = Gate(lambda masks: masks.sum(axis=1) >= 3, 5, 4)

    assert shrink(gate, np.arange(5)) == (0, 1, 2)


def test_what_is_asked_does_not_depend_on_the_batch() -> None:
    for seed in range(30):
        rng = np.random.default_rng(seed)
        effects, order = rng.normal(size=(60, 8)), rng.permutation(60)
        top = effects.sum(axis=0).argmax()

        def keeps(mask: Mask, effects: Reals = effects, top: np.intp = top) -> bool:
            return bool(mask.any() and effects[mask].sum(axis=0).argmax() == top)

        probes = set()
        for batch in (1, 5, 64):
            gate = Gate(recording([], keeps), 60, batch, order=order)
            ordered(gate)
            probes.add(gate.probes)

        assert len(probes) == 1
