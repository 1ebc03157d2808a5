"""One method on one picture: its answer, and everything that a metric may ask about it."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .answer import Attribution
from .dataset import Box
from .errors import DdcamError
from .explain import at_input
from .methods import Method
from .metrics import Attempt, Case, Map, Mosaic, case_of
from .model import Model
from .problem import Problem
from .runtime.effort import effort_of
from .saliency import enlarge
from .types import Floats, Picture, Placement, Preprocessing, Split
from .whole import as_type


@dataclass(frozen=True)
class Setting:
    """What is the same for every picture: the model, the predicate, and the model with its weights shuffled."""

    model: Model
    preserve: str
    shuffle: Callable[[], Model]
    warm: set[str] = field(default_factory=set)

    @cached_property
    def shuffled(self) -> Model:
        return self.shuffle()

    @property
    def shown(self) -> Preprocessing:
        return self.model.opened.preprocessing


@dataclass(frozen=True)
class Exhibit:
    """A picture as it is put before every method; `mosaic` is a model input that holds it, and where."""

    picture: Picture
    placement: Placement
    problem: Problem
    case: Case
    mosaic: tuple[NDArray[Any], NDArray[np.bool_]] | None = None


class Remembered:
    """A function that runs the same inputs once: insertion and restoring area show the same pictures.

    What raised DdcamError is not asked again either.
    """

    def __init__(self, function: Callable[[Floats], Floats]) -> None:
        self.function, self.known = function, dict[int, Floats | DdcamError]()

    def __call__(self, inputs: Floats) -> Floats:
        key = hash(inputs.tobytes())
        if key not in self.known:
            try:
                self.known[key] = self.function(inputs)
            except DdcamError as error:
                self.known[key] = error
        found = self.known[key]
        if isinstance(found, DdcamError):
            raise found
        return found


def exhibit(picture: Picture, placement: Placement, problem: Problem, box: NDArray[np.bool_] | None = None) -> Exhibit:
    """Put a picture up; `box` `[H, W]` marks the object in the model input."""
    case = case_of(problem, problem.picture, box=box)
    return Exhibit(picture, placement, problem, replace(case, score=Remembered(case.score)))


def trial(setting: Setting, name: str, method: Method, shown: Exhibit) -> tuple[Map, Case]:
    """Run a method on a picture; return its map at the size of the model input, and the case of it for metrics.

    `name` is what it was asked for by, options included. Raises DdcamError where the method refuses. Cost: the
    method's, and once a model that of `warm_up`, which is not part of its seconds.
    """
    if name not in setting.warm:
        warm_up(method, shown.problem)
        setting.warm.add(name)
    problem = posed_again(setting, shown)
    attribution, effort = effort_of(lambda: method(problem))
    split, target = shown.problem.split, shown.case.target
    signed = at_input_signed(attribution, split, (setting.shown.height, setting.shown.width))
    ask = partial(ask_again, setting, method)
    mosaic = shown.mosaic and Mosaic(partial(ask, setting.model, shown.mosaic[0], target), shown.mosaic[1])
    case = replace(
        shown.case,
        attempt=Attempt(attribution, signed, effort.seconds, effort.memory),
        explain=Remembered(lambda inputs: ask(setting.model, inputs, target)),  # coherency and ADCC ask the same
        explain_class=lambda other: ask(setting.model, shown.problem.picture, other),
        explain_randomised=lambda: ask(setting.shuffled, shown.problem.picture, target),
        mosaic=mosaic,
    )
    return at_input(attribution.grid_map, split, setting.shown), case


def warm_up(method: Method, problem: Problem) -> None:
    """Let what is done once a model be done before seconds are taken: graphs are written, sessions opened.

    For methods that perturb the picture, whose many forwards need no graph, one forward does that.
    """
    if method.facts.needs == "the whole model" and method.formula is None:
        problem.score_images(problem.picture)
    else:
        method(problem)


def posed_again(setting: Setting, shown: Exhibit) -> Problem:
    """Pose the decision anew, so that no method profits from what another has computed; features are shared."""
    first = shown.problem
    target = str(first.target)
    return Problem(setting.model, first.picture, target=target, preserve=setting.preserve, features=first.raw)


def ask_again(setting: Setting, method: Method, model: Model, inputs: NDArray[Any], target: int) -> Map:
    """Return a method's map of another input, class or model."""
    given = as_type(inputs, np.dtype(model.opened.picture.dtype))
    problem = Problem(model, given, target=str(target), preserve=setting.preserve)
    return at_input(method(problem).grid_map, model.split, setting.shown)


def at_input_signed(attribution: Attribution, split: Split, size: tuple[int, int]) -> Map:
    """Bring signed scores to the size of the model input; scores of channels have no place, so their map stands in."""
    scores = attribution.scores
    if scores.shape != attribution.grid_map.shape:
        scores = attribution.grid_map if split.units == "channel" else scores.reshape(split.grid)
    signed: Map = enlarge(scores[None], size)[0]
    return signed


# ----- where things are -----


def inside(boxes: tuple[Box, ...], placement: Placement, shown: Preprocessing) -> NDArray[np.bool_]:
    """Mark the pixels `[H, W]` of the model input whose centres lie in a box of the picture."""
    rows = placement.top + (np.arange(shown.height) + 0.5) / shown.height * (placement.bottom - placement.top)
    columns = placement.left + (np.arange(shown.width) + 0.5) / shown.width * (placement.right - placement.left)
    marked = np.zeros((shown.height, shown.width), np.bool_)
    for left, top, right, bottom in boxes:
        marked |= ((rows >= top) & (rows < bottom))[:, None] & ((columns >= left) & (columns < right))
    return marked
