"""A PyTorch module goes in, and the model that comes out predicts what the module predicts."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cuts import pictures

import ddcam
from ddcam.engine.errors import CheckError, ModelError, OptionError
from ddcam.engine.preprocess import prepare
from ddcam.engine.problem import Problem
from ddcam.engine.search.predicate import probabilities

torch = pytest.importorskip("torch")
nn = torch.nn
load = pytest.importorskip("ddcam.adapters.torch").load
pytestmark = pytest.mark.oracle

SIZE, MEAN, STD = 32, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)
ASKED = {"preprocessing": {"mean": MEAN, "std": STD}}


class Residual(nn.Module):
    """A small residual network, whose scores may come among other outputs or behind a branch."""

    def __init__(self, ending: str = "plain") -> None:
        super().__init__()
        torch.manual_seed(1)
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU(inplace=True))
        self.block = nn.Sequential(nn.Conv2d(16, 16, 3, 1, 1), nn.BatchNorm2d(16), nn.ReLU(inplace=True))
        self.last = nn.Sequential(nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU(inplace=True), nn.Dropout(0.5))
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10))
        self.ending = ending
        nn.init.normal_(self.head[2].weight)
        for part in self.modules():
            if isinstance(part, nn.BatchNorm2d):
                nn.init.uniform_(part.running_mean, -0.5, 0.5)
                nn.init.uniform_(part.running_var, 0.5, 2)

    def forward(self, x: Any) -> Any:
        stem = self.stem(x)
        features = self.last(stem + self.block(stem))
        scores = self.head(features)
        if self.ending == "harmless" and bool(x.sum() > 1e9):
            return -scores
        if self.ending == "branch" and bool(x.std() > 0):
            return -scores
        match self.ending:
            case "softmax":
                return scores.softmax(1)
            case "named":
                return {"features": features, "scores": scores}
            case "random":
                return scores + torch.rand_like(scores)
        return scores


def by_torch(module: Any, picture: ddcam.Picture) -> np.ndarray:
    pixels = torch.from_numpy(picture.pixels.astype(np.float32) / 255)
    inputs = ((pixels - torch.tensor(MEAN)) / torch.tensor(STD)).permute(2, 0, 1)[None]
    with torch.no_grad():
        scores = module.eval()(inputs)
    scores = scores["scores"] if isinstance(scores, dict) else scores
    return (scores if module.ending == "softmax" else scores.softmax(1))[0].numpy()


def by_ddcam(model: ddcam.Model, picture: ddcam.Picture) -> np.ndarray:
    inputs, _ = prepare(picture, model.opened.preprocessing, model.opened.picture)
    return probabilities(Problem(model, inputs).logits, model.opened.logits.activation)


@pytest.mark.parametrize(
    ("ending", "exporter"),
    [("plain", "auto"), ("plain", "torchscript"), ("softmax", "torchscript"), ("named", "torchscript")],
)
def test_predictions_are_those_of_torch(ending: str, exporter: str) -> None:
    module = Residual(ending)
    model = load(module, (3, SIZE, SIZE), exporter=exporter, **ASKED)
    pairs = [(by_ddcam(model, picture), by_torch(module, picture)) for picture in pictures(SIZE)]

    assert model.opened.picture.free_batch
    assert model.batch > 1
    assert [ours.argmax() for ours, _ in pairs] == [theirs.argmax() for _, theirs in pairs]
    assert len({int(ours.argmax()) for ours, _ in pairs}) > 1
    assert max(np.abs(ours - theirs).max() for ours, theirs in pairs) <= 1e-4


def test_the_exported_file_gives_the_same_explanation(tmp_path: Path) -> None:
    names = [f"thing {i}" for i in range(10)]
    model = load(
        Residual(), torch.zeros(1, 3, SIZE, SIZE), file=tmp_path / "net.onnx", labels=names,
        exporter="torchscript", **ASKED,
    )  # fmt: skip
    again = ddcam.load(tmp_path / "net.onnx")
    ours, theirs = (ddcam.explain(each, pictures(SIZE)[0], preserve="confidence:0.9") for each in (model, again))

    assert ours.model == theirs.model
    assert ours.target == theirs.target
    assert ours.attribution.subset == theirs.attribution.subset
    np.testing.assert_array_equal(ours.saliency, theirs.saliency)


def test_a_module_is_found_in_the_graph_by_its_output() -> None:
    module = Residual()
    model = load(module, (3, SIZE, SIZE), split="stem", exporter="torchscript", **ASKED)
    inputs, _ = prepare(pictures(SIZE)[0], model.opened.preprocessing, model.opened.picture)

    with torch.no_grad():
        expected = module.eval().stem(torch.from_numpy(inputs)).numpy()
    np.testing.assert_allclose(model.features(inputs), expected, atol=1e-5)


def test_a_module_beside_which_data_pass_is_refused_with_those_that_fit() -> None:
    with pytest.raises(OptionError, match=r"output of 'block' \[1, 16, 16, 16\].* are stem\.1, .*last\.2, last$"):
        load(Residual(), (3, SIZE, SIZE), split="block", exporter="torchscript")


def test_every_part_returns_to_its_mode() -> None:
    module = Residual().train()
    module.block.eval()  # as one freezes statistics
    before = [part.training for part in module.modules()]
    load(module, (3, SIZE, SIZE), exporter="torchscript")
    with pytest.raises(OptionError):
        load(module, (3, SIZE, SIZE), split="nothing", exporter="torchscript")

    assert [part.training for part in module.modules()] == before
    assert all(weight.requires_grad for weight in module.parameters())
    assert not any(part._forward_hooks for part in module.modules())


def test_where_one_exporter_fails_the_other_writes_the_file_and_says_why() -> None:
    how = load(Residual("harmless"), (3, SIZE, SIZE)).opened.graph.metadata["ddcam.exported"]

    assert how.startswith("torch.onnx (torchscript); dynamo: ")


@pytest.mark.parametrize(
    ("ending", "said"),
    [("branch", r"^expected what Residual predicts for three photographs within 0\.0001"), ("random", "^cut at ")],
)
def test_an_export_that_predicts_otherwise_is_refused(ending: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(CheckError, match=said):
        load(Residual(ending), (3, SIZE, SIZE), exporter="torchscript", file=tmp_path / "net.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("example", "exporter", "error", "said"),
    [
        ((SIZE, SIZE), "auto", OptionError, r"expected a tensor \[N, C, H, W\] or its sizes"),
        ((3, SIZE, SIZE), "jit", OptionError, "expected auto or dynamo or torchscript"),
        ((4, SIZE, SIZE), "torchscript", ModelError, "PyTorch cannot export Residual: torchscript: .*channels"),
    ],
)
def test_what_cannot_be_exported_is_refused_in_one_line(
    example: tuple[int, ...], exporter: str, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said) as found:
        load(Residual(), example, exporter=exporter)
    assert "\n" not in str(found.value)
