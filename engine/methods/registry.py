"""What the catalogue knows of a method, and the two decorators that file one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np

from ..answer import Attribution
from ..autodiff.formula import Formula, Layer, Where, any_path, one_logit
from ..autodiff.registry import Rules
from ..autodiff.rules import VJP
from ..graph.build import Var
from ..named import Text, doc_of, options_of, values_of
from ..problem import Problem
from ..types import Floats

Family = Literal["search", "cam", "gradient", "propagation", "perturbation", "concept"]
Needs = Literal[
    "the head",
    "the whole model",
    "gradient of the head",
    "gradient of the input",
    "features",
    "attention",
    "a concept file",
    "a prototype file",
]


@dataclass(frozen=True)
class Facts:
    """What `ddcam methods` says of a method: cost in passes, paper, how far its map depends on the class."""

    family: Family
    needs: Needs
    cost: str
    paper: str
    sees_class: Literal["yes", "weakly", "no"] = "yes"


@dataclass(frozen=True)
class Method:
    """A method of the catalogue; call it with a Problem, and with its own options by name.

    `formula` is there where the method is a graph, which can be exported; `made` makes it of options that change more
    than what is built on the layers.
    """

    name: str
    function: Callable[..., Attribution]
    doc: str
    facts: Facts
    options: Mapping[str, Text]
    formula: Formula | None = None
    made: Callable[..., Formula] | None = None

    def __call__(self, problem: Problem, **options: Any) -> Attribution:
        """Run the method."""
        return self.function(problem, **options)

    def with_options(self, given: Mapping[str, str]) -> "Method":
        """Return the method with options bound, given as texts; raises OptionError for those that it does not have."""
        options = values_of(f"method {self.name}", self.options, given)
        bound = partial(self.function, **options)
        made = self.made(**options) if self.made else self.formula and self.formula.bound(options)
        return replace(self, function=bound, formula=made)


def method(
    name: str, facts: Facts, made: Callable[..., Formula] | None = None
) -> Callable[[Callable[..., Attribution]], Method]:
    """File a function from a Problem (and options with defaults) to an Attribution.

    `made` makes a formula of its options, where running that is all it does.
    """

    def file(function: Callable[..., Attribution]) -> Method:
        return Method(name, function, doc_of(function), facts, options_of(function), made and made(), made)

    return file


def formula(
    name: str,
    facts: Facts,
    *,
    where: Where = "split",
    seed: Callable[[Var, Var], Var] = one_logit,
    rules: Rules = VJP,
    require: Callable[..., None] = any_path,
) -> Callable[[Callable[..., Var]], Method]:
    """File a function from layers (and options with defaults) to a map `[N, h, w]`, which runs as a graph."""

    def file(build: Callable[..., Var]) -> Method:
        written = Formula(name, build, where, seed, rules, require)

        def run(problem: Problem, **options: Text) -> Attribution:
            return from_map(name, problem.run(written.bound(options))[0])

        return Method(name, run, doc_of(build), facts, options_of(build), written)

    return file


def from_map(name: str, signed: Floats, weighting: str = "") -> Attribution:
    """Make an attribution of a signed map `[h, w]` over a grid or the model input; its positive part is drawn."""
    scores = np.asarray(signed, np.float32)
    return Attribution(name, scores, np.maximum(scores, 0), weighting or f"{name} map")


def from_least(name: str, values: Floats, weighting: str = "") -> Attribution:
    """Make an attribution of a map that has no zero of its own: its least value is drawn as nothing."""
    scores = np.asarray(values, np.float32)
    return Attribution(name, scores, scores - scores.min(), weighting or f"{name} map")


__all__ = ["Facts", "Layer", "Method", "formula", "from_least", "from_map", "method"]
