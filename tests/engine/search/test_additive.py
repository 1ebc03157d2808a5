"""The search on the contribution matrix gives the answer of the search through the gate, ties included."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ddcam.engine.search import Gate, search
from ddcam.engine.search.additive import Table, additive_ask, remove_units_additive
from ddcam.engine.search.gate import Mask
from ddcam.engine.search.outcome import Outcome
from ddcam.engine.search.predicate import Predicate, predicate

Reals = NDArray[np.float64]
TEXTS = ["top1", "confidence:0.3", "confidence:0.9", "confidence:1", "topk:2"]


def table(contributions: Reals, bias: Reals) -> Table:
    return Table(np.ones(len(contributions)), contributions, bias)


class Canonical:
    """The run of one mask alone; counts how often it was asked."""

    def __init__(self, contributions: Reals, bias: Reals, asked: Predicate) -> None:
        self.contributions, self.bias, self.asked = contributions, bias, asked
        self.masks: list[Mask] = []

    def __call__(self, mask: Mask) -> bool:
        self.masks.append(mask)
        return bool(self.asked.keeps((self.bias + self.contributions[mask].sum(axis=0))[None])[0])


def gaussian(rng: np.random.Generator, units: int) -> Reals:
    return rng.normal(size=(units, 7))


def sparse(rng: np.random.Generator, units: int) -> Reals:
    """What follows a ReLU: most units are dead on one picture."""
    return rng.normal(size=(units, 7)) * np.maximum(rng.normal(size=(units, 1)) - 0.5, 0)


def integer(rng: np.random.Generator, units: int) -> Reals:
    """Exact ties everywhere."""
    return rng.integers(-2, 3, size=(units, 7)).astype(np.float64)


def near_ties(rng: np.random.Generator, units: int) -> Reals:
    """Ties that the order of a sum makes or breaks."""
    return np.asarray(rng.integers(-2, 3, size=(units, 7)) * 0.1)


HEADS = [gaussian, sparse, integer, near_ties]


def problems(head: Any, text: str, activation: Any) -> Iterator[tuple[Reals, Reals, Predicate]]:
    """Heads that keep the predicate with all units and lose it with none."""
    for seed in range(60):
        rng = np.random.default_rng(seed)
        contributions = head(rng, int(rng.integers(2, 60)))
        bias = head(rng, 1)[0]
        full = bias + contributions.sum(axis=0)
        if text == "topk:2" and (full == full.max()).sum() > 2:
            continue  # no one class is among the best two, which is refused
        asked = predicate(text, int(full.argmax()), full, activation)
        if asked.keeps(full[None])[0] and not asked.keeps(bias[None])[0]:
            yield contributions, bias, asked


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("head", HEADS)
def test_the_answer_is_that_of_the_search_through_the_gate(head: Any, text: str, activation: Any) -> None:
    solved = 0
    for contributions, bias, asked in problems(head, text, activation):
        units, confirm = len(contributions), Canonical(contributions, bias, asked)
        gate = Gate(additive_ask(table(contributions, bias), asked, confirm), units, 7)
        expected, outcome = search("units", gate)
        answer, probes = remove_units_additive(contributions, bias, asked, confirm)

        assert outcome is Outcome.ONE_MINIMAL
        assert answer == expected
        assert probes > 0 or np.count_nonzero(contributions.any(axis=1)) == 1
        solved += 1
    assert solved >= 10


@pytest.mark.parametrize("head", [integer, near_ties])
def test_whatever_rounding_could_decide_is_decided_by_the_canonical_run(head: Any) -> None:
    disagreements = 0
    for contributions, bias, asked in problems(head, "top1", "softmax"):
        contributions[~contributions.any(axis=1)] = -1  # without units that change nothing

        def contrary(mask: Mask) -> bool:  # keeps every tie, which arithmetic would not
            return True

        ask = additive_ask(table(contributions, bias), asked, contrary)
        expected, outcome = search("units", Gate(ask, len(contributions), 16))
        if outcome is not Outcome.ONE_MINIMAL:
            continue
        usual, _ = remove_units_additive(contributions, bias, asked, Canonical(contributions, bias, asked))
        answer, _ = remove_units_additive(contributions, bias, asked, contrary)

        assert answer == expected
        disagreements += answer != usual
    assert disagreements > 0


def test_the_canonical_run_is_spared_where_nothing_is_close() -> None:
    rng = np.random.default_rng(3)
    contributions, bias = rng.normal(size=(300, 20)), np.zeros(20)
    full = contributions.sum(axis=0)
    asked = predicate("top1", int(full.argmax()), full, "softmax")
    confirm = Canonical(contributions, bias, asked)
    answer, probes = remove_units_additive(contributions, bias, asked, confirm)

    assert 0 < len(answer) < 300
    assert probes >= 300
    assert len(confirm.masks) < 10


def test_units_that_add_nothing_are_neither_kept_nor_asked_about() -> None:
    contributions = np.zeros((100, 2))
    contributions[[10, 60], 0] = 1
    asked = predicate("confidence:1", 0, np.array([2.0, 1.5]), "softmax")
    confirm = Canonical(contributions, np.array([0.0, 1.5]), asked)
    answer, probes = remove_units_additive(contributions, confirm.bias, asked, confirm)

    assert answer == (10, 60)
    assert probes == 2
    assert confirm.masks == []


def test_many_units_of_very_different_sizes_still_end_one_minimal() -> None:
    rng = np.random.default_rng(0)
    contributions = rng.normal(size=(2000, 3)) * 10.0 ** rng.integers(-6, 4, size=(2000, 1))
    bias = -0.5 * contributions.sum(axis=0)
    full = bias + contributions.sum(axis=0)
    asked = predicate("top1", int(full.argmax()), full, "softmax")
    confirm = Canonical(contributions, bias, asked)
    answer, _ = remove_units_additive(contributions, bias, asked, confirm)
    mask = np.isin(np.arange(2000), answer)

    assert not confirm(np.zeros(2000, dtype=np.bool_))
    assert confirm(mask)
    assert not any(confirm(mask & (np.arange(2000) != unit)) for unit in answer)


@pytest.mark.parametrize("head", HEADS)
def test_ddmin_runs_on_the_matrix_too(head: Any) -> None:
    for contributions, bias, asked in problems(head, "confidence:0.9", "softmax"):
        confirm = Canonical(contributions, bias, asked)
        gate = Gate(additive_ask(table(contributions, bias), asked, confirm), len(contributions), 16)
        answer, outcome = search("ddmin", gate)
        mask = np.isin(np.arange(len(contributions)), answer)

        assert outcome is Outcome.ONE_MINIMAL
        assert confirm(mask)
        assert not any(confirm(mask & (np.arange(len(mask)) != unit)) for unit in answer)
