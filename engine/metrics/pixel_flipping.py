"""Pixel flipping: how fast the class is lost when pixels are blackened, best first, a few at a time."""

import numpy as np

from .case import Case, Map, Substrate, require_positive
from .ladder import area, best, ranks
from .registry import MetricFacts, metric

STEPS = 56
"""Steps from the picture to black where their size is not given."""


@metric("pixel-flipping", MetricFacts("faithfulness", "lower", "56 forwards", "doi:10.1371/journal.pone.0130140"))
def pixel_flipping(saliency: Map, case: Case, *, pixels: int = 0, substrate: Substrate = "black") -> float:
    """Return the area under p(target) while the best `pixels`, 2 `pixels`, ... of all become black, in 0..1.

    Trapezia over equal steps, over their number; the picture itself is not on the curve (as in Quantus, which does
    not divide by the number of steps, takes the least value of a picture for its black, and flips a pixel a step:
    50,176 forwards at 224 x 224). `pixels=0` is a 56th of the picture: four rows at 224 x 224. The last step may be
    shorter. Where one step flips all, the curve is that one point. Cost: a forward for every `pixels` pixels.
    Raises OptionError. Source: Bach et al., PLOS ONE 2015.
    """
    step = pixels or max(1, round(saliency.size / STEPS))
    require_positive(pixels=step)
    places, steps = ranks(saliency), np.arange(step, saliency.size + step, step)
    scores = case.score_each(steps, lambda some: case.show(~best(places, some), substrate))
    curve = scores[:, case.target]
    return area(curve) if len(curve) > 1 else float(curve[0])
