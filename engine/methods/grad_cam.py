"""Grad-CAM (Selvaraju et al., 2017): channels weighted by their mean gradient."""

from ..graph.build import Var, relu
from .registry import Facts, Layer, formula


@formula("grad-cam", Facts("cam", "gradient of the head", "1 forward, 1 backward of the head", "arXiv:1610.02391"))
def grad_cam(layer: Layer) -> Var:
    """Weight each channel by its mean gradient: ReLU(sum_k w_k F_k), w_k = mean_ij dY/dF_k,ij.

    Cost: one forward and one backward pass of the head.
    Source: arXiv:1610.02391.
    """
    weights = layer.gradient.mean((2, 3))
    return relu((weights * layer.features).sum(1, keep=False))
