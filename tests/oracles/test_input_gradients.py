"""Captum and small torch programs as the judges of the methods on the picture's gradient: same weights, same maps."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ddcam
from ddcam.engine import METHODS
from ddcam.engine.problem import Problem

torch = pytest.importorskip("torch")
captum = pytest.importorskip("captum.attr")
nn, F = torch.nn, torch.nn.functional

pytestmark = [pytest.mark.oracle, pytest.mark.filterwarnings("ignore")]
SIDE = 32


class Residual(nn.Module):
    """A small ResNet with batch norms, a max pool and no module used twice."""

    def __init__(self, rectifier: Callable[[], Any] = nn.ReLU) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 12, 3, 1, 1, bias=False), nn.BatchNorm2d(12), rectifier())
        self.pool = nn.MaxPool2d(2)
        self.branch = nn.Sequential(
            nn.Conv2d(12, 12, 3, 1, 1, bias=False), nn.BatchNorm2d(12), rectifier(), nn.Conv2d(12, 12, 3, 1, 1)
        )
        self.last = rectifier()
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 10))

    def features(self, x: Any) -> Any:
        x = self.pool(self.stem(x))
        return self.last(x + self.branch(x))

    def forward(self, x: Any) -> Any:
        return self.head(self.features(x))


class Case:
    """The same network in torch and, as a problem on one picture, in ddcam."""

    def __init__(self, folder: Path, rectifier: Callable[[], Any] = nn.ReLU) -> None:
        torch.manual_seed(3)
        self.net = Residual(rectifier).eval()
        for module in self.net.modules():
            if isinstance(module, nn.BatchNorm2d):
                for values, low, high in zip(
                    (module.weight.data, module.bias.data, module.running_mean, module.running_var),
                    (0.5, -0.5, -0.3, 0.5), (1.5, 0.5, 0.3, 1.5), strict=True,
                ):  # fmt: skip
                    values.uniform_(low, high)
        self.x = torch.randn(1, 3, SIDE, SIDE)
        torch.onnx.export(
            self.net, (self.x,), folder / "net.onnx", dynamo=False, opset_version=17, do_constant_folding=False,
            training=torch.onnx.TrainingMode.PRESERVE, input_names=["input"], output_names=["logits"],
            dynamic_axes={"input": {0: "n"}, "logits": {0: "n"}},
        )  # fmt: skip
        self.problem = Problem(ddcam.load(folder / "net.onnx"), self.x.numpy())
        self.target = self.problem.target

    def scores(self, name: str, **options: Any) -> np.ndarray:
        return METHODS[name](self.problem, **options).scores

    def gradient(self, x: Any) -> Any:
        x = x.clone().requires_grad_()
        return torch.autograd.grad(self.net(x)[:, self.target].sum(), x)[0]


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


def close(found: np.ndarray, expected: Any, tolerance: float = 1e-4) -> None:
    expected = expected.detach().numpy() if isinstance(expected, torch.Tensor) else expected
    assert expected.max() > 0
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance * np.abs(expected).max())


def test_saliency_and_input_x_gradient(case: Case) -> None:
    slopes = captum.Saliency(case.net).attribute(case.x, target=case.target)
    products = captum.InputXGradient(case.net).attribute(case.x, target=case.target)

    close(case.scores("saliency"), slopes[0].amax(0))
    close(case.scores("input-x-gradient"), products[0].sum(0))


@pytest.mark.parametrize("steps", [7, 50])
def test_integrated_gradients(case: Case, steps: int) -> None:
    expected = captum.IntegratedGradients(case.net).attribute(case.x, 0, target=case.target, n_steps=steps)

    close(case.scores("integrated-gradients", steps=steps), expected[0].sum(0))


def test_smoothgrad_and_its_kin_on_the_same_noise(case: Case) -> None:
    noise = np.random.default_rng(0).standard_normal((20, 3, SIDE, SIDE), np.float32)
    deviation = 0.15 * float(case.x.max() - case.x.min())
    slopes = captum.Saliency(case.net)
    noisy = case.x + deviation * torch.from_numpy(noise)
    gradients = torch.cat([slopes.attribute(x[None], target=case.target, abs=False) for x in noisy])

    close(case.scores("smoothgrad", samples=20), gradients.mean(0).abs().amax(0))
    close(case.scores("smoothgrad-squared", samples=20), (gradients**2).mean(0).amax(0))
    close(case.scores("vargrad", samples=20), gradients.var(0, unbiased=False).amax(0))


def test_guided_backpropagation_and_deconvolution(case: Case) -> None:
    guided = captum.GuidedBackprop(case.net).attribute(case.x, target=case.target)
    deconvolved = captum.Deconvolution(case.net).attribute(case.x, target=case.target)

    close(case.scores("guided-backpropagation"), guided[0].abs().amax(0))
    close(case.scores("deconvolution"), deconvolved[0].abs().amax(0))


def test_guided_grad_cam(case: Case) -> None:
    guided = captum.GuidedBackprop(case.net).attribute(case.x, target=case.target)[0].abs().amax(0)
    cam = captum.LayerGradCam(case.net, case.net.last).attribute(case.x, target=case.target, relu_attributions=True)
    enlarged = F.interpolate(cam, size=(SIDE, SIDE), mode="bilinear", align_corners=False)[0, 0]

    close(case.scores("guided-grad-cam"), guided * enlarged / cam.max())


class Rectify6(torch.autograd.Function):
    """ReLU6 with another backward pass, which Captum has not."""

    rule = "guided"

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x.clamp(0, 6)

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        [x] = ctx.saved_tensors
        return g.clamp(min=0) * ((x > 0) & (x < 6) if Rectify6.rule == "guided" else 1)


@pytest.mark.parametrize(("rule", "name"), [("guided", "guided-backpropagation"), ("deconvolved", "deconvolution")])
def test_the_same_rules_for_relu6(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rule: str, name: str) -> None:
    case = Case(tmp_path, nn.ReLU6)
    monkeypatch.setattr(nn.ReLU6, "forward", lambda _, x: Rectify6.apply(x))
    monkeypatch.setattr(Rectify6, "rule", rule)

    close(case.scores(name), case.gradient(case.x)[0].abs().amax(0))


def fullgrad_of(case: Case) -> tuple[Any, Any]:
    """Do as the published code: biases, and effective ones of batch norms; return the map and the shares' sum."""
    made, biases = [], []

    def keep(module: Any, _: Any, output: Any) -> None:
        if isinstance(module, nn.BatchNorm2d):
            factor = module.weight / torch.sqrt(module.running_var + module.eps)
            bias = module.bias - module.running_mean * factor
        else:
            bias = module.bias
        if bias is not None:
            made.append(output)
            biases.append(bias)

    kinds = (nn.Conv2d, nn.BatchNorm2d)
    hooks = [m.register_forward_hook(keep) for m in case.net.modules() if isinstance(m, kinds)]
    x = case.x.clone().requires_grad_()
    slope, *slopes = torch.autograd.grad(case.net(x)[0, case.target], [x, *made])
    [hook.remove() for hook in hooks]
    shares = [x * slope, *(g * b.view(1, -1, 1, 1) for g, b in zip(slopes, biases, strict=True))]
    total = sum(
        F.interpolate(scaled(share), size=(SIDE, SIDE), mode="bilinear", align_corners=True).sum(1) for share in shares
    )
    return total[0], sum(share.sum() for share in shares)


def scaled(share: Any) -> Any:
    size = share.abs() - share.abs().amin()
    return size / (size.amax() + 1e-6)


@pytest.mark.parametrize("rectifier", [nn.ReLU, nn.ReLU6])
def test_fullgrad(tmp_path: Path, rectifier: Any) -> None:
    case = Case(tmp_path, rectifier)
    expected, made = fullgrad_of(case)

    close(case.scores("fullgrad"), expected - expected.min())
    if rectifier is nn.ReLU:
        logit = case.problem.logits[case.target] - float(case.net.head[2].bias[case.target])
        assert made.item() == pytest.approx(logit, rel=1e-4)
