"""Smooth Grad-CAM++: without noise it is Grad-CAM++, with noise it is seeded."""

import numpy as np
import pytest

from ddcam.engine.methods import method_named


@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("demo", ["cnn_additive", "cnn_interacting", "vit"])
def test_clean_samples_give_grad_cam_plusplus(demo: str, samples: int, pose) -> None:
    problem = pose(demo)
    expected = method_named("grad-cam++")(problem).scores
    found = method_named(f"smooth-grad-cam++:samples={samples}:sigma=0")(problem).scores

    np.testing.assert_allclose(found, expected, atol=1e-4 * expected.max())


def test_noise_moves_the_map_and_the_seed_fixes_it(pose) -> None:
    problem = pose("cnn_interacting")
    clean, first, again, other = (
        method_named(f"smooth-grad-cam++:{options}")(problem).scores
        for options in ("samples=1:sigma=0", "seed=1", "seed=1", "seed=2")
    )

    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-3 * first.max()
    assert np.corrcoef(first.ravel(), clean.ravel())[0, 1] > 0.5
