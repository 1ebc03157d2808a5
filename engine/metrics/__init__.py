"""The catalogue of metrics: one file each, listed here by hand."""

from ..named import listed, named, names_in
from .adcc import adcc
from .average_drop import average_drop
from .average_drop_in_deletion import average_drop_in_deletion
from .average_gain import average_gain
from .average_increase import average_increase
from .box_iou import box_accuracy, box_iou
from .case import Attempt, Case, Map, Mosaic, Substrate, case_of, unit_range
from .certified import minimality, subset_share, subset_size, sufficiency
from .coherency import coherency
from .complexity import complexity
from .deletion import deletion
from .energy import energy
from .entropy import entropy
from .grid_pointing_game import grid_pointing_game
from .infidelity import infidelity
from .insertion import insertion
from .label_randomisation import label_randomisation
from .max_sensitivity import max_sensitivity
from .model_randomisation import model_randomisation
from .pixel_flipping import pixel_flipping
from .pointing_game import pointing_game
from .registry import Metric
from .restoring_area import restoring_area
from .road import road
from .sparseness import sparseness
from .spent import memory, probes, seconds

LISTED: tuple[Metric, ...] = (
    insertion,
    deletion,
    pixel_flipping,
    road,
    average_drop,
    average_increase,
    average_gain,
    average_drop_in_deletion,
    infidelity,
    restoring_area,
    adcc,
    energy,
    pointing_game,
    grid_pointing_game,
    box_iou,
    box_accuracy,
    complexity,
    sparseness,
    entropy,
    coherency,
    max_sensitivity,
    model_randomisation,
    label_randomisation,
    sufficiency,
    minimality,
    subset_size,
    subset_share,
    probes,
    seconds,
    memory,
)
METRICS: dict[str, Metric] = {metric.name: metric for metric in LISTED}


def metric_named(text: str) -> Metric:
    """Return a metric of the catalogue: NAME, or NAME:OPTION=VALUE; raises OptionError with what there is."""
    metric, options = named("metric", text, METRICS)
    return metric.with_options(options)


def metrics_named(text: str) -> dict[str, Metric]:
    """Return metrics by the names they were asked for by, each once: names with commas between, with options or not.

    `all` is every metric, `all:FAMILY` those of a family. Raises OptionError with what there is.
    """
    families = {name: known.facts.family for name, known in METRICS.items()}
    return {name: metric_named(name) for name in names_in(text, families, "metric")}


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
    "metrics_named",
    "unit_range",
]
