"""The catalogue of metrics: one file each, listed here by hand."""

from ..named import listed, named, names_in
from .adcc import adcc
from .average_drop import average_drop
from .case import Attempt, Case, Map, Mosaic, Substrate, case_of, unit_range
from .coherency import coherency
from .complexity import complexity
from .deletion import deletion
from .energy import energy
from .insertion import insertion
from .pointing_game import pointing_game
from .registry import Metric
from .restoring_area import restoring_area

LISTED: tuple[Metric, ...] = (
    insertion,
    deletion,
    average_drop,
    restoring_area,
    adcc,
    energy,
    pointing_game,
    complexity,
    coherency,
)
METRICS: dict[str, Metric] = {metric.name: metric for metric in LISTED}


def metric_named(text: str) -> Metric:
    """Return a metric of the catalogue: NAME, or NAME:OPTION=VALUE; raises OptionError with what there is."""
    metric, options = named("metric", text, METRICS)
    return metric.with_options(options)


def metric_names(text: str) -> tuple[str, ...]:
    """Return the names in a list with commas; `all` and a family (faithfulness, ...) stand for all that is in it."""
    return names_in(text, {name: metric.facts.family for name, metric in METRICS.items()}, "metric")


def metric_catalogue() -> list[dict[str, str]]:
    """Return one row a metric, as texts."""
    return [
        {
            "metric": metric.name,
            "family": metric.facts.family,
            "better": metric.facts.better,
            "needs": ", ".join(metric.facts.needs).replace("_", " ") or "-",
            "cost": metric.facts.cost,
            "options": listed(metric.options) or "-",
            "paper": metric.facts.paper,
        }
        for metric in LISTED
    ]


__all__ = [
    "LISTED",
    "METRICS",
    "Attempt",
    "Case",
    "Map",
    "Metric",
    "Mosaic",
    "Substrate",
    "case_of",
    "metric_catalogue",
    "metric_named",
    "metric_names",
    "unit_range",
]
