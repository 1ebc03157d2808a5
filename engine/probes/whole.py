"""The whole head, or for patches the whole model: nothing is computed beforehand."""

from dataclasses import replace

import numpy as np

from ..baseline import strengths_of_patches
from ..graph.cut import FEATURES
from ..head import open_batched
from ..whole import bytes_alive
from .apart import strengths_at
from .probe import Cut, Probe, Size


def whole_head(cut: Cut) -> Probe:
    head = open_batched(cut.opened, cut.split, cut.features, cut.open)
    strengths = strengths_at(cut.split, np.zeros(()))
    size = cut.size(cut.split.tensor)
    return Probe(
        "whole head", head.session, head.batchable, head.reason, cut.split, lambda x: {FEATURES: x}, size, strengths
    )


def patch_probe(cut: Cut) -> Probe:
    """Select pixels in front of the whole model: nothing can be computed beforehand."""
    probe, opened = whole_head(cut), cut.opened
    strengths = lambda fixed: strengths_of_patches(fixed[FEATURES], cut.split)  # noqa: E731
    size = Size(probe.size.multiplications, bytes_alive(opened))
    return replace(probe, kind="whole model", strengths=strengths, size=size)
