"""`search` asks the full set, then the empty set, and says how it ended."""

import numpy as np
import pytest

from ddcam.engine.errors import OptionError
from ddcam.engine.search import SEARCHES, Gate, Outcome, search, search_with
from ddcam.engine.search.gate import Mask

searches = pytest.mark.parametrize("name", SEARCHES)


def count_gate(kept_sizes: set[int], units: int, asked: list[int]) -> Gate:
    """Keep the subsets of certain sizes, and note the sizes asked about."""

    def ask(masks: Mask) -> Mask:
        sizes = masks.sum(axis=1).tolist()
        asked.extend(sizes)
        return np.array([size in kept_sizes for size in sizes])

    return Gate(ask, units, 8)


@searches
def test_a_full_set_that_fails_ends_the_search(name: str) -> None:
    asked: list[int] = []

    assert search(name, count_gate({0, 1, 2}, 3, asked)) == ((), Outcome.FULL_FAILS)
    assert asked == [3]


@searches
def test_an_empty_set_that_suffices_ends_the_search(name: str) -> None:
    asked: list[int] = []

    assert search(name, count_gate({0, 3}, 3, asked)) == ((), Outcome.EMPTY_SUFFICES)
    assert asked == [3, 0]


@searches
def test_otherwise_the_named_search_runs(name: str) -> None:
    asked: list[int] = []
    subset, outcome = search(name, count_gate({2, 3, 4}, 4, asked))

    assert outcome is Outcome.ONE_MINIMAL
    assert len(subset) == 2
    assert asked[:2] == [4, 0]


@searches
def test_one_unit_needs_no_further_probe(name: str) -> None:
    asked: list[int] = []

    assert search(name, count_gate({1}, 1, asked)) == ((0,), Outcome.ONE_MINIMAL)
    assert asked == [1, 0]


def test_a_search_of_your_own_runs_behind_the_same_two_questions() -> None:
    asked: list[int] = []
    gate = count_gate({4}, 4, asked)

    assert search_with(lambda _: (7,), gate) == ((7,), Outcome.ONE_MINIMAL)
    assert asked == [4, 0]


def test_an_unknown_search_is_refused_with_what_exists() -> None:
    with pytest.raises(OptionError, match="'ddmim': expected one of ddmin, units; did you mean ddmin"):
        search("ddmim", count_gate({1}, 1, []))


def test_no_units_are_refused() -> None:
    with pytest.raises(OptionError, match="at least one unit"):
        search("ddmin", count_gate({0}, 0, []))


def test_outcomes_are_sentences() -> None:
    assert all(len(outcome.value.split()) > 5 for outcome in Outcome)
    assert "no unit is needed" in Outcome.EMPTY_SUFFICES.value
