"""HiResCAM (Draelos and Carin, 2020): gradient times feature, place by place; and its sum of positive products."""

from ..graph.build import Var, relu
from .registry import Facts, Layer, formula


@formula("hirescam", Facts("cam", "gradient of the head", "1 forward, 1 backward of the head", "arXiv:2011.08891"))
def hirescam(layer: Layer) -> Var:
    """Sum the products of gradient and feature: sum_k g_k F_k, signed; what is drawn is its positive part.

    For a head that is linear in F the map sums to the logit less its bias. Where F reaches the scores through a layer
    norm alone (patch tokens before the last attention of a ViT with a class token), multiples of a token are the same
    to the head, so its gradient is at right angles to it: the map is 0 but for rounding and the norm's epsilon.
    Cost: one forward and one backward pass of the head.
    Source: arXiv:2011.08891.
    """
    return (layer.gradient * layer.features).sum(1, keep=False)


@formula(
    "grad-cam-elementwise",
    Facts("cam", "gradient of the head", "1 forward, 1 backward of the head", "pytorch-grad-cam"),
)
def grad_cam_elementwise(layer: Layer) -> Var:
    """Sum the positive products of gradient and feature: sum_k ReLU(g_k F_k).

    Cost: one forward and one backward pass of the head.
    Source: pytorch-grad-cam, GradCAMElementWise; no paper.
    """
    return relu(layer.gradient * layer.features).sum(1, keep=False)
