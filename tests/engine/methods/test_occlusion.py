"""Occlusion against a loop over the windows."""

import numpy as np
import pytest

from ddcam.engine.errors import OptionError
from ddcam.engine.methods.occlusion import corners, occlusion
from ddcam.engine.problem import Problem
from ddcam.engine.search.predicate import probabilities


@pytest.mark.parametrize(("window", "stride"), [(5, 3), (4, 4), (7, 1)])
@pytest.mark.parametrize("score", ["prob", "logit"])
def test_the_map_is_that_of_a_loop(zoo, load_here, window, stride, score):
    problem = Problem(load_here(zoo.build("hidden")[0]), zoo.pictures(1))

    def ask(inputs: np.ndarray) -> float:
        logits = problem.score_images(inputs)
        return (probabilities(logits, "softmax") if score == "prob" else logits)[0, problem.target]

    total, count = np.zeros((16, 16)), np.zeros((16, 16))
    for top in range(0, 16 - window + stride, stride):
        for left in range(0, 16 - window + stride, stride):
            inputs = problem.picture.copy()
            inputs[:, :, top : top + window, left : left + window] = 0
            total[top : top + window, left : left + window] += ask(problem.picture) - ask(inputs)
            count[top : top + window, left : left + window] += 1

    found = occlusion(problem, window=window, stride=stride, score=score).scores
    np.testing.assert_allclose(found, total / count, rtol=1e-3, atol=1e-6)


def test_windows_reach_the_border():
    for size, side, stride in (((224, 224), 32, 16), ((10, 7), 4, 3), ((5, 9), 5, 5), ((4, 9), 6, 2)):
        places = corners(size, side, stride)
        covered = np.zeros(size, bool)
        for top, left in places:
            assert 0 <= top < size[0]
            assert 0 <= left < size[1]
            covered[top : top + side, left : left + side] = True

        assert covered.all()
    assert len(corners((224, 224), 32, 16)) == 169


@pytest.mark.parametrize(("window", "stride"), [(17, 1), (-1, 1), (4, 5), (4, -1)])
def test_windows_that_do_not_fit_are_refused(zoo, load_here, window, stride):
    problem = Problem(load_here(zoo.build("plain")[0]), zoo.pictures(1))

    with pytest.raises(OptionError, match="expected a window"):
        occlusion(problem, window=window, stride=stride)
