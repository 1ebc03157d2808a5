"""Grad-CAM++ (Chattopadhay et al., 2018): positive gradients weigh a channel, each by how it saturates."""

from ..graph.build import Var, divisor, relu
from .registry import Facts, Layer, formula


@formula(
    "grad-cam++",
    Facts("cam", "gradient of the head", "1 forward, 1 backward of the head", "arXiv:1710.11063"),
)
def grad_cam_plusplus(layer: Layer) -> Var:
    """Weight each channel by its positive gradients: ReLU(sum_k w_k F_k), w_k = sum_ij a_k,ij ReLU(g_k,ij).

    g = dY/dF and a = g^2 / (2 g^2 + S_k g^3) = 1 / (2 + S_k g), S_k = sum_ij F_k,ij: the factor of Y = exp(logit)
    cancels. Written so, nothing is added to the denominator, which is 2 or more for features that are not negative
    (where it is about 0 it counts as 1); pytorch-grad-cam adds 1e-6 to 2 g^2 + S_k g^3, which shrinks the weights of
    gradients of 1e-3 and less. torch-cam's a is g^2 by a slip, and xplique's S_k a mean.
    Cost: one forward and one backward pass of the head.
    Source: arXiv:1710.11063, equations 7 and 19.
    """
    g, total = layer.gradient, layer.features.sum((2, 3))
    weights = (relu(g) / divisor(total * g + 2.0)).sum((2, 3))
    return relu((weights * layer.features).sum(1, keep=False))
