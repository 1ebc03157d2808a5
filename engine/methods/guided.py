"""The gradient under other rules for ReLU: guided backpropagation, deconvolution, and guided Grad-CAM."""

from ..answer import Attribution
from ..autodiff.formula import Formula
from ..autodiff.rectified import DECONVOLVED, GUIDED, require_relu
from ..graph.build import Var, absolute
from ..problem import Problem
from ..saliency import saliency_map
from ..types import Placement
from .grad_cam import grad_cam
from .registry import Facts, Layer, Method, formula, from_map, method


@formula(
    "guided-backpropagation",
    Facts("propagation", "gradient of the input", "1 forward, 1 backward", "arXiv:1412.6806", "weakly"),
    where="input",
    rules=GUIDED,
    require=require_relu,
)
def guided_backpropagation(layer: Layer) -> Var:
    """Send back through each ReLU only what is positive where it is active: g [x > 0] [g > 0]; max_k |.| of channels.

    ReLU6 (a Clip from 0 on) counts as ReLU. Refused where there are other activations, which the rule says nothing of.
    Close to an edge detector, which hardly sees the class or late layers (arXiv:1810.03292): in a picture of a dog and
    a cat a MobileNetV2's maps of the two have a rank correlation of 0.96 (deconvolution: above 0.999).

    Cost: one forward and one backward pass.
    Source: arXiv:1412.6806.
    """
    return absolute(layer.gradient).max(1, keep=False)


@formula(
    "deconvolution",
    Facts("propagation", "gradient of the input", "1 forward, 1 backward", "arXiv:1311.2901", "no"),
    where="input",
    rules=DECONVOLVED,
    require=require_relu,
)
def deconvolution(layer: Layer) -> Var:
    """Send back through each ReLU what is positive, active or not: g [g > 0]; max_k |.| of channels.

    Otherwise as guided-backpropagation; a max pool sends back to where its maximum was (the paper's switches).

    Cost: one forward and one backward pass.
    Source: arXiv:1311.2901.
    """
    return absolute(layer.gradient).max(1, keep=False)


@method(
    "guided-grad-cam",
    Facts("propagation", "gradient of the input", "2 forwards, 2 backwards", "arXiv:1610.02391"),
)
def guided_grad_cam(problem: Problem) -> Attribution:
    """Weigh guided backpropagation by Grad-CAM, brought to the size of the input bilinearly and to 0..1.

    Needs a feature map and a network of ReLUs. Captum brings Grad-CAM to size by nearest neighbours.

    Cost: one forward and one backward pass of the model and of the head.
    Source: arXiv:1610.02391.
    """
    fine, coarse = (problem.run(formula_of(found))[0] for found in (guided_backpropagation, grad_cam))
    height, width = fine.shape
    return from_map("guided-grad-cam", fine * saliency_map(coarse, Placement(height, width, 0, 0, height, width)))


def formula_of(found: Method) -> Formula:
    assert found.formula is not None
    return found.formula
