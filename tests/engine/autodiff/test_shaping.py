"""Which axes of a reshape are still the batch."""

import pytest

from ddcam.engine.autodiff.shaping import kept
from ddcam.engine.graph.build import Shape


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ((None, 12), (None, 3, 4), [0, 3, 4]),
        ((None, 5), (None, 3, 5, 5), [-1, 3, 5, 5]),  # rows of all heads and queries: not the pictures
        ((None, 3, 5, 5), (None, 5), [-1, 5]),
        ((3, None), (None, 3), [-1, 3]),
        ((2, 6), (3, 4), [3, 4]),
    ],
)
def test_a_free_axis_stays_only_where_nothing_joined_it(old: Shape, new: Shape, expected: list[int]) -> None:
    assert kept(old, new) == expected
