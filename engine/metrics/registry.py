"""What the catalogue knows of a metric, and the decorator that files one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

from ..named import Text, doc_of, options_of, values_of
from .case import Case, Map

Family = Literal["faithfulness", "localisation", "robustness", "complexity", "randomisation", "search", "cost"]
Needs = Literal["box", "explain", "explain_class", "explain_randomised", "mosaic", "attempt"]


@dataclass(frozen=True)
class MetricFacts:
    """What `ddcam metrics` says of a metric: `needs` are the fields that a case must have for it."""

    family: Family
    better: Literal["higher", "lower"]
    cost: str
    paper: str
    needs: tuple[Needs, ...] = ()


@dataclass(frozen=True)
class Metric:
    """A measure of the catalogue: call it with a map `[H, W]`, a case, and its own options by name.

    NaN where it is not defined for this map, such as the size of a subset for a method that has none.
    """

    name: str
    function: Callable[..., float]
    doc: str
    facts: MetricFacts
    options: Mapping[str, Text]

    def __call__(self, saliency: Map, case: Case, **options: Any) -> float:
        """Measure."""
        return self.function(saliency, case, **options)

    def with_options(self, given: Mapping[str, str]) -> "Metric":
        """Return the metric with options bound, given as texts; OptionError for those that it does not have."""
        return replace(self, function=partial(self.function, **values_of(f"metric {self.name}", self.options, given)))


def metric(name: str, facts: MetricFacts) -> Callable[[Callable[..., float]], Metric]:
    """File a function from a map and a case (and options with defaults) to a number."""

    def file(function: Callable[..., float]) -> Metric:
        return Metric(name, function, doc_of(function), facts, options_of(function))

    return file
