"""FinerCAM (Zhang et al., 2025): what sets a class apart from those that it is most like."""

from ..graph.build import Var
from .grad_cam import grad_cam
from .registry import Facts, Layer, formula

REFERENCES = 3
"""Classes to tell apart from: the authors' three."""
LEAST = -1e30
"""The logit of a class that is not compared with."""


def difference(scores: Var, target: Var) -> Var:
    """Differentiate y = sum_i q_i (z_t - z_i), q = softmax of z among the references: dy/dz_j.

    The references i have the logits nearest to that of the target. With d_i = z_t - z_i this is
    [j = t] - q_j + q_j (d_j - y).
    """
    classes = scores.sizes[1] or 0
    if classes == 1:
        return target
    d = (scores * target).sum(1) - scores
    nearest, _ = scores.op.several(
        "TopK", [scores.op.Abs(d), scores.op.ints([min(classes, REFERENCES + 1)])], 2, largest=0
    )
    compared = (scores.op.Abs(d) <= nearest.max(1)) & (target < 0.5)
    q = scores.op.Softmax(compared.where(scores, LEAST), axis=1)
    return target - q + q * (d - (q * d).sum(1))


@formula(
    "finer-cam",
    Facts("cam", "gradient of the head", "1 forward, 1 backward of the head", "arXiv:2501.11309"),
    seed=difference,
)
def finer_cam(layer: Layer) -> Var:
    """Take Grad-CAM of sum_i p_i (z_t - z_i) / sum_i p_i instead of the logit z_t of the target t.

    i are the three classes whose logits are nearest to the target's, p their probabilities, which are differentiated
    too. The strength of the comparison, alpha, is the authors' 1 (0.6 and equal shares in torch-cam); pytorch-grad-cam
    adds 1e-9 to the denominator, which matters where all three are less probable than that.
    Cost: one forward and one backward pass of the head.
    Source: arXiv:2501.11309.
    """
    assert grad_cam.formula is not None
    found: Var = grad_cam.formula.build(layer)
    return found
