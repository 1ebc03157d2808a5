"""EigenCAM (Muhammad and Yeasin, 2020) and KPCA-CAM (Karmani et al., 2024): what the features vary most along."""

import numpy as np
from scipy.linalg import eigh

from ..answer import Attribution
from ..problem import Problem
from ..types import Floats
from .registry import Facts, from_map, method


@method("eigen-cam", Facts("cam", "features", "1 forward", "arXiv:2008.00299", sees_class="no"))
def eigen_cam(problem: Problem) -> Attribution:
    """Project the features on their first principal component: M = R v_1, R `[hw, K]` less its mean over positions.

    The sign of v_1 is arbitrary: here the entry of M that is largest in absolute value is positive
    (pytorch-grad-cam leaves it to the SVD). Does not depend on the class.

    Cost: one forward, and the first eigenvector of a Gram matrix of min(hw, K) rows.
    Source: arXiv:2008.00299.
    """
    rows = positions(problem)
    centred = rows - rows.mean(axis=0)
    if len(centred) <= centred.shape[1]:
        return from_map("eigen-cam", on_grid(problem, leading(centred @ centred.T)))
    value = eigh(centred.T @ centred, subset_by_index=[centred.shape[1] - 1] * 2)[1][:, 0]
    return from_map("eigen-cam", on_grid(problem, centred @ value))


@method("kpca-cam", Facts("cam", "features", "1 forward", "arXiv:2410.00267", sees_class="no"))
def kpca_cam(problem: Problem) -> Attribution:
    """Do as eigen-cam in a kernel's space: M = sqrt(l_1) u_1 of tanh(R R^T / K + 1), centred in rows and columns.

    R as in eigen-cam; the kernel is scikit-learn's "sigmoid" with its defaults, as in the paper's code. It is not
    positive, so a first eigenvalue below 0 counts as 0. Sign as in eigen-cam. Does not depend on the class.

    Cost: one forward, and the first eigenvector of an hw x hw matrix.
    Source: arXiv:2410.00267.
    """
    rows = positions(problem)
    centred = rows - rows.mean(axis=0)
    kernel = np.tanh(centred @ centred.T / centred.shape[1] + 1)
    means = kernel.mean(axis=0)
    return from_map("kpca-cam", on_grid(problem, leading(kernel - means - means[:, None] + means.mean())))


def positions(problem: Problem) -> Floats:
    """Return the features of each position, `[hw, K]` in float64; what is not finite counts as 0."""
    maps = problem.maps
    return np.nan_to_num(maps.reshape(len(maps), -1).T.astype(np.float64), posinf=0, neginf=0)


def leading(gram: Floats) -> Floats:
    """Return sqrt(l) u of the largest eigenvalue of a symmetric matrix and its unit eigenvector."""
    values, vectors = eigh(gram, subset_by_index=[len(gram) - 1] * 2)
    return np.asarray(np.sqrt(max(values[0], 0)) * vectors[:, 0])


def on_grid(problem: Problem, values: Floats) -> Floats:
    """Lay values of the positions on their grid, in the sign in which the largest absolute value is positive."""
    signed = values if values[np.argmax(np.abs(values))] >= 0 else -values
    return signed.reshape(problem.maps.shape[1:])
