"""What an explanation took: probes, seconds and memory."""

from .case import Case, Map, needed
from .registry import MetricFacts, metric

ATTEMPT = "`attempt`, what the method took"


@metric("probes", MetricFacts("cost", "lower", "nothing is run", "ours", ("attempt",)))
def probes(saliency: Map, case: Case) -> float:  # noqa: ARG001  (what counts is the run)
    """Return the number of masks that the search asked the head about, without the certificate's.

    NaN for a method that does not search. Cost: nothing is run. Raises OptionError. Source: ours.
    """
    cost = needed(case.attempt, ATTEMPT).attribution.cost
    return float("nan") if cost is None else float(cost.probes)


@metric("seconds", MetricFacts("cost", "lower", "nothing is run", "ours", ("attempt",)))
def seconds(saliency: Map, case: Case) -> float:  # noqa: ARG001
    """Return t, the seconds that the method took for this picture, by the clock on the wall.

    Cost: nothing is run. Raises OptionError. Source: ours.
    """
    return float(needed(case.attempt, ATTEMPT).seconds)


@metric("memory", MetricFacts("cost", "lower", "nothing is run", "ours", ("attempt",)))
def memory(saliency: Map, case: Case) -> float:  # noqa: ARG001
    """Return b / 2^20, MiB by which the process had grown at its largest while the method ran.

    What earlier methods left free is used again without growth, so that figures of one process depend on the order.
    NaN where the system does not tell. Cost: nothing is run. Raises OptionError. Source: ours.
    """
    grown = needed(case.attempt, ATTEMPT).memory
    return float("nan") if grown is None else grown / 2**20
