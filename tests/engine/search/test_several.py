"""Several subsets differ, the disjoint ones come first, and on monotone questions none is missing."""

from itertools import combinations

import numpy as np
import pytest

from ddcam.engine.errors import OptionError
from ddcam.engine.search.gate import Mask
from ddcam.engine.search.removal import remove_units
from ddcam.engine.search.several import Find, several, within

UNITS = 7


def finder(kept: set[frozenset[int]]) -> Find:
    def ask(masks: Mask) -> Mask:
        return np.array([frozenset(np.flatnonzero(m).tolist()) in kept for m in masks])

    return within(ask, 8, remove_units, np.arange(UNITS)[::-1])


def upwards(*least: set[int]) -> set[frozenset[int]]:
    """Return all subsets that contain one of `least`: a monotone question."""
    every = (frozenset(s) for size in range(UNITS + 1) for s in combinations(range(UNITS), size))
    return {s for s in every if any(one <= s for one in least)}


def test_disjoint_subsets_come_first() -> None:
    found = several(finder(upwards({0, 1}, {2}, {1, 3, 4}, {5, 6})), UNITS, 3)

    assert set(found.subsets) == {(0, 1), (2,), (5, 6)} or found.disjoint == 3
    assert found.disjoint == len(found.subsets) == 3
    assert sum(map(len, found.subsets)) == len(set().union(*found.subsets))
    assert not found.exhausted
    assert found.finds == 3


@pytest.mark.parametrize("seed", range(12))
def test_of_a_monotone_question_every_minimal_subset_is_found(seed: int) -> None:
    rng = np.random.default_rng(seed)
    drawn = [set(rng.choice(UNITS, rng.integers(1, 4), replace=False).tolist()) for _ in range(4)]
    least = [one for one in drawn if not any(other < one for other in drawn)]
    found = several(finder(upwards(*least)), UNITS, 50)

    assert {frozenset(s) for s in found.subsets} == {frozenset(s) for s in least}
    assert len(found.subsets) == len(set(found.subsets))
    assert found.exhausted


@pytest.mark.parametrize("seed", range(12))
def test_of_any_question_the_subsets_are_minimal_and_differ(seed: int) -> None:
    rng = np.random.default_rng(seed)
    every = [frozenset(s) for size in range(1, UNITS + 1) for s in combinations(range(UNITS), size)]
    kept = {s for s in every if rng.random() < 0.4} | {frozenset(range(UNITS))}
    found = several(finder(kept), UNITS, 5)

    assert len(found.subsets) == len(set(found.subsets))
    for subset in found.subsets:
        assert frozenset(subset) in kept
        assert not any(frozenset(subset) - {unit} in kept for unit in subset)


def test_it_stops_at_the_count_and_at_the_most_searches() -> None:
    find = finder(upwards({0, 1}, {0, 2}, {0, 3}, {0, 4}))
    assert len(several(find, UNITS, 2).subsets) == 2
    few = several(find, UNITS, 50, finds=3)
    assert few.finds == 3
    assert not few.exhausted


def test_where_nothing_is_kept_there_is_no_subset() -> None:
    found = several(finder(set()), UNITS, 3)
    assert found.subsets == ()
    assert found.exhausted


def test_where_no_unit_is_needed_the_empty_subset_is_the_only_one() -> None:
    found = several(finder(upwards(set())), UNITS, 3)
    assert found.subsets == ((),)
    assert found.exhausted


def test_a_search_within_follows_the_order_of_all_units() -> None:
    seen: list[list[int]] = []
    find = within(
        lambda masks: masks.all(axis=1),
        8,
        lambda gate: tuple(seen.append(gate.order.tolist()) or (0,)),
        np.array([4, 2, 0, 1, 3]),
    )

    assert find(np.array([True, False, True, False, True])) is None
    find = within(
        lambda masks: masks[:, 4],
        8,
        lambda gate: tuple(seen.append(gate.order.tolist()) or (0,)),
        np.array([4, 2, 0, 1, 3]),
    )
    assert find(np.array([True, False, True, False, True])) == (0,)
    assert seen == [[2, 1, 0]]


def test_a_count_of_none_is_refused() -> None:
    with pytest.raises(OptionError, match="expected a count of 1 subset or more, got 0"):
        several(finder(set()), UNITS, 0)
