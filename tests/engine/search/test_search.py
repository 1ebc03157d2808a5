"""`search` asks about the full and the empty set whatever the budget, and says how it ended."""

import numpy as np
import pytest

from ddcam.engine.errors import OptionError
from ddcam.engine.search import SEARCHES, Budget, Gate, Outcome, search, search_with
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
    assert asked == [3, 0]


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


def test_the_first_two_questions_are_one_batch() -> None:
    gate = count_gate({1, 2}, 2, [])
    search_with(lambda _: (0,), gate)

    assert (gate.probes, gate.batches) == (2, 1)


@searches
def test_a_budget_that_ends_at_once_leaves_the_full_set(name: str) -> None:
    asked: list[int] = []
    gate = Gate(lambda masks: np.asarray([asked.append(m.sum()) or m.sum() > 2 for m in masks]), 5, 1, budget=Budget(1))

    assert search(name, gate) == ((0, 1, 2, 3, 4), Outcome.OUT_OF_BUDGET)
    assert asked == [5, 0]


@searches
def test_a_budget_of_seconds_ends_a_search_too(name: str) -> None:
    gate = Gate(lambda masks: masks.all(axis=1), 50, 1, budget=Budget(seconds=1e-9))

    assert search(name, gate) == (tuple(range(50)), Outcome.OUT_OF_BUDGET)
    assert gate.probes == 2


@searches
def test_a_budget_that_is_large_enough_changes_nothing(name: str) -> None:
    plain, generous = count_gate({3, 4, 7, 8}, 8, []), count_gate({3, 4, 7, 8}, 8, [])
    generous = Gate(generous._ask, 8, 8, budget=Budget(probes=1000, seconds=1000))

    assert search(name, generous) == search(name, plain)
    assert generous.probes == plain.probes


def test_an_unknown_search_is_refused_with_what_exists() -> None:
    with pytest.raises(OptionError, match=r"'ddmim': expected one of ddmin, units, ordered, .*; did you mean ddmin"):
        search("ddmim", count_gate({1}, 1, []))


def test_no_units_are_refused() -> None:
    with pytest.raises(OptionError, match="at least one unit"):
        search("ddmin", count_gate({0}, 0, []))


def test_outcomes_are_sentences() -> None:
    assert all(len(outcome.value.split()) > 5 for outcome in Outcome)
    assert "not known" in Outcome.OUT_OF_BUDGET.value
    assert "no unit is needed" in Outcome.EMPTY_SUFFICES.value
