"""What is particular to ddmin: the split, and what it does not ask."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddcam.engine.search import Gate
from ddcam.engine.search.ddmin import ddmin, split
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
