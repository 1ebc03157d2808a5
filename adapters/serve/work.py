"""What a worker does with pictures that came together: scores, the model's own outputs, explanations."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from ...engine.errors import DdcamError
from ...engine.explainer import Decision
from ...engine.types import Floats
from .served import Worker

T = TypeVar("T")
Want = Literal["scores", "outputs", "explanation"]


@dataclass(frozen=True)
class Asked:
    """A model input `[1, ...]` and what is wanted of it; of the model's own outputs those of these names."""

    inputs: NDArray[Any]
    wants: frozenset[Want]
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Found:
    """What was wanted: scores `[classes]`, own outputs by name, the decision explained or why it cannot be."""

    scores: Floats | None = None
    outputs: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    decision: Decision | DdcamError | None = None


def work(worker: Worker, asked: Sequence[Asked]) -> list[Found]:
    """Answer what is asked, nothing else. Raises RunError. Cost: a forward for each want, and the method's."""
    names = tuple(sorted({name for one in asked for name in one.names}))
    scores = each(asked, "scores", lambda inputs: list(worker.explainer.predict(np.concatenate(inputs))))
    outputs = each(asked, "outputs", partial(own_outputs, worker, names))
    decisions = each(asked, "explanation", worker.explainer.decide)
    return [Found(*parts) for parts in zip(scores, outputs, decisions, strict=True)]


def own_outputs(worker: Worker, names: Sequence[str], inputs: Sequence[NDArray[Any]]) -> list[dict[str, NDArray[Any]]]:
    rows = worker.own.run(np.concatenate(inputs), names)
    return [dict(zip(names, row, strict=True)) for row in rows]


def each(asked: Sequence[Asked], want: Want, answer: Callable[[Sequence[NDArray[Any]]], Sequence[T]]) -> list[Any]:
    """Answer those together that want this; in the place of others stands what says that nothing was wanted."""
    inputs = [one.inputs for one in asked if want in one.wants]
    answers: Iterator[T] = iter(answer(inputs) if inputs else ())
    nothing: Any = {} if want == "outputs" else None
    return [next(answers) if want in one.wants else nothing for one in asked]
