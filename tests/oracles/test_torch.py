"""PyTorch as the judge: exported networks predict the same, and its own masked forward confirms the subsets."""

import itertools
from pathlib import Path

import numpy as np
import pytest

import ddcam
from ddcam.engine.preprocess import from_pixels, prepare
from ddcam.engine.problem import Problem

torch = pytest.importorskip("torch")
nn = torch.nn

pytestmark = [pytest.mark.oracle, pytest.mark.filterwarnings("ignore")]
SIZE, CLASSES = 32, 10
KINDS = ("pooled", "flattened", "convolutional", "normed", "transformer")
EXPORTS = list(itertools.product(KINDS, ("script", "dynamo"), ("fixed", "free")))


class Tokens(nn.Module):
    """Patches, a class token and one block; the second block and the class layer are the head."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 24, 8, 8)
        self.token = nn.Parameter(torch.randn(1, 1, 24))
        self.block = nn.TransformerEncoderLayer(24, 3, 48, 0.0, batch_first=True, norm_first=True)

    def forward(self, x):  # type: ignore[no-untyped-def]
        patches = self.patches(x).flatten(2).transpose(1, 2)
        return self.block(torch.cat([self.token.expand(x.shape[0], -1, -1), patches], 1))


class ClassToken(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.block = nn.TransformerEncoderLayer(24, 3, 48, 0.0, batch_first=True, norm_first=True)
        self.last = nn.Linear(24, CLASSES)

    def forward(self, x):  # type: ignore[no-untyped-def]
        return self.last(self.block(x)[:, 0])


def network(kind: str) -> nn.Module:
    """Make a random network as Sequential(features, head); the features' axis 1 holds the units."""
    torch.manual_seed(KINDS.index(kind))
    maps = nn.Sequential(
        nn.Conv2d(3, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 40, 3, 2, 1), nn.ReLU()
    )
    pool = [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    heads = {
        "pooled": [*pool, nn.Linear(40, CLASSES)],
        "flattened": [nn.Flatten(), nn.Linear(40 * 64, 32), nn.ReLU(), nn.Linear(32, CLASSES)],
        "convolutional": [nn.Conv2d(40, CLASSES, 1), nn.ReLU(), *pool],
        "normed": [*pool, nn.LayerNorm(40), nn.Linear(40, CLASSES)],
        "transformer": [ClassToken()],
    }
    features = Tokens() if kind == "transformer" else maps
    return nn.Sequential(features, nn.Sequential(*heads[kind])).eval()


def export(model: nn.Module, path: Path, exporter: str, batch: str) -> None:
    example = torch.randn(2 if (batch, exporter) == ("free", "dynamo") else 1, 3, SIZE, SIZE)
    names = {"input_names": ["input"], "output_names": ["logits"]}
    if exporter == "script":
        axes = {"input": {0: "n"}, "logits": {0: "n"}} if batch == "free" else None
        torch.onnx.export(model, (example,), path, dynamo=False, opset_version=17, dynamic_axes=axes, **names)
        return
    shapes = ({0: torch.export.Dim("n")},) if batch == "free" else None
    torch.onnx.export(
        model, (example,), path, dynamo=True, opset_version=18, dynamic_shapes=shapes, external_data=False,
        verbose=False, **names,
    )  # fmt: skip


def picture() -> ddcam.Picture:
    photograph = np.load(Path(ddcam.__file__).parent / "engine" / "check_pictures.npy")[1]
    return from_pixels(photograph[::3, ::3])


@pytest.mark.parametrize(("kind", "exporter", "batch"), EXPORTS)
def test_predictions_and_subsets_are_those_of_torch(kind: str, exporter: str, batch: str, tmp_path: Path) -> None:
    model = network(kind)
    with torch.no_grad():
        export(model, tmp_path / "model.onnx", exporter, batch)
        loaded = ddcam.load(tmp_path / "model.onnx")
        inputs, _ = prepare(picture(), loaded.opened.preprocessing, loaded.opened.picture)
        problem = Problem(loaded, inputs)
        features = model[0](torch.from_numpy(inputs))
        expected = model[1](features)[0].numpy()
        found = ddcam.explain(loaded, picture(), preserve="confidence:0.9").attribution

        np.testing.assert_allclose(problem.logits, expected, rtol=1e-3, atol=1e-4)
        assert tuple(loaded.split.shape[1:]) == tuple(features.shape[1:])
        assert loaded.batch > 1
        assert_minimal(model[1], features, loaded.split.fixed, found.subset or (), expected)


def assert_minimal(head, features, fixed, subset, full) -> None:  # type: ignore[no-untyped-def]
    """Mask in torch: the subset keeps class and nine tenths of its probability, and none smaller by one does."""
    target, least = int(full.argmax()), 0.9 * torch.softmax(torch.from_numpy(full), 0).max()
    places = [i for i in range(features.shape[1]) if i not in fixed]

    def keeps(units: tuple[int, ...]) -> bool:
        mask = torch.zeros([1, features.shape[1]] + [1] * (features.dim() - 2))
        mask[:, [*fixed, *(places[u] for u in units)]] = 1
        logits = head(features * mask)[0]
        return int(logits.argmax()) == target and bool(torch.softmax(logits, 0)[target] >= least)

    assert keeps(subset)
    assert not any(keeps(tuple(u for u in subset if u != dropped)) for dropped in subset)
