"""pytorch-grad-cam and Captum as judges of the methods that need no gradients: same weights, same maps."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torchvision_operators import require_torchvision

import ddcam
from ddcam.engine.methods import method_named
from ddcam.engine.preprocess import from_pixels, prepare
from ddcam.engine.problem import Problem

torch = pytest.importorskip("torch")
nn = torch.nn
require_torchvision()
peers = pytest.importorskip("pytorch_grad_cam")
targets = pytest.importorskip("pytorch_grad_cam.utils.model_targets")
attr = pytest.importorskip("captum.attr")

# Score-CAM is not among the pairs: the peer enlarges channels with aligned corners.
pytestmark = [pytest.mark.oracle, pytest.mark.filterwarnings("ignore")]
SIZE, CLASSES, WIDTH = 32, 10, 24
PAIRS = {
    "eigen-cam": "EigenCAM",
    "kpca-cam": "KPCA_CAM",
    "fem:form=features": "FEM",
    "ablation-cam": "AblationCAM",
}


def network(head: str) -> nn.Module:
    """Make a random network as Sequential(features, head)."""
    torch.manual_seed(3)
    maps = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, WIDTH, 3, 2, 1), nn.ReLU())
    heads = {
        "pooled": [nn.AdaptiveAvgPool2d(1), nn.Flatten()],
        "hidden": [nn.Flatten(), nn.Linear(WIDTH * 64, WIDTH), nn.ReLU()],
    }
    last = nn.Linear(WIDTH, CLASSES)
    with torch.no_grad():
        last.weight *= 8  # else ten classes are equally likely whatever the picture
    return nn.Sequential(maps, nn.Sequential(*heads[head], last)).eval()


@pytest.fixture(params=["pooled", "hidden"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[nn.Module, Problem, Any]:
    """Return a torch model, the problem that its export poses on a picture, and that picture as torch sees it."""
    net = network(request.param)
    example = torch.zeros(1, 3, SIZE, SIZE)
    file = tmp_path / "net.onnx"
    torch.onnx.export(net, (example,), file, input_names=["picture"], dynamo=False, opset_version=17)
    model = ddcam.load(file, preprocessing="imagenet", units="channel")
    pixels = np.random.default_rng(1).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
    inputs, _ = prepare(from_pixels(pixels), model.opened.preprocessing, model.opened.picture)
    return net, Problem(model, inputs), torch.from_numpy(inputs)


def as_peer_draws(signed: np.ndarray) -> np.ndarray:
    """Cut a map at 0, bring it to 0..1, enlarge it, and bring it to 0..1 again."""
    scale = peers.utils.image.scale_cam_image
    drawn: np.ndarray = scale(scale(np.maximum(signed, 0)[None], (SIZE, SIZE)))[0]
    return drawn


@pytest.mark.parametrize("name", PAIRS)
def test_the_map_is_pytorch_grad_cams(pair: tuple[nn.Module, Problem, Any], name: str) -> None:
    net, problem, inputs = pair
    method = getattr(peers, PAIRS[name])(net, [net[0]])
    method.batch_size = 8
    expected = method(inputs, [targets.ClassifierOutputTarget(problem.target)])[0]
    found = method_named(name)(problem).scores
    signs = (1, -1) if name == "eigen-cam" else (1,)  # the peer leaves the sign to the SVD

    assert min(np.abs(as_peer_draws(sign * found) - expected).max() for sign in signs) <= 1e-4


@pytest.mark.parametrize(("window", "stride"), [(8, 4), (7, 5), (5, 5)])
@pytest.mark.parametrize("score", ["prob", "logit"])
def test_occlusion_is_captums(pair: tuple[nn.Module, Problem, Any], window: int, stride: int, score: str) -> None:
    net, problem, inputs = pair
    asked = nn.Sequential(net, nn.Softmax(1)) if score == "prob" else net
    with torch.no_grad():
        expected = attr.Occlusion(asked).attribute(
            inputs, (3, window, window), (3, stride, stride), 0, target=problem.target
        )
    found = method_named(f"occlusion:window={window}:stride={stride}:score={score}")(problem).scores

    assert np.abs(found - expected[0, 0].numpy()).max() <= 1e-4 * np.abs(found).max()


def test_kernel_shap_with_all_coalitions_is_captums_shapley_value(pair: tuple[nn.Module, Problem, Any]) -> None:
    net, problem, inputs = pair
    cells = torch.arange(2).repeat_interleave(SIZE // 2)
    mask = (2 * cells[:, None] + cells)[None, None]
    with torch.no_grad():  # all 24 orders
        expected = attr.ShapleyValues(net).attribute(inputs, 0, problem.target, feature_mask=mask)[0, 0].numpy()
    found = method_named("kernel-shap:cells=2:score=logit")(problem).scores

    assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()
