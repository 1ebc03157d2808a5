"""Turning channels: planted directions are found again, and what is claimed of U is so."""

import numpy as np
import pytest

from ddcam.engine.fitted.rotation import best_places, polar, schedule, turned


@pytest.fixture(scope="module")
def mixed() -> tuple[np.ndarray, np.ndarray]:
    """Return features `[200, 6, 9]` of six sources, one in each place, mixed by an orthogonal matrix, and it."""
    random = np.random.default_rng(3)
    sources = random.random((200, 6, 9)).astype(np.float32) * 0.1
    which = random.integers(0, 6, (200, 9))
    np.put_along_axis(sources, which[:, None], random.random((200, 1, 9)).astype(np.float32) + 1, axis=1)
    mixing = np.linalg.qr(random.normal(size=(6, 6)))[0]
    return np.einsum("ij,pjc->pic", mixing, sources).astype(np.float32), mixing


def test_planted_directions_are_found_again(mixed):
    maps, mixing = mixed
    turn = turned(maps, schedule(30))

    assert (np.abs(turn @ mixing).max(axis=1) > 0.95).all()
    assert best_places(maps, turn).purity.mean() > best_places(maps, np.eye(6)).purity.mean() + 0.2


def test_the_turn_is_orthogonal_and_the_same_each_time(mixed):
    turn = turned(mixed[0], schedule(5))

    np.testing.assert_allclose(turn @ turn.T, np.eye(6), atol=1e-5)
    np.testing.assert_array_equal(turn, turned(mixed[0], schedule(5)))


def test_channels_that_no_picture_speaks_for_stay_orthogonal():
    maps = np.zeros((3, 8, 4), np.float32)
    maps[:, 0, 1] = 1  # one place of one channel is all there is
    turn = turned(maps, schedule(3))

    np.testing.assert_allclose(turn @ turn.T, np.eye(8), atol=1e-5)
    assert np.isfinite(turn).all()


def test_prototypes_have_the_largest_sums_and_lie_where_the_channel_is_strongest():
    maps = np.random.default_rng(0).random((12, 4, 9)).astype(np.float32)
    best = best_places(maps, np.eye(4))

    for channel in range(4):
        order = np.argsort(-maps[:, channel].sum(axis=1))[:5]
        np.testing.assert_array_equal(best.pictures[channel], order)
        np.testing.assert_array_equal(best.cells[channel], maps[order, channel].argmax(axis=1))
        place = maps[order[0], :, best.cells[channel, 0]]
        assert best.purity[channel, 0] == pytest.approx(place[channel] / np.linalg.norm(place), rel=1e-5)


def test_the_polar_factor_is_the_closest_orthogonal_matrix():
    matrix = np.random.default_rng(1).normal(size=(5, 5))
    found = polar(matrix)

    np.testing.assert_allclose(found @ found.T, np.eye(5), atol=1e-12)
    symmetric = found.T @ matrix
    np.testing.assert_allclose(symmetric, symmetric.T, atol=1e-12)
    assert (np.linalg.eigvalsh(symmetric) >= 0).all()


def test_the_number_of_prototypes_falls_from_100_to_5():
    assert schedule(20)[0] == 100
    assert schedule(20)[-1] == 5
    assert (np.diff(schedule(20)) < 0).all()
    assert schedule(0) == []
