"""EigenGrad-CAM (pytorch-grad-cam): the first principal component of gradient times feature."""

import numpy as np

from ..answer import Attribution
from ..autodiff.formula import Formula
from ..graph.build import Var
from ..problem import Problem
from ..runtime.blas import one_blas_thread
from .registry import Facts, Layer, from_map, method


def products(layer: Layer) -> Var:
    return layer.gradient * layer.features


@method(
    "eigen-grad-cam",
    Facts("cam", "gradient of the head", "1 forward, 1 backward of the head, 1 decomposition", "pytorch-grad-cam"),
)
def eigen_grad_cam(problem: Problem) -> Attribution:
    """Project the products g_k F_k `[places, channels]`, centred by channel, on their first right singular vector.

    A component has no sign of its own: it gets the one by which it goes along with sum_k g_k F_k, what the places add
    to the logit; pytorch-grad-cam leaves it to the decomposition.
    Cost: one forward and one backward pass of the head, and a singular value decomposition of places x channels.
    Source: pytorch-grad-cam, EigenGradCAM; EigenCAM is arXiv:2008.00299.
    """
    found = problem.run(Formula("eigen-grad-cam", products))[0].astype(np.float64)
    rows = found.reshape(len(found), -1).T
    centred = rows - rows.mean(0)
    with one_blas_thread():
        left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    component = left[:, 0] * sizes[0]
    along = component @ rows.sum(1)
    return from_map("eigen-grad-cam", (component if along >= 0 else -component).reshape(found.shape[1:]))
