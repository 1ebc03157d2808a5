"""A table of contributions: its rows, its whole and its sums are the same numbers, each made only where asked for."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ddcam.engine.search.additive import Table, additive_ask
from ddcam.engine.search.predicate import predicate


def table(units: int, classes: int, seed: int = 0) -> Table:
    random = np.random.default_rng(seed)
    strengths = random.normal(size=units) * (random.random(units) > 0.2)
    return Table(strengths, random.normal(size=(units, classes)), random.normal(size=classes))


@given(st.integers(1, 30), st.integers(1, 9), st.integers(0, 5), st.integers(0, 9))
def test_rows_and_matrix_agree(units: int, classes: int, rows: int, seed: int) -> None:
    made, random = table(units, classes, seed), np.random.default_rng(seed)
    some = random.integers(0, units, rows)

    assert (made.units, made.matrix.shape) == (units, (units, classes))
    np.testing.assert_array_equal(made.matrix, made.strengths[:, None] * made.effects)
    np.testing.assert_array_equal(made.rows(some), made.matrix[some])


@given(st.integers(1, 30), st.integers(0, 12), st.floats(0, 1), st.integers(0, 9))
def test_logits_are_the_bias_and_the_rows_of_those_kept(units: int, count: int, share: float, seed: int) -> None:
    made = table(units, 4, seed)
    masks = np.random.default_rng(seed).random((count, units)) < share
    expected = [made.bias + made.matrix[mask].sum(axis=0) for mask in masks]

    assert made.logits(masks).shape == (count, 4)
    np.testing.assert_allclose(made.logits(masks), np.reshape(expected, (count, 4)), rtol=1e-12, atol=1e-12)


def test_logits_of_nothing_are_the_bias() -> None:
    made = table(7, 3)

    np.testing.assert_array_equal(made.logits(np.zeros((2, 7), bool)), [made.bias, made.bias])


def test_logits_need_no_whole_matrix() -> None:
    """A picture costs products for the units that are asked about, not for all of them."""
    made = table(7, 3)
    made.logits(np.eye(7, dtype=bool)[:2])

    assert "matrix" not in vars(made)


def test_masks_are_judged_by_their_logits_and_near_ties_by_the_canonical_run() -> None:
    """Two classes: units raise one or the other by 1, so that many masks tie."""
    made = Table(np.ones(8), np.array([[1.0, 0]] * 5 + [[0, 1.0]] * 3), np.zeros(2))
    asked = predicate("top1", 0, np.array([5.0, 3.0]), "softmax")
    masks = np.random.default_rng(1).random((60, 8)) < 0.6
    difference = masks[:, :5].sum(axis=1) - masks[:, 5:].sum(axis=1)
    confirmed: list[np.ndarray] = []

    def confirm(mask: np.ndarray) -> bool:
        confirmed.append(mask)
        return len(confirmed) % 2 == 1

    kept = additive_ask(made, asked, confirm)(masks)
    ties = np.flatnonzero(difference == 0)

    assert kept[difference != 0].tolist() == (difference[difference != 0] > 0).tolist()
    np.testing.assert_array_equal(confirmed, masks[ties])
    assert kept[ties].tolist() == [i % 2 == 0 for i in range(len(ties))]
    assert len(ties) > 3
