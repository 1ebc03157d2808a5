"""A few lines of torch as the judge of attention relevance and rollout, on random transformers."""

from pathlib import Path

import numpy as np
import pytest

import ddcam
from ddcam.engine.methods.attention import attention_relevance, attention_rollout
from ddcam.engine.problem import Problem

torch = pytest.importorskip("torch")
nn = torch.nn

pytestmark = [pytest.mark.oracle, pytest.mark.filterwarnings("ignore")]
SIZE, WIDTH, HEADS, CLASSES = 24, 16, 4, 6


class Block(nn.Module):
    """A transformer block that keeps its attention; the heads are an axis of their own, or one with the batch."""

    def __init__(self, merged: bool) -> None:
        super().__init__()
        self.merged = merged
        self.norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(2))
        self.mixing, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.wide = nn.Sequential(nn.Linear(WIDTH, 2 * WIDTH), nn.GELU(), nn.Linear(2 * WIDTH, WIDTH))

    def forward(self, x):  # type: ignore[no-untyped-def]
        n, t, _ = x.shape
        parts = self.mixing(self.norms[0](x)).reshape(n, t, 3, HEADS, -1).permute(2, 0, 3, 1, 4)
        query, key, value = parts.reshape(3, n * HEADS, t, -1) if self.merged else parts
        weights = torch.softmax(query @ key.transpose(-1, -2) * 2.0, -1)
        self.attention = weights
        mixed = (weights @ value).reshape(n, HEADS, t, -1).transpose(1, 2).reshape(n, t, WIDTH)
        x = x + self.out(mixed)
        return x + self.wide(self.norms[1](x))


class Transformer(nn.Module):
    """Patches of 6 x 6 pixels, three blocks, and a head on the class token, or on the mean of the patches."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, tokens = kind, 16 + (kind != "mean")
        self.patches = nn.Conv2d(3, WIDTH, 6, 6)
        self.token, self.places = nn.Parameter(torch.randn(1, 1, WIDTH)), nn.Parameter(torch.randn(1, tokens, WIDTH))
        self.blocks = nn.ModuleList(Block(kind == "merged") for _ in range(3))
        self.norm, self.last = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, CLASSES)

    def forward(self, x):  # type: ignore[no-untyped-def]
        x = self.patches(x).flatten(2).transpose(1, 2)
        if self.kind != "mean":
            x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1)
        x = x + self.places
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        return self.last(x.mean(1) if self.kind == "mean" else x[:, 0])


@pytest.mark.parametrize("kind", ["class", "merged", "mean"])
@pytest.mark.parametrize("exporter", ["script", "dynamo"])
def test_maps_are_those_of_torch(kind: str, exporter: str, tmp_path: Path) -> None:
    torch.manual_seed(3)
    model, file = Transformer(kind).eval(), tmp_path / "model.onnx"
    for parameter in model.parameters():
        parameter.data.copy_(torch.randn_like(parameter) * (1.5 / parameter.shape[-1] ** 0.5))
    x = np.random.default_rng(1).normal(size=(1, 3, SIZE, SIZE)).astype(np.float32)
    more = {"dynamo": False, "opset_version": 17} if exporter == "script" else {"dynamo": True, "verbose": False}
    torch.onnx.export(model, (torch.from_numpy(x),), file, input_names=["x"], output_names=["logits"], **more)
    problem = Problem(ddcam.load(file), x)

    relevance, rollout = followed(model.double(), torch.from_numpy(x).double(), problem.target)

    for found, wanted in ((attention_relevance(problem), relevance), (attention_rollout(problem), rollout)):
        assert np.abs(found.scores - wanted).max() <= 1e-4 * np.abs(wanted).max()


def followed(model, x, target):  # type: ignore[no-untyped-def]
    """Return both maps, as their papers write them."""
    logit = model(x)[0, target]
    attention = [block.attention for block in model.blocks]
    gradients = torch.autograd.grad(logit, attention)
    count = attention[0].shape[-1]
    relevance, rollout = torch.eye(count).double(), torch.eye(count).double()
    for both in zip(attention, gradients, strict=True):
        a, g = (each.detach().reshape(HEADS, count, count) for each in both)
        relevance = relevance + (a * g).clamp(min=0).mean(0) @ relevance
        rollout = (a.mean(0) + torch.eye(count)) / 2 @ rollout
    if model.kind == "mean":
        return tuple(r.mean(0).reshape(4, 4).numpy() for r in (relevance, rollout))
    return tuple(r[0, 1:].reshape(4, 4).numpy() for r in (relevance, rollout))
