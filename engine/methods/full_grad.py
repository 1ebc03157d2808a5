"""FullGrad (Srinivas & Fleuret, 2019): what the picture and every bias add to the logit, brought together."""

from ..graph.build import Var, absolute, resized
from .registry import Facts, Layer, formula

TINY = 1e-6
"""The published code's own guard of a division, absolute: layers whose shares are far below it fade out."""


@formula(
    "fullgrad",
    Facts("gradient", "gradient of the input", "1 forward, 1 backward", "arXiv:1905.00780"),
    where="biases",
)
def full_grad(picture: Layer, *layers: Layer) -> Var:
    """Add up sum_k psi(x_k dY/dx_k) and, of each layer with a bias, sum_k psi(b_k dY/dF_k) at the input's size.

    psi takes absolute values and brings those of the whole layer to 0..1 by their least and largest; maps are enlarged
    bilinearly, corner on corner, and the least of the sum is taken off, as the published code does (pytorch-grad-cam
    scales each channel apart). Layers are convolutions and batch normalisations; linear layers have no map. In networks
    of ReLUs Y = x dY/dx + sum b dY/db over all biases; where ReLU6 cuts, or other activations bend, that is not so.

    Cost: one forward and one backward pass.
    Source: arXiv:1905.00780.
    """
    height, width = (size or 1 for size in picture.features.sizes[2:])
    total = between_0_and_1(picture.features * picture.gradient)
    for layer in layers:
        assert layer.bias is not None
        share = between_0_and_1(layer.bias * layer.gradient).shaped((None, 1, *layer.features.sizes[2:]))
        total = total + resized(share, height, width, "align_corners")  # the sum over channels commutes with it
    return (total - total.min((1, 2, 3))).sum(1, keep=False)


def between_0_and_1(shares: Var) -> Var:
    """Return sum_k psi(shares_k), `[N, 1, h, w]`."""
    size = absolute(shares)
    least = size.min((1, 2, 3))
    return ((size - least) / (size.max((1, 2, 3)) - least + TINY)).sum(1)
