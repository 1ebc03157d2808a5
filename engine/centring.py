"""How far the means of a model's first layers are from those of its training, under each of some preprocessings."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .check import photographs
from .graph.centred import Centred, centred_layers, means_graph
from .open_model import Opened
from .preprocess import PRESETS, prepare
from .preprocess.values import Values, name_of
from .runtime.session import Session
from .types import Floats, Picture, Preprocessing

CHOSEN = "chosen"
CANDIDATES = ("imagenet", "unit", "symmetric", "raw", "caffe")
LAYERS = 16
"""Layers that are looked at, from the picture on: further ones correct what the first ones got."""
CENTRED, FEWEST = 0.5, 3
"""A layer counts as centred where some candidate explains at least half of its bias; one or two may be so by chance."""
REACHED, BEYOND = 1.1, 30.0
"""Layers whose bias some candidate does not exceed, and by how many times the chosen one must, in two of them."""
LEAST, MOST = 1e-6, 1e12


@dataclass(frozen=True)
class Centring:
    """What each candidate leaves over of the biases, `[layers]` each; `forwards` is what it cost."""

    left: Mapping[str, Floats]
    forwards: int

    @property
    def tells(self) -> bool:
        """Whether enough layers are centred for the rest to mean anything."""
        return bool(self.left) and int((self.least < CENTRED).sum()) >= FEWEST

    @property
    def least(self) -> Floats:
        least: Floats = np.min(list(self.left.values()), axis=0)
        return least

    def score(self, name: str) -> float:
        """Return the mean logarithm of what a candidate leaves over of the centred layers."""
        return float(np.log(self.left[name][self.least < CENTRED]).mean())

    @property
    def best(self) -> str:
        return min(self.left, key=self.score)

    @property
    def beyond(self) -> bool:
        """Whether the chosen one exceeds what the best leaves over by far, in two of the layers that it reaches."""
        times = (self.left[CHOSEN] / self.left[self.best])[self.left[self.best] < REACHED]
        return int((times > BEYOND).sum()) >= 2


def centring(opened: Opened, picture: Picture | None) -> Centring:
    """Run the first layers on photographs, and the `picture`, under each candidate.

    A layer's bias is what was learned less the mean that the training pictures gave without it. So the bias plus the
    mean that pictures give now is small under the right preprocessing, and larger under one of another contrast,
    brightness or order of colours. Per layer: the sum of its squares over the channels, over that of the bias.
    """
    layers = centred_layers(opened.graph.proto, opened.picture.name, opened.measured, LAYERS)
    if len(layers) < FEWEST:
        return Centring({}, 0)
    graph = means_graph(opened.graph.proto, opened.picture.name, opened.measured, layers)
    session = Session(graph, without=opened.without)
    pictures, asked = [*photographs(), *([picture] if picture else [])], candidates(opened)
    left = {name: left_over(session, layers, inputs_of(opened, each, pictures)) for name, each in asked.items()}
    return Centring(left, len(asked) * len(pictures))


def candidates(opened: Opened) -> dict[str, Values]:
    """Return the chosen values and the usual ones that fit the input and are not the same."""
    now = opened.preprocessing
    assert now.color != "bands"  # arrays are not asked about
    chosen = Values(now.color, now.scale, now.mean, now.std)
    usual = [name for name in CANDIDATES if opened.picture.channels == 3 or len(PRESETS[name].mean) == 1]
    return {CHOSEN: chosen} | {name: PRESETS[name] for name in usual if name != name_of(chosen)}


def left_over(session: Session, layers: list[Centred], inputs: list[NDArray[Any]]) -> Floats:
    seen = [session.run({session.inputs[0]: each}) for each in inputs]
    means = [np.mean(column, axis=0, dtype=np.float64) for column in zip(*seen, strict=True)]
    shares = [
        float(((mean + layer.shift) ** 2).sum() / max((layer.bias**2).sum(), 1e-30))
        for mean, layer in zip(means, layers, strict=True)
    ]
    # In float16 a wrong preprocessing may give infinity: as far off as can be.
    limited: Floats = np.clip(np.nan_to_num(np.array(shares), nan=MOST, posinf=MOST), LEAST, MOST)
    return limited


def inputs_of(opened: Opened, values: Values, pictures: list[Picture]) -> list[NDArray[Any]]:
    preprocessing = with_values(opened.preprocessing, values, opened.picture.channels)
    return [prepare(picture, preprocessing, opened.picture)[0] for picture in pictures]


def with_values(now: Preprocessing, values: Values, channels: int) -> Preprocessing:
    mean, std = ((v * channels)[:channels] for v in (values.mean, values.std))
    return replace(now, color="L" if channels == 1 else values.color, scale=values.scale, mean=mean, std=std)
