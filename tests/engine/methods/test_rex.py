"""ReX: responsibilities of decisions that are known, and maps that lie on what decides."""

import numpy as np
import pytest

from ddcam.engine.errors import OptionError
from ddcam.engine.methods.rex import SIZES, SUBSETS, Part, Partition, cut, least_witness, responsibility, rex
from ddcam.engine.problem import Problem

RULES = {
    "both of two": (lambda shown: shown >= {0, 1}, [0, 0, None, None]),
    "either of two": (lambda shown: bool(shown & {0, 1}), [1, 1, None, None]),
    "two of three": (lambda shown: len(shown & {0, 1, 2}) > 1, [1, 1, 1, None]),
    "one, or two others": (lambda shown: 0 in shown or shown >= {1, 2}, [1, 1, 1, None]),
    "any at all": (bool, [3, 3, 3, 3]),
    "nothing at all": (lambda shown: True, [None] * 4),
}


@pytest.mark.parametrize(("keeps", "expected"), RULES.values(), ids=RULES)
def test_responsibilities_of_known_decisions(keeps, expected):
    kept = [bool(keeps({i for i in range(4) if not bits >> i & 1})) for bits in range(SUBSETS)]
    found = [least_witness(kept, index) for index in range(4)]

    assert [None if bits is None else SIZES[bits] for bits in found] == expected


def asks(top: int, left: int, side: int):
    """Return a decision that needs three quarters of a square to be shown."""
    return lambda shown: shown[:, top : top + side, left : left + side].mean(axis=(1, 2)) > 0.75


@pytest.mark.parametrize("seed", range(5))
def test_the_map_lies_on_what_decides(seed):
    partition = Partition((64, 48), 4, 40, False)
    streams = np.random.default_rng(seed).spawn(20)
    found = np.mean([responsibility(asks(10, 20, 12), partition, random) for random in streams], axis=0)
    inside = found[10:22, 20:32]

    assert found.min() >= 0
    assert inside.mean() > 10 * found.mean()
    assert inside.sum() > 0.5 * found.sum()


def test_parts_cover_a_rectangle_once():
    random, covered = np.random.default_rng(0), np.zeros((9, 7), int)
    for _ in range(20):
        for piece in cut(Part(2, 1, 8, 6, np.ones((9, 7), bool)), 2, random):
            assert piece.area == 0 or min(piece.bottom - piece.top, piece.right - piece.left) >= 2
            covered[piece.top : piece.bottom, piece.left : piece.right] += 1

    assert (covered[2:8, 1:6] == 20).all()
    assert covered.sum() == 20 * 30
    assert sum(p.area for p in cut(Part(0, 0, 1, 1, np.ones((1, 1), bool)), 1, random)) == 1


def test_a_decision_that_needs_nothing_shown_has_no_responsible_part():
    found = responsibility(lambda s: np.ones(len(s), bool), Partition((8, 8), 1, 9, True), np.random.default_rng(0))

    assert not found.any()


def test_forwards_are_limited_and_asked_in_batches_of_all_sets():
    asked = []

    def ask(shown):
        asked.append(len(shown))
        return asks(0, 0, 8)(shown)

    responsibility(ask, Partition((32, 32), 1, 7, False), np.random.default_rng(0))

    assert len(asked) <= 7
    assert set(asked) == {14}


def test_on_a_model_the_seed_and_the_predicate_make_the_map(zoo, load_here):
    model = load_here(zoo.build("plain")[0])
    problem = Problem(model, zoo.pictures(1))
    maps = [rex(problem, samples=4, smallest=2, seed=seed).scores for seed in (0, 0, 1)]
    stricter = rex(problem.under("confidence:0.99"), samples=4, smallest=2).scores

    np.testing.assert_array_equal(maps[0], maps[1])
    assert not np.array_equal(stricter, maps[0])
    assert maps[0].shape == (16, 16)


@pytest.mark.parametrize("options", [{"samples": 0}, {"smallest": -1}, {"refined": 0}])
def test_options_of_nothing_are_refused(zoo, load_here, options):
    with pytest.raises(OptionError, match="of 1 or more"):
        rex(Problem(load_here(zoo.build("plain")[0]), zoo.pictures(1)), **options)
