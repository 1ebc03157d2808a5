"""What a metric may ask about one picture: perturbed inputs go in, probabilities come out."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d, gaussian_filter1d

from ..answer import Attribution
from ..baseline import plain_input
from ..errors import OptionError
from ..problem import Problem
from ..runtime.batching import batches
from ..search.predicate import probabilities
from ..types import Floats, Layout

Map = NDArray[np.floating[Any]]
"""A saliency map at the size of the model input, `[H, W]`; every metric brings it to 0..1 by `unit_range`."""
Substrate = Literal["mean", "black", "blur"]
"""What stands in for a pixel that is hidden."""
MEAN_COLOUR = (124, 116, 104)
"""ImageNet's, RGB: what models normalised by it see as 0."""
BLUR_TAPS, BLUR_SIGMA = 11, 5.0
"""RISE's blur: a Gaussian of sigma 5 pixels on 11 x 11 taps."""
BATCH = 16
"""Perturbed inputs that are made at a time: 10 MB of float32 at 224 x 224, whatever a metric asks in all."""
T = TypeVar("T")


@dataclass(frozen=True)
class Attempt:
    """What the method under test gave: its answer, its signed scores as a map `[H, W]`, and what that took.

    `memory`: how much the process had grown at its largest while the method ran, in bytes; None if
    the system does not tell.
    """

    attribution: Attribution
    signed: Map
    seconds: float
    memory: int | None


@dataclass(frozen=True)
class Mosaic:
    """A picture of several pictures of other classes: the method's map of it for this class, and where this one is."""

    explain: Callable[[], Map]
    cell: NDArray[np.bool_]


@dataclass(frozen=True)
class Case:
    """One picture, one class, one model; `mean` and `black` are the model input of a picture of that colour.

    `score`: inputs `[B, ...]` -> probabilities `[B, classes]`. `box`: where the object is, bool `[H, W]`.
    What reruns the method under test, each giving a map `[H, W]`: `explain` on another input `[1, ...]` for the same
    class, `explain_class` on this one for another class, `explain_randomised` with the model's weights shuffled.
    """

    inputs: Floats
    layout: Layout
    target: int
    score: Callable[[Floats], Floats]
    mean: Floats
    black: Floats
    box: NDArray[np.bool_] | None = None
    explain: Callable[[Floats], Map] | None = None
    explain_class: Callable[[int], Map] | None = None
    explain_randomised: Callable[[], Map] | None = None
    mosaic: Mosaic | None = None
    attempt: Attempt | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the model input."""
        height, width = self.inputs.shape[2:] if self.layout == "NCHW" else self.inputs.shape[1:3]
        return height, width

    def confidence(self, inputs: Floats) -> Floats:
        """Return the probability of the target, `[B]`."""
        return self.score(inputs)[:, self.target]

    def substrate(self, name: Substrate) -> Floats:
        """Return the input `[1, ...]` of which nothing is shown."""
        if name not in ("mean", "black", "blur"):
            raise OptionError(f"expected substrate=mean, substrate=black or substrate=blur, got {name!r}")
        return self.blurred() if name == "blur" else {"mean": self.mean, "black": self.black}[name]

    def blurred(self) -> Floats:
        """Return the picture as RISE blurs it; beyond its border lies the mean colour."""
        axes = (2, 3) if self.layout == "NCHW" else (1, 2)
        delta = np.zeros(BLUR_TAPS)
        delta[BLUR_TAPS // 2] = 1
        kernel, image = gaussian_filter1d(delta, BLUR_SIGMA), self.inputs - self.mean
        for axis in axes:
            image = correlate1d(image, kernel, axis=axis, mode="constant")
        return image + self.mean

    def show(self, shares: Floats | NDArray[np.bool_], name: Substrate = "mean") -> Floats:
        """Mix picture and substrate: shares `[B, H, W]` in 0..1 of the picture -> inputs `[B, ...]`."""
        visible = shares[:, None] if self.layout == "NCHW" else shares[..., None]
        hidden = self.substrate(name)
        return hidden + visible * (self.inputs - hidden)

    def score_each(self, rows: NDArray[Any], draw: Callable[[NDArray[Any]], Floats]) -> Floats:
        """Return the probabilities `[N, classes]` of the inputs that `draw` makes of rows `[N, ...]`, BATCH at a time.

        Rows are small (counts, places), inputs are not. Cost: N forwards.
        """
        return np.concatenate([self.score(draw(part)) for part in batches(rows, BATCH)])


def case_of(problem: Problem, inputs: NDArray[Any], **more: Any) -> Case:
    """Make the case of a problem and the model input `[1, ...]` it was posed on; `more` are fields of Case."""
    opened = problem.model.opened

    def score(perturbed: Floats) -> Floats:
        return probabilities(problem.score_images(perturbed), problem.activation)

    def plain(colour: tuple[int, int, int]) -> Floats:
        return plain_input(colour, opened.preprocessing, opened.picture).astype(np.float32)

    return Case(
        inputs=inputs.astype(np.float32),
        layout=opened.picture.layout,
        target=problem.target,
        score=score,
        mean=plain(MEAN_COLOUR),
        black=plain((0, 0, 0)),
        **more,
    )


def unit_range(saliency: Map) -> Floats:
    """Return a map in 0..1, from its least to its largest value; a constant map becomes 0."""
    low, high = float(saliency.min()), float(saliency.max())
    if not high > low:
        return np.zeros(saliency.shape)
    return (saliency - low) / (high - low)


def needed(value: T | None, what: str) -> T:
    """Return a field of a case that a metric cannot do without; OptionError where nobody filled it."""
    if value is None:
        raise OptionError(f"expected a case with {what}, got none")
    return value


def require_positive(**options: float) -> None:
    """Raise OptionError for an option that is not above 0."""
    for name, value in options.items():
        if not value > 0:
            raise OptionError(f"expected {name} above 0, got {value}")
