"""zennit as the judge of relevance: the same maps, rule by rule."""

from pathlib import Path

import numpy as np
import pytest
from torchvision_operators import require_torchvision

import ddcam
from ddcam.engine.methods import method_named
from ddcam.engine.problem import Problem

torch = pytest.importorskip("torch")
nn = torch.nn

pytestmark = [pytest.mark.oracle, pytest.mark.filterwarnings("ignore")]
SIZE, CLASSES = 24, 6


@pytest.fixture(scope="module")
def zennit():
    """Import zennit, which imports torchvision."""
    require_torchvision()
    return pytest.importorskip("zennit.composites", exc_type=ImportError) and pytest.importorskip("zennit")


def composite(zennit, name: str):  # type: ignore[no-untyped-def]
    """Return zennit's rules of a name."""
    rules, types = zennit.rules, zennit.types
    filters, dense = {
        "epsilon": (rules.Epsilon, rules.Epsilon),
        "epsilon-plus": (rules.ZPlus, rules.Epsilon),
        "epsilon-plus-flat": (rules.ZPlus, rules.Epsilon),
        "z-plus": (rules.ZPlus, rules.ZPlus),
        "epsilon-gamma": (rules.Gamma, rules.Epsilon),
        "epsilon-alpha2-beta1": (lambda: rules.AlphaBeta(alpha=2, beta=1), rules.Epsilon),
    }[name]
    layers = [(types.Activation, rules.Pass()), (zennit.layer.Sum, rules.Norm()), (types.AvgPool, rules.Norm())]
    layers += [(types.Convolution, filters()), (types.Linear, dense())]
    if name.endswith("flat"):
        return zennit.composites.SpecialFirstLayerMapComposite(layers, [(types.Linear, rules.Flat())])
    return zennit.composites.LayerMapComposite(layers)


def network(zennit) -> nn.Module:  # type: ignore[no-untyped-def]
    """Make a residual network of ReLUs and pools."""

    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(12, 12, 3, padding=1), nn.Conv2d(12, 12, 3, padding=1)
            self.inside, self.behind, self.sum = nn.ReLU(), nn.ReLU(), zennit.layer.Sum()

        def forward(self, x):  # type: ignore[no-untyped-def]
            branch = self.second(self.inside(self.first(x)))
            return self.behind(self.sum(torch.stack([x, branch], dim=-1)))

    torch.manual_seed(4)
    body = [nn.Conv2d(3, 12, 3, 2, 1), nn.ReLU(), nn.MaxPool2d(3, 2, 1), Residual(), nn.Conv2d(12, 16, 1, bias=False)]
    end = [nn.LeakyReLU(0.2), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(144, 20), nn.ReLU(), nn.Linear(20, CLASSES)]
    return nn.Sequential(*body, *end).eval()


NAMES = ["epsilon", "epsilon-plus", "epsilon-plus-flat", "z-plus", "epsilon-gamma", "epsilon-alpha2-beta1"]


@pytest.mark.parametrize("name", NAMES)
def test_maps_are_zennits(zennit, name: str, tmp_path: Path) -> None:
    model, file = network(zennit), tmp_path / "model.onnx"
    x = np.random.default_rng(1).normal(size=(1, 3, SIZE, SIZE)).astype(np.float32)
    torch.onnx.export(
        model, (torch.from_numpy(x),), file, dynamo=False, opset_version=17, input_names=["picture"],
        output_names=["logits"], dynamic_axes={"picture": {0: "n"}, "logits": {0: "n"}},
    )  # fmt: skip
    problem = Problem(ddcam.load(file), x)

    found = method_named(f"lrp:rule={name}")(problem).scores
    model, picture = model.double(), torch.from_numpy(x).double().requires_grad_()
    with composite(zennit, name).context(model) as hooked:
        logits = hooked(picture)
        start = torch.zeros_like(logits)
        start[0, problem.target] = logits[0, problem.target].detach()
        [relevance] = torch.autograd.grad(logits, picture, start)
    wanted = relevance.sum(1)[0].numpy()

    assert np.abs(found - wanted).max() <= 1e-4 * np.abs(wanted).max()
