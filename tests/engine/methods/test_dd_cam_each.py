"""DD-CAM of several pictures at once is DD-CAM of each."""

from dataclasses import replace

import numpy as np
import pytest

from ddcam import load, open_image
from ddcam.engine.answer import Attribution
from ddcam.engine.methods.dd_cam import dd_cam, dd_cam_each
from ddcam.engine.preprocess import prepare
from ddcam.engine.problem import Problem
from ddcam.models import DEMOS, demo_path, demo_pictures


@pytest.mark.parametrize("units", [None, "cell"])
@pytest.mark.parametrize("name", DEMOS)
def test_attributions_are_those_of_each_picture(name, units):
    model = load(demo_path(name), units=units)

    def problems() -> list[Problem]:
        opened = model.opened
        inputs = [prepare(open_image(path), opened.preprocessing, opened.picture)[0] for path in demo_pictures()]
        return [Problem(model, one, preserve="confidence:0.9") for one in inputs]

    beside_each_other, alone = dd_cam_each(problems()), [dd_cam(problem) for problem in problems()]

    for beside, own in zip(beside_each_other, alone, strict=True):
        assert facts(beside) == facts(own)
        np.testing.assert_array_equal(beside.grid_map, own.grid_map)
        np.testing.assert_array_equal(beside.scores, own.scores)
        assert beside.certificate is not None
        assert beside.certificate.holds


def facts(attribution: Attribution) -> Attribution:
    """Leave out what takes time and what does not compare."""
    cost = attribution.cost
    assert cost is not None
    assert cost.seconds == pytest.approx(cost.search_seconds + cost.certificate_seconds)
    counted = replace(cost, seconds=0, search_seconds=0, certificate_seconds=0)
    return replace(attribution, scores=None, grid_map=None, cost=counted)
