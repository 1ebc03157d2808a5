"""The features of many pictures: in batches where a device gains by them, else one picture at a time."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .check import difference
from .errors import ModelError, RunError
from .graph.content import content_of
from .graph.fold import rest_of
from .head import SAME, mixes_batch
from .model import Model
from .runtime.batching import batches, fit_batch
from .runtime.session import Session
from .types import Device
from .whole import ACTIVATIONS, bytes_alive

Features = Callable[[NDArray[Any]], list[NDArray[Any]]]
"""From model inputs `[N, ...]` to what `Model.features` gives for each."""
GAINS: Sequence[Device] = ("cuda",)
"""Devices that gain by batches; two CPU cores do not (see ACTIVATIONS), and one by one no picture depends on others."""


def open_features(model: Model, devices: Sequence[Device] = GAINS) -> Features:
    """Return what runs the backbone on many inputs, in batches on `devices`.

    A batch is proved on three photographs against runs of one; where that fails inputs go one at a time. Cost: on
    such a device one session, where the file fixes the batch, and six runs of the backbone.
    """

    def alone(inputs: NDArray[Any]) -> list[NDArray[Any]]:
        return [model.features(one) for one in batches(inputs, 1)]

    if (
        model.device not in devices
        or model.split.units == "patch"
        or mixes_batch(model.opened, model.opened.picture.name)
    ):
        return alone
    most = fit_batch(bytes_alive(model.opened), model.device, budget=ACTIVATIONS[model.device])
    try:
        session = freed(model)

        def together(inputs: NDArray[Any]) -> list[NDArray[Any]]:
            runs = [session.run({model.opened.picture.name: part})[0] for part in batches(inputs, most)]
            return list(batches(np.concatenate(runs), 1))

        samples = model.opened.samples
        pairs = zip(together(samples), alone(samples), strict=True)
        if not all(difference(model.real(many), model.real(one)) <= SAME for many, one in pairs):
            return alone
    except (ModelError, RunError):  # a batch cannot be freed, or does not run
        return alone
    return together


def freed(model: Model) -> Session:
    """Return the backbone with a free batch: as it is, or rewritten where the file fixes it."""
    opened = model.opened
    if opened.measured.batch_two is not None:
        return model.backbone
    graph = rest_of(opened.graph.proto, opened.measured, opened.picture.name, model.split.tensor)
    return Session(content_of(graph), device=model.device, threads=model.backbone.threads, without=opened.without)
