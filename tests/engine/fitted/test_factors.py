"""Factors that are not negative: planted ones are found again, and codes are the closest that there are."""

import numpy as np
import pytest
from scipy.optimize import nnls

from ddcam.engine.fitted.factors import codes, factorise


@pytest.fixture
def planted() -> tuple[np.ndarray, np.ndarray]:
    """Return codes `[60, 4]` and directions `[4, 30]`; some rows hold one concept alone, which makes them unique."""
    random = np.random.default_rng(1)
    strengths = random.gamma(1, size=(60, 4)) * (random.random((60, 4)) < 0.5)
    strengths[:4] = np.eye(4)
    directions = random.gamma(1, size=(4, 30)) * (random.random((4, 30)) < 0.4)
    return strengths, directions / np.linalg.norm(directions, axis=1, keepdims=True)


def test_planted_concepts_are_found_again(planted):
    strengths, directions = planted
    found = factorise(strengths @ directions, 4, seed=0)
    alike = found.directions @ directions.T
    order = alike.argmax(axis=0)

    assert sorted(order) == [0, 1, 2, 3]
    assert (alike.max(axis=0) > 0.99).all()
    assert found.error < 0.02
    np.testing.assert_allclose(found.codes[:, order], strengths, atol=0.15 * strengths.max())


def test_directions_have_unit_length_and_nothing_is_negative(planted):
    found = factorise(planted[0] @ planted[1], 4, seed=0)

    np.testing.assert_allclose(np.linalg.norm(found.directions, axis=1), 1, rtol=1e-5)
    assert found.directions.min() >= 0
    assert found.codes.min() >= 0


def test_the_error_is_what_is_left(planted):
    rows = planted[0] @ planted[1] + np.random.default_rng(0).random((60, 30))
    found = factorise(rows, 3, seed=0)

    assert found.error == pytest.approx(np.linalg.norm(rows - found.codes @ found.directions) / np.linalg.norm(rows))


def test_codes_are_those_of_nnls(planted):
    rows = np.random.default_rng(2).random((7, 30))
    expected = [nnls(planted[1].T, row)[0] for row in rows]

    np.testing.assert_allclose(codes(rows, planted[1]), expected, atol=1e-10)


def test_codes_of_directions_that_are_alike_still_fit(planted):
    twice = np.concatenate([planted[1], planted[1][:1], np.zeros((1, 30))])
    rows = planted[0] @ planted[1]

    np.testing.assert_allclose(codes(rows, twice) @ twice, rows, atol=1e-9)
