"""Masks with and without units."""

import numpy as np

from ddcam.engine.search.masks import mask_of, with_units, without_each, without_first, without_units

MASK = np.array([True, True, False, True, True])


def test_a_mask_keeps_the_units_it_is_made_of() -> None:
    assert mask_of(4, [2, 0]).tolist() == [True, False, True, False]
    assert mask_of(2, []).tolist() == [False, False]


def test_units_join_and_leave_a_copy() -> None:
    assert with_units(MASK, [2, 3]).tolist() == [True] * 5
    assert without_units(MASK, np.array([0, 3])).tolist() == [False, True, False, False, True]
    assert MASK.tolist() == [True, True, False, True, True]


def test_each_unit_leaves_alone_in_the_order_given() -> None:
    rows = without_each(MASK, [3, 0])

    assert rows.tolist() == [[True, True, False, False, True], [False, True, False, True, True]]


def test_units_leave_one_after_the_other() -> None:
    rows = without_first(MASK, [3, 0, 4])

    assert [np.flatnonzero(row).tolist() for row in rows] == [[0, 1, 4], [1, 4], [1]]
