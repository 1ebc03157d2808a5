"""Boxes and mosaics, worked out by hand."""

import numpy as np
import pytest

from ddcam.engine.errors import OptionError, PictureError
from ddcam.engine.metrics import METRICS, Case, Mosaic

SIDE = 10


def area(top: int, left: int, bottom: int, right: int) -> np.ndarray:
    found = np.zeros((SIDE, SIDE), bool)
    found[top:bottom, left:right] = True
    return found


def pose(**fields: object) -> Case:
    nothing = np.zeros((1, 1, SIDE, SIDE))
    return Case(nothing, "NCHW", 0, lambda inputs: np.ones((len(inputs), 1)), nothing, nothing, **fields)


OBJECT = area(2, 2, 6, 6)


def test_the_box_of_the_object_has_an_iou_of_one():
    assert METRICS["box-iou"](OBJECT.astype(float), pose(box=OBJECT)) == 1


def test_a_box_that_is_shifted_by_half_has_an_iou_of_a_third():
    assert METRICS["box-iou"](area(2, 4, 6, 8).astype(float), pose(box=OBJECT)) == pytest.approx(8 / 24)


def test_the_box_reaches_around_a_part_that_has_holes_and_corners():
    # Two pixels that touch at a corner span the box of both.
    diagonal = area(2, 2, 4, 4) | area(4, 4, 6, 6)

    assert METRICS["box-iou"](diagonal.astype(float), pose(box=OBJECT)) == 1


def test_only_the_largest_part_counts():
    parts = area(2, 2, 6, 6) * 0.5 + area(8, 8, 10, 10) * 1.0

    assert METRICS["box-iou"](parts, pose(box=OBJECT)) == 1
    assert METRICS["box-iou"](parts, pose(box=area(8, 8, 10, 10))) == 0


def test_the_threshold_is_a_share_of_the_range():
    steps = 3 + area(2, 2, 6, 6) * 0.25 + area(2, 2, 6, 4) * 0.75  # 0.25 and 1 in 0..1

    assert METRICS["box-iou"](steps, pose(box=OBJECT), threshold=0.25) == 1
    assert METRICS["box-iou"](steps, pose(box=OBJECT), threshold=0.26) == pytest.approx(8 / 16)


def test_of_several_objects_the_one_that_fits_best_counts():
    both = pose(box=OBJECT | area(7, 7, 10, 10))

    assert METRICS["box-iou"](area(7, 7, 10, 10).astype(float), both) == 1


def test_a_constant_map_and_a_picture_without_an_object_have_none():
    assert METRICS["box-iou"](np.ones((SIDE, SIDE)), pose(box=OBJECT)) == 0
    assert METRICS["box-iou"](np.eye(SIDE), pose(box=np.zeros((SIDE, SIDE), bool))) == 0


def test_accuracy_asks_for_a_least_iou():
    third = area(2, 4, 6, 8).astype(float)

    assert METRICS["box-accuracy"](third, pose(box=OBJECT)) == 0
    assert METRICS["box-accuracy"](third, pose(box=OBJECT), least=0.3) == 1


@pytest.mark.parametrize("threshold", [0.0, -0.1, 1.1])
def test_a_threshold_that_takes_all_or_nothing_is_refused(threshold: float):
    with pytest.raises(OptionError, match="expected a threshold above 0 and up to 1"):
        METRICS["box-iou"](np.eye(SIDE), pose(box=OBJECT), threshold=threshold)


# ----- the grid pointing game -----


def of_mosaic(found: np.ndarray) -> float:
    return METRICS["grid-pointing-game"](np.eye(SIDE), pose(mosaic=Mosaic(lambda: found, area(0, 0, 5, 5))))


def test_the_share_of_the_positive_part_in_the_cell_counts():
    assert of_mosaic(3.0 * area(0, 0, 5, 1) + area(5, 5, 10, 6)) == pytest.approx(15 / 20)
    assert of_mosaic(1.0 * area(0, 0, 5, 1) - area(5, 5, 10, 6)) == 1
    assert of_mosaic(np.ones((SIDE, SIDE))) == pytest.approx(1 / 4)


def test_a_blank_map_of_the_mosaic_scores_nothing():
    assert of_mosaic(-np.ones((SIDE, SIDE))) == 0


def test_a_method_that_gives_up_on_the_mosaic_is_not_judged():
    def refuses() -> np.ndarray:
        raise PictureError("decided otherwise")

    assert np.isnan(METRICS["grid-pointing-game"](np.eye(SIDE), pose(mosaic=Mosaic(refuses, OBJECT))))


def test_a_cell_of_another_size_is_refused():
    with pytest.raises(OptionError, match="like the cell"):
        of_mosaic(np.ones((3, 3)))
