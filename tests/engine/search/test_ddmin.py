"""What is particular to ddmin: the split, and what it does not ask."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddcam.engine.search import Gate
from ddcam.engine.search.ddmin import ddmin, ddmin_star, split
from ddcam.engine.search.gate import Mask


@given(st.integers(1, 50), st.integers(1, 50))
def test_the_split_is_a_partition_into_near_equal_runs(size: int, parts: int) -> None:
    chunks = split(np.arange(size), min(parts, size))

    assert np.concatenate(chunks).tolist() == list(range(size))
    assert len(chunks) == min(parts, size)
    assert 0 <= max(map(len, chunks)) - min(map(len, chunks)) <= 1


def test_the_larger_runs_come_last() -> None:
    assert [len(chunk) for chunk in split(np.arange(11), 4)] == [2, 3, 3, 3]


@pytest.mark.parametrize("culprit", [0, 5, 511])
def test_a_single_culprit_costs_two_probes_a_halving(culprit: int) -> None:
    gate = Gate(lambda masks: np.asarray(masks[:, culprit]), 512, 1)

    assert ddmin(gate) == (culprit,)
    assert gate.probes <= 2 * 9


def test_halves_are_not_asked_again_as_complements() -> None:
    gate = Gate(lambda masks: np.asarray(masks.all(axis=1)), 2, 64)

    assert ddmin(gate) == (0, 1)
    assert (gate.probes, gate.batches) == (2, 1)


def test_the_cuts_stay_after_a_complement_and_the_next_one_follows() -> None:
    asked: list[str] = []

    def ask(masks: Mask) -> Mask:
        asked.extend("".join("+" if on else "-" for on in mask) for mask in masks)
        return np.asarray(masks[:, 0] & masks[:, 5])

    assert ddmin(Gate(ask, 8, 1)) == (0, 5)
    assert asked[:2] == ["++++----", "----++++"]
    assert asked[2:6] == ["++------", "--++----", "----++--", "------++"]
    assert asked[6:8] == ["--++++++", "++--++++"]
    assert asked[8:10] == ["++----++", "++--++--"]
    # Two chunks are left, each failed alone: finer cuts follow, and no chunk is asked a second time.
    assert asked[10:12] == ["+-------", "-+------"]


def test_a_level_is_one_batch() -> None:
    gate = Gate(lambda masks: np.asarray(masks.all(axis=1)), 8, 64)

    assert ddmin(gate) == tuple(range(8))
    assert gate.batches == 3  # 2, 4 and 8 chunks
    assert gate.probes == 2 + 8 + 16


def test_the_worst_case_stays_within_its_bound() -> None:
    for units in range(2, 30):
        gate = Gate(lambda masks: np.asarray(masks.all(axis=1)), units, 1)
        ddmin(gate)

        assert gate.probes <= units**2 + 3 * units


def test_a_fresh_run_on_the_answer_finds_what_single_removals_cannot() -> None:
    kept = {(0, 1, 2, 3, 4), (0, 1, 2, 3), (2, 3)}  # the two are a half of the four, but no chunk of the five

    def ask(masks: Mask) -> Mask:
        return np.array([tuple(np.flatnonzero(mask).tolist()) in kept for mask in masks])

    assert ddmin(Gate(ask, 5, 8)) == (0, 1, 2, 3)
    assert ddmin_star(Gate(ask, 5, 8)) == (2, 3)


def test_a_fresh_run_never_ends_with_more_and_goes_on_until_nothing_changes() -> None:
    fewer = 0
    for seed in range(300):
        table = np.random.default_rng(seed).random(2**10) < 0.05
        table[0], table[-1] = False, True
        gate = Gate(lambda masks, t=table: t[masks @ 2 ** np.arange(10)], 10, 16)
        once, star = ddmin(gate), ddmin_star(gate)
        inside = Gate(lambda masks, g=gate, s=star: g.answers(placed(masks, s)), len(star), 16)

        assert set(star) <= set(once)
        assert ddmin(inside) == tuple(range(len(star)))
        fewer += len(star) < len(once)
    assert fewer > 3


def placed(masks: Mask, units: tuple[int, ...]) -> Mask:
    wide = np.zeros((len(masks), 10), dtype=np.bool_)
    wide[:, units] = masks
    return wide
