"""Captum's DeepLift as the judge: the same multipliers in networks of convolutions and non-linearities.

Where a pool touches a non-linearity, Captum 0.9.0 hands the one the gradient that the other has not yet replaced (its
map of convolution, pool, ReLU, layer summed to 0.751 for a difference of 0.689), so that a pool is judged by hand.
"""

from pathlib import Path

import numpy as np
import pytest

import ddcam
from ddcam.engine.methods.deeplift import deeplift
from ddcam.engine.problem import Problem

torch = pytest.importorskip("torch")
nn = torch.nn

pytestmark = [pytest.mark.oracle, pytest.mark.filterwarnings("ignore")]
SIZE, CLASSES = 24, 6


class Residual(nn.Module):
    """A block with a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv2d(width, width, 3, padding=1) for _ in range(2))
        self.inside, self.behind = nn.ReLU(), nn.ReLU()

    def forward(self, x):  # type: ignore[no-untyped-def]
        return self.behind(x + self.second(self.inside(self.first(x))))


def network(kind: str) -> nn.Module:
    torch.manual_seed(5)
    bodies = {
        "relu": [nn.Conv2d(12, 12, 3, padding=1), nn.MaxPool2d(2), nn.Conv2d(12, 16, 3, padding=1), nn.ReLU()],
        "smooth": [nn.Conv2d(12, 12, 3, padding=1), nn.Tanh(), nn.Conv2d(12, 16, 1), nn.AvgPool2d(2)],
        "residual": [Residual(12), nn.Conv2d(12, 16, 3, 2, 1), nn.LeakyReLU(0.1)],
    }
    end = [nn.Flatten(), nn.Linear(16 * 36, 20), nn.ELU(), nn.Linear(20, CLASSES)]
    model = nn.Sequential(nn.Conv2d(3, 12, 3, 2, 1), nn.BatchNorm2d(12), nn.ReLU(), *bodies[kind], *end).eval()
    model[1].running_mean.normal_(0, 0.3)
    model[1].running_var.uniform_(0.5, 2)
    return model


def pose(model: nn.Module, folder: Path) -> Problem:
    x = np.random.default_rng(1).normal(size=(1, 3, SIZE, SIZE)).astype(np.float32)
    torch.onnx.export(
        model, (torch.from_numpy(x),), folder / "model.onnx", dynamo=False, opset_version=17,
        input_names=["picture"], output_names=["logits"], dynamic_axes={"picture": {0: "n"}, "logits": {0: "n"}},
    )  # fmt: skip
    return Problem(ddcam.load(folder / "model.onnx"), x)


@pytest.mark.parametrize("kind", ["relu", "smooth", "residual"])
def test_maps_are_captums(kind: str, tmp_path: Path) -> None:
    attr, model = pytest.importorskip("captum.attr"), network(kind)
    problem = pose(model, tmp_path)

    found = deeplift(problem).scores
    picture = torch.from_numpy(problem.picture).double()  # differences of float32 have few digits in smooth networks
    wanted = attr.DeepLift(model.double()).attribute(picture, target=problem.target)
    wanted = wanted.sum(1)[0].detach().numpy()

    assert np.abs(found - wanted).max() <= 1e-4 * np.abs(wanted).max()


@pytest.mark.parametrize("curve", ["ReLU", "Sigmoid"])
def test_a_pool_behind_a_curve_follows_the_cross_maximum_by_hand(curve: str, tmp_path: Path) -> None:
    torch.manual_seed(2)
    first, bend = nn.Conv2d(3, 4, 3, 2, 1), getattr(nn, curve)()
    model = nn.Sequential(first, bend, nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4 * 36, CLASSES)).eval()
    problem = pose(model, tmp_path)

    x = torch.from_numpy(problem.picture).requires_grad_()
    before, before_ref = first(x), first(0 * x).detach()
    after, after_ref = bend(before).detach(), bend(before_ref)
    weights = model[4].weight[problem.target].detach().reshape(1, 4, 6, 6)
    slope = (after - after_ref) / (before - before_ref).detach()
    (before * crossed(after, after_ref, weights) * slope).sum().backward()
    wanted = (x.grad * x).sum(1)[0].detach().numpy()

    assert np.abs(deeplift(problem).scores - wanted).max() <= 1e-4 * np.abs(wanted).max()


def crossed(y, ref, weights):  # type: ignore[no-untyped-def]
    """Return the multipliers of a 2 x 2 pool, window by window."""
    found = torch.zeros_like(y)
    for _, k, i, j in np.ndindex(*weights.shape):
        window = (0, k, slice(2 * i, 2 * i + 2), slice(2 * j, 2 * j + 2))
        a, b = y[window].ravel(), ref[window].ravel()
        at = int(a.argmax()) if a.max() > b.max() else int(b.argmax())
        if abs(a[at] - b[at]) > 1e-6:
            share = weights[0, k, i, j] * (a.max() - b.max()) / (a[at] - b[at])
            found[0, k, 2 * i + at // 2, 2 * j + at % 2] += share
    return found
