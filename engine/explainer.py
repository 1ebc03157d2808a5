"""A model and a question about it, asked of many pictures from many threads: nothing touches the disk."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from .answer import Attribution, Explanation
from .errors import DdcamError
from .explain import doubts_of, explanation_of, require_request
from .features import GAINS, open_features
from .methods import method_named
from .methods.dd_cam import dd_cam_each
from .model import Model
from .preprocess import arranged, from_array, prepare
from .problem import Problem
from .types import Device, Floats, Picture, Placement, Question

T = TypeVar("T")
Shown = Picture | NDArray[Any]


@dataclass(frozen=True)
class Prepared:
    """A picture as the model takes it, the model input `[1, ...]` made of it, and what that shows of the picture."""

    picture: Picture
    inputs: NDArray[Any]
    placement: Placement


@dataclass(frozen=True)
class Decision:
    """What a model decided about one input, and what a method found of it."""

    problem: Problem
    attribution: Attribution


class Explainer:
    """Explain pictures with one model and one method, in memory.

    It is built once and may be called from several threads: each prepares its own pictures, and the model answers one
    call at a time. Explainers of models that were loaded apart do not wait for each other.
    """

    def __init__(
        self,
        model: Model,
        *,
        method: str = "dd-cam",
        target: str | None = None,
        preserve: str | None = None,
        batched_on: Sequence[Device] = GAINS,
        **question: Any,
    ) -> None:
        """Take a loaded model and what `explain` would be asked; further words are the fields of `Question`.

        `batched_on` are devices where pictures share runs; on others no answer depends on what is asked beside it.
        Raises OptionError where `explain` would refuse method, target or predicate whatever the picture. Cost: that
        of `open_features`.
        """
        require_request(model, target=target, preserve=preserve, method=method)
        self.model = model
        self.method = method_named(method)
        self._target, self._preserve, self._question = target, preserve, Question(**question)
        self._batched = model.device in batched_on
        self._features = open_features(model, batched_on)
        self._lock, self._looking = Lock(), Lock()  # what looks opens sessions of its own

    def __call__(self, picture: Shown) -> Explanation:
        """Explain one picture, opened or as an array `[H, W, 3]` of 8 bits.

        Raises PictureError, OptionError, GradientError, RunError. Cost: that of `explain`.
        """
        [found] = self.explain_each([picture])
        if isinstance(found, DdcamError):
            raise found
        return found

    def explain_each(self, pictures: Sequence[Shown]) -> list[Explanation | DdcamError]:
        """Explain pictures; in the place of one that cannot be explained stands the error, the others go on."""
        prepared = [attempt(self.prepare, picture) for picture in pictures]
        good = [one for one in prepared if isinstance(one, Prepared)]
        decided = self.decide([one.inputs for one in good])
        told = iter([attempt(self.tell, *pair) for pair in zip(good, decided, strict=True)])
        return [next(told) if isinstance(one, Prepared) else one for one in prepared]

    def prepare(self, picture: Shown) -> Prepared:
        """Prepare a picture, in the thread of the caller. Raises PictureError. Cost: a resize."""
        opened = self.model.opened
        picture = picture if isinstance(picture, Picture) else from_array(picture)
        picture = arranged(picture, opened.preprocessing, opened.picture)
        return Prepared(picture, *prepare(picture, opened.preprocessing, opened.picture))

    def decide(self, inputs: Sequence[NDArray[Any]]) -> list[Decision | DdcamError]:
        """Return decision and attribution, or the error, for each of model inputs `[1, ...]` as `prepare` makes them.

        Maps stay on their grid and nothing is drawn: for whoever needs neither picture nor words. Cost: a backbone
        forward and the method's for each.
        """
        if not inputs:
            return []
        with self._lock:
            features = self._features(np.concatenate(inputs))
            posed = [attempt(self._pose, *pair) for pair in zip(inputs, features, strict=True)]
            answers = iter(self._answers([one for one in posed if isinstance(one, Problem)]))
            return [next(answers) if isinstance(one, Problem) else one for one in posed]

    def predict(self, inputs: NDArray[Any]) -> Floats:
        """Return the logits `[N, classes]` of model inputs `[N, ...]`. Raises RunError. Cost: a forward each."""
        with self._lock:
            return self.model.whole.score(inputs)

    def _pose(self, inputs: NDArray[Any], features: NDArray[Any]) -> Problem:
        asked = {"target": self._target, "preserve": self._preserve}
        return Problem(self.model, inputs, **asked, question=self._question, features=features)

    def _answers(self, problems: Sequence[Problem]) -> list[Decision | DdcamError]:
        found: Sequence[Attribution | DdcamError]
        if self.method.name == "dd-cam":
            found = dd_cam_each(problems)
        else:
            self._run_together(problems)
            found = [attempt(self.method, problem) for problem in problems]
        pairs = zip(problems, found, strict=True)
        return [one if isinstance(one, DdcamError) else Decision(problem, one) for problem, one in pairs]

    def _run_together(self, problems: Sequence[Problem]) -> None:
        """Run what a method is a formula of for all problems at once, where the device gains by that."""
        formula = self.method.formula
        if not self._batched or len(problems) < 2 or formula is None or formula.together:
            return
        running = self.model.formula(formula)
        fed = [problem.raw if formula.where == "split" else problem.picture for problem in problems]
        targets = np.eye(len(problems[0].logits), dtype=np.float32)[[problem.target for problem in problems]]
        for problem, result in zip(problems, running.run(np.concatenate(fed), targets), strict=True):
            problem.results[formula.name] = result[None]

    def tell(self, one: Prepared, found: Decision | DdcamError) -> Explanation:
        """Put a decision into its picture and into words, in the thread of the caller; an error is raised.

        Cost: nothing is run, but that the first picture has the preprocessing looked at.
        """
        if isinstance(found, DdcamError):
            raise found
        told = explanation_of(found.problem, found.attribution, one.picture, one.placement)
        with self._looking:
            doubts = doubts_of(self.model, one.picture)
        return replace(told, warnings=(*doubts, *told.warnings))


def attempt(function: Callable[..., T], *args: object) -> T | DdcamError:
    """Return what a function returns, or our own error that it raises."""
    try:
        return function(*args)
    except DdcamError as error:
        return error
