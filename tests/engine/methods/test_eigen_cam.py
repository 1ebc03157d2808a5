"""EigenCAM and KPCA-CAM against plain decompositions of the same features."""

import numpy as np
import pytest
from sklearn.decomposition import KernelPCA

from ddcam.engine.methods.eigen_cam import eigen_cam, kpca_cam
from ddcam.engine.problem import Problem


@pytest.fixture(params=["plain", "concatenated", "hidden", "vit"])
def problem(request, zoo, load_here) -> Problem:
    """Grids of 4 x 4 and of 2 x 2 cells, with fewer and with more channels than cells."""
    return Problem(load_here(zoo.build(request.param)[0]), zoo.pictures(1))


def rows_of(problem: Problem) -> np.ndarray:
    rows = problem.maps.reshape(len(problem.maps), -1).T.astype(float)
    return rows - rows.mean(axis=0)


def test_the_map_is_the_projection_on_the_first_right_singular_vector(problem):
    rows = rows_of(problem)
    expected = rows @ np.linalg.svd(rows)[2][0]
    found = eigen_cam(problem).scores

    assert found.shape == problem.split.grid
    assert found.ravel()[np.argmax(np.abs(found))] > 0
    np.testing.assert_allclose(np.abs(found.ravel()), np.abs(expected), rtol=1e-4, atol=1e-5)
    assert abs(found.ravel() @ expected) == pytest.approx(expected @ expected, rel=1e-5)


def test_the_kernel_map_is_that_of_scikit_learn(problem):
    expected = KernelPCA(1, kernel="sigmoid").fit_transform(rows_of(problem))[:, 0]
    found = kpca_cam(problem).scores.ravel()

    assert found[np.argmax(np.abs(found))] > 0
    np.testing.assert_allclose(found, expected * np.sign(expected[np.argmax(np.abs(expected))]), rtol=1e-4, atol=1e-5)


def test_constant_features_give_a_map_of_zeros(problem):
    problem.__dict__["maps"] = np.ones((5, 3, 3), np.float32)

    assert not eigen_cam(problem).scores.any()
    assert not kpca_cam(problem).scores.any()
