"""pytorch-grad-cam as the judge: the same weights give the same maps, and where they do not, it is known why."""

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
scale_cam_image = pytest.importorskip("pytorch_grad_cam.utils.image").scale_cam_image

pytestmark = [pytest.mark.oracle, pytest.mark.filterwarnings("ignore")]
SIZE, CLASSES, WIDTH = 32, 10, 24
PAIRS = {
    "grad-cam": "GradCAM",
    "xgrad-cam": "XGradCAM",
    "hirescam": "HiResCAM",
    "layer-cam": "LayerCAM",
    "grad-cam-elementwise": "GradCAMElementWise",
    "shapley-cam": "ShapleyCAM",
    "finer-cam": "FinerCAM",
    "eigen-grad-cam": "EigenGradCAM",
}


class Tokens(nn.Module):
    """Patches, a class token and one block."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, WIDTH, 8, 8)
        self.token = nn.Parameter(torch.randn(1, 1, WIDTH))
        self.block = nn.TransformerEncoderLayer(WIDTH, 3, 48, 0.0, "gelu", batch_first=True, norm_first=True)

    def forward(self, x):  # type: ignore[no-untyped-def]
        patches = self.patches(x).flatten(2).transpose(1, 2)
        return self.block(torch.cat([self.token.expand(x.shape[0], -1, -1), patches], 1))


class ClassToken(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.block = nn.TransformerEncoderLayer(WIDTH, 3, 48, 0.0, "gelu", batch_first=True, norm_first=True)

    def forward(self, x):  # type: ignore[no-untyped-def]
        return self.block(x)[:, 0]


def network(kind: str, steep: float) -> nn.Module:
    """Make a random network as Sequential(features, head), whose gradients are `steep` times what is usual."""
    torch.manual_seed(3)
    maps = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, WIDTH, 3, 2, 1), nn.ReLU())
    heads = {
        "pooled": [nn.AdaptiveAvgPool2d(1), nn.Flatten()],
        "hidden": [nn.Flatten(), nn.Linear(WIDTH * 64, WIDTH), nn.Hardswish()],
        "tokens": [ClassToken()],
    }
    last = nn.Linear(WIDTH, CLASSES)
    last.weight.data *= steep
    return nn.Sequential(Tokens() if kind == "tokens" else maps, nn.Sequential(*heads[kind], last)).eval()


Posed = tuple[nn.Module, Problem]
KINDS = ("pooled", "hidden", "tokens")


@pytest.fixture(scope="module", params=KINDS)
def posed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Posed:
    return pose(network(request.param, 10), tmp_path_factory.mktemp("peers") / "model.onnx")


def pose(model: nn.Module, path: Path) -> Posed:
    names = {"input_names": ["input"], "output_names": ["logits"]}
    axes = {"input": {0: "n"}, "logits": {0: "n"}}
    example = torch.randn(1, 3, SIZE, SIZE)
    torch.onnx.export(model, (example,), path, dynamo=False, opset_version=17, dynamic_axes=axes, **names)
    photograph = np.load(Path(ddcam.__file__).parent / "engine" / "check_pictures.npy")[1]
    loaded = ddcam.load(path)
    inputs, _ = prepare(from_pixels(photograph[::3, ::3]), loaded.opened.preprocessing, loaded.opened.picture)
    return model, Problem(loaded, inputs)


def grid(tokens: Any) -> Any:
    return tokens[:, 1:].transpose(1, 2).unflatten(2, (SIZE // 8, SIZE // 8))


def of_peer(name: str, model: nn.Module, problem: Problem) -> np.ndarray:
    transform = grid if problem.split.units == "token" else None
    kind = targets.ClassifierOutputReST if name == "ShapleyCAM" else targets.ClassifierOutputTarget
    wanted = None if name == "FinerCAM" else [kind(problem.target)]
    plainly = torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH)  # others have no second derivative
    with plainly, getattr(peers, name)(model, [model[0]], reshape_transform=transform) as cam:
        found = cam(torch.from_numpy(problem.picture), wanted)[0]
        if name == "ShapleyCAM":  # its own release fails on gradients that are views
            cam.activations_and_grads.gradients.clear()
        return found


def as_peer(signed: np.ndarray) -> np.ndarray:
    """Scale and enlarge a map as the peer does."""
    return scale_cam_image(scale_cam_image(np.maximum(signed, 0)[None], (SIZE, SIZE)))[0]


@pytest.mark.parametrize("name", PAIRS)
def test_maps_are_those_of_pytorch_grad_cam(name: str, posed: Posed) -> None:
    model, problem = posed
    if problem.split.units == "token" and name in ("hirescam", "shapley-cam"):
        pytest.skip("HiResCAM is 0 but for rounding there, and the peer's ShapleyCAM fails on tokens")
    found, expected = method_named(name)(problem).scores, of_peer(PAIRS[name], model, problem)
    signs = (1, -1) if name == "eigen-grad-cam" else (1,)  # the peer's sign is that of the decomposition

    assert expected.max() > 0.99
    most = 1e-3 if name == "shapley-cam" else 1e-4  # differences of float32 gradients stand for second derivatives
    assert min(np.abs(as_peer(sign * found) - expected).max() for sign in signs) <= most


@pytest.mark.parametrize("kind", KINDS)
def test_grad_cam_plusplus_differs_from_the_peer_by_its_epsilon_only(kind: str, tmp_path: Path) -> None:
    """It adds 1e-6 to a denominator of 2 g^2 and more, which large gradients do not feel."""
    errors = []
    for steep in (1, 100):
        model, problem = pose(network(kind, steep), tmp_path / "model.onnx")
        found, expected = method_named("grad-cam++")(problem).scores, of_peer("GradCAMPlusPlus", model, problem)
        errors.append(np.abs(as_peer(found) - expected).max())

    assert errors[0] > 1e-3
    assert errors[1] <= 1e-4


@pytest.mark.parametrize("score", ["rest", "logit"])
def test_shapley_cam_is_that_of_second_derivatives(score: str, posed: Posed) -> None:
    model, problem = posed
    features = torch.from_numpy(problem.raw).double().requires_grad_()
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        logits = model[1].double()(features)[0]
        y = logits[problem.target] + (torch.log_softmax(logits, 0)[problem.target] if score == "rest" else 0)
        [g] = torch.autograd.grad(y, features, create_graph=True)
        [product] = torch.autograd.grad(
            (g * features.detach()).sum(), features, allow_unused=True, materialize_grads=True
        )
    model.float()
    f, w = (grid(x) if problem.split.units == "token" else x for x in (features.detach(), (g - product / 2).detach()))
    expected = (w.mean((2, 3), keepdim=True) * f).sum(1).clamp(min=0)[0].numpy()
    found = method_named(f"shapley-cam:score={score}")(problem).scores

    np.testing.assert_allclose(found, expected, atol=2e-3 * expected.max())
