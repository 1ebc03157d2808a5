"""XGrad-CAM (Fu et al., 2020): gradients averaged where the channel is active."""

from ..graph.build import Var, divisor, relu
from .registry import Facts, Layer, formula


@formula("xgrad-cam", Facts("cam", "gradient of the head", "1 forward, 1 backward of the head", "arXiv:2008.02312"))
def xgrad_cam(layer: Layer) -> Var:
    """Weight each channel by its gradient where it is active: ReLU(sum_k w_k F_k), w_k = sum_ij g_k F_k / sum_ij F_k.

    Where the sum of a channel is about 0 its divisor is 1; channels of both signs (GELU, SiLU, tokens) can have a
    small sum and then a large weight, as the formula says.
    Cost: one forward and one backward pass of the head.
    Source: arXiv:2008.02312.
    """
    weights = (layer.gradient * layer.features).sum((2, 3)) / divisor(layer.features.sum((2, 3)))
    return relu((weights * layer.features).sum(1, keep=False))
