"""LayerCAM (Jiang et al., 2021): every place of every channel weighted by its own positive gradient."""

from ..graph.build import Var, divisor, relu
from .registry import Facts, Layer, formula
from .stages import finest

PAPER = "doi:10.1109/TIP.2021.3089943"
GAMMA = 2.0
"""How strongly the fusion lifts weak values of a stage: the paper's 2."""


@formula("layer-cam", Facts("cam", "gradient of the head", "1 forward, 1 backward of the head", PAPER))
def layer_cam(layer: Layer) -> Var:
    """Weight each place of each channel by its positive gradient: ReLU(sum_k ReLU(g_k) F_k).

    Cost: one forward and one backward pass of the head.
    Source: Jiang et al., LayerCAM, IEEE Transactions on Image Processing 2021.
    """
    return weighted(layer).sum(1, keep=False)


@formula(
    "layer-cam-fused",
    Facts("cam", "the whole model", "1 forward, 1 backward to the first stage", PAPER),
    where="stages",
)
def layer_cam_fused(*layers: Layer) -> Var:
    """Fuse the LayerCAM maps M_l of the last layer of each size: max_l tanh(2 M_l / max M_l), as fine as the finest.

    The paper takes the tanh for the first three of VGG's five stages; here every stage has it, as in torch-cam. A
    transformer's tokens are one stage.
    Cost: one forward pass of the model and one backward pass to its first stage.
    Source: Jiang et al., LayerCAM, IEEE Transactions on Image Processing 2021.
    """
    maps = finest([weighted(layer) for layer in layers], layers)
    scaled = [m.op.Tanh(m * GAMMA / divisor(m.max((2, 3)))) for m in maps]
    fused = scaled[0] if len(scaled) == 1 else scaled[0].op.Max(*scaled)
    return fused.sum(1, keep=False)


def weighted(layer: Layer) -> Var:
    return relu((relu(layer.gradient) * layer.features).sum(1))
