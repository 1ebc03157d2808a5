"""NormGrad (Rebuffi et al., 2020): how much a layer that changes nothing would learn from each place."""

from collections.abc import Callable

from ..errors import OptionError
from ..graph.build import Var, divisor, relu, sqrt
from .registry import Facts, Layer, formula
from .stages import finest

PAPER = "arXiv:2004.02866"


@formula("norm-grad", Facts("cam", "gradient of the head", "1 forward, 1 backward of the head", PAPER, "weakly"))
def norm_grad(layer: Layer, *, virtual: str = "scaling", aggregate: str = "norm") -> Var:
    """Take the norm of each place's share u in the gradient of an identity layer's weights, if one stood at F.

    `virtual` is that layer: bias ||g_u||, scaling ||F_u g_u||, conv1x1 ||g_u F_u^T|| = ||F_u|| ||g_u||, conv3x3
    ||g_u|| sqrt(sum of ||F_v||^2 over the 3 x 3 neighbours v, none outside). `aggregate=selective` takes only entries
    by which the logit rises. At a pooled linear head bias is constant, and conv1x1 and conv3x3 are the same for every
    class up to a factor. The paper's meta-saliency (a training step before it) is not here: it wants the gradients of
    weights.
    Cost: one forward and one backward pass of the head.
    Source: arXiv:2004.02866.
    """
    return norms(layer, virtual, aggregate).sum(1, keep=False)


@formula(
    "norm-grad-product",
    Facts("cam", "the whole model", "1 forward, 1 backward to the first stage", PAPER),
    where="stages",
)
def norm_grad_product(*layers: Layer, virtual: str = "scaling", aggregate: str = "norm", stages: int = 3) -> Var:
    """Multiply the NormGrad maps of the last layers of the `stages` coarsest sizes, each brought to 0..1.

    Other options as in `norm-grad`. A constant map (bias at a pooled linear head) is left out, as in the authors' code,
    which multiplies the first layers of the three coarsest sizes of a ResNet and its last (of a VGG, the last layers of
    the four coarsest). With all stages of a MobileNetV2 the product of five maps is a few dots.
    Cost: one forward pass of the model and one backward pass to its first stage.
    Source: arXiv:2004.02866.
    """
    if stages < 1:
        raise OptionError(f"expected 1 or more stages to multiply, got {stages}")
    chosen = layers[-stages:]
    first, *others = [relative(m) for m in finest([norms(layer, virtual, aggregate) for layer in chosen], chosen)]
    for other in others:
        first = first * other
    return first.sum(1, keep=False)


def norms(layer: Layer, virtual: str, aggregate: str) -> Var:
    """Return the norms `[N, 1, h, w]` of the shares in the gradient of a virtual layer."""
    if virtual not in SQUARES:
        raise OptionError(f"expected a virtual layer out of {', '.join(SQUARES)}, got {virtual!r}")
    if aggregate not in ("norm", "selective"):
        raise OptionError(f"expected norm or selective to aggregate, got {aggregate!r}")
    square, (f, g) = SQUARES[virtual], (layer.features, layer.gradient)
    if aggregate == "norm":
        return sqrt(square(f, g))
    if virtual == "bias":
        return sqrt(square(f, relu(g)))
    # An entry F g is positive where the signs agree.
    return sqrt(square(relu(f), relu(g)) + square(relu(-f), relu(-g)))


def length(x: Var) -> Var:
    return (x * x).sum(1)


def around(x: Var) -> Var:
    """Sum over the 3 x 3 neighbours of each place."""
    return x.op.AveragePool(x, kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1) * 9.0


SQUARES: dict[str, Callable[[Var, Var], Var]] = {
    "bias": lambda _, g: length(g),
    "scaling": lambda f, g: length(f * g),
    "conv1x1": lambda f, g: length(f) * length(g),
    "conv3x3": lambda f, g: around(length(f)) * length(g),
}
"""Squared norms of the share of each place."""


def relative(x: Var) -> Var:
    """Bring a map to 0..1; a constant one becomes 1."""
    least, most = x.min((2, 3)), x.max((2, 3))
    flat = most - least <= most * 1e-6
    return flat.where(1.0, (x - least) / divisor(most - least))
