"""The gradient by the picture as it is: its size (Simonyan et al., 2013), and times the picture."""

from ..autodiff.formula import Formula
from ..graph.build import Var, absolute
from .registry import Facts, Layer, formula

GRADIENT = Formula("gradient", lambda layer: layer.gradient, "input")
"""The gradient by the picture, `[N, K, h, w]`, for methods that average it over many inputs."""


@formula(
    "saliency", Facts("gradient", "gradient of the input", "1 forward, 1 backward", "arXiv:1312.6034"), where="input"
)
def saliency(layer: Layer) -> Var:
    """Take the largest slope of the channels at each pixel: max_k |dY/dx_k,ij|.

    By the model's input, after preprocessing. Captum leaves the channels apart.

    Cost: one forward and one backward pass.
    Source: arXiv:1312.6034.
    """
    return absolute(layer.gradient).max(1, keep=False)


@formula(
    "input-x-gradient",
    Facts("gradient", "gradient of the input", "1 forward, 1 backward", "arXiv:1605.01713"),
    where="input",
)
def input_x_gradient(layer: Layer) -> Var:
    """Sum the picture times its gradient over the channels: sum_k x_k dY/dx_k,ij.

    Depends on what 0 is in the model's input: the mean colour where the preprocessing takes it off, else black. In a
    ReLU network without biases the map sums to the logit.

    Cost: one forward and one backward pass.
    Source: arXiv:1605.01713.
    """
    return (layer.features * layer.gradient).sum(1, keep=False)
