"""EigenGrad-CAM: the best map of rank one, with the sign by which it goes along with what places add."""

import numpy as np
import pytest

from ddcam.engine.methods import METHODS


@pytest.mark.parametrize("demo", ["cnn_additive", "cnn_interacting", "vit"])
@pytest.mark.parametrize("picture", range(2))
def test_it_is_the_first_component_of_the_products(demo: str, picture: int, pose, layer_of) -> None:
    problem = pose(demo, picture)
    features, gradient = layer_of(problem)
    rows = (features * gradient).reshape(len(features), -1)
    centred = rows - rows.mean(1, keepdims=True)
    found = METHODS["eigen-grad-cam"](problem).scores.ravel().astype(np.float64)
    values = np.linalg.eigvalsh(centred.T @ centred)

    assert found @ found == pytest.approx(values[-1], rel=1e-4)
    np.testing.assert_allclose(centred.T @ (centred @ found), values[-1] * found, atol=1e-4 * values[-1] * found.max())
    assert found @ rows.sum(0) >= 0
