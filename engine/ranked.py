"""Class scores as people read them: the classes with their names and probabilities, the best ones first."""

import numpy as np

from .answer import Prediction
from .open_model import Opened
from .search.predicate import probabilities
from .types import Floats


def prediction(opened: Opened, logits: Floats, index: int, preserve: str) -> Prediction:
    """Describe one class; a plain score, and one of several whose values are to be kept, has no probability."""
    kind, share = opened.logits, None
    values = kind.activation == "none" and kind.holds == "logits" and preserve.startswith("tolerance")
    if kind.activation == "sigmoid" or not (values or len(logits) == 1):
        share = float(probabilities(logits[None], kind.activation)[0, index])
    return Prediction(index, opened.labels[index], float(logits[index]), share)


def ranked(opened: Opened, logits: Floats, preserve: str, count: int = 5) -> tuple[Prediction, ...]:
    """Return the best classes of logits `[classes]`, best first; ties in index order."""
    order = np.argsort(-logits, kind="stable")[:count]
    return tuple(prediction(opened, logits, int(i), preserve) for i in order)
