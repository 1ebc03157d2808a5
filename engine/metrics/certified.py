"""What a subset is worth: sufficiency, minimality and size, for methods that find one."""

from ..answer import Certificate
from .case import Case, Map, needed
from .registry import MetricFacts, metric

ATTEMPT = "`attempt`, what the method gave"
NAN = float("nan")


@metric("sufficiency", MetricFacts("search", "higher", "nothing is run", "arXiv:2602.19274", ("attempt",)))
def sufficiency(saliency: Map, case: Case) -> float:  # noqa: ARG001  (what counts is the subset)
    """Return 1 where P(S): the units of the subset alone keep what was to be preserved; else 0.

    As its certificate says: the unfolded head was asked with that mask alone. For necessary units, 1 where the
    decision is lost without them. The mean over pictures is the sufficiency rate. NaN for a method without a subset.
    (Quantus' Sufficiency is another thing.) Cost: nothing is run. Raises OptionError. Source: arXiv 2602.19274.
    """
    found = certificate(case)
    return float(found.sufficient) if found else NAN


@metric("minimality", MetricFacts("search", "higher", "nothing is run", "arXiv:2602.19274", ("attempt",)))
def minimality(saliency: Map, case: Case) -> float:  # noqa: ARG001
    """Return 1 where the subset is 1-minimal: P(S), and not P(S without u) for every u in S; else 0.

    As its certificate says. The mean over pictures is the 1-minimality rate. NaN for a method without a subset.
    Cost: nothing is run. Raises OptionError. Source: arXiv 2602.19274.
    """
    found = certificate(case)
    return float(found.holds) if found else NAN


@metric("subset-size", MetricFacts("search", "lower", "nothing is run", "arXiv:2602.19274", ("attempt",)))
def subset_size(saliency: Map, case: Case) -> float:  # noqa: ARG001
    """Return |S|, the number of units of the subset. NaN for a method without a subset.

    Compare it for one kind of units and one predicate only. Cost: nothing is run. Raises OptionError.
    Source: arXiv 2602.19274.
    """
    subset = needed(case.attempt, ATTEMPT).attribution.subset
    return NAN if subset is None else float(len(subset))


@metric("subset-share", MetricFacts("search", "lower", "nothing is run", "arXiv:2602.19274", ("attempt",)))
def subset_share(saliency: Map, case: Case) -> float:
    """Return |S| / |U| in 0..1, the share of all units that the subset holds. NaN for a method without a subset.

    Cost: nothing is run. Raises OptionError. Source: arXiv 2602.19274.
    """
    units = needed(case.attempt, ATTEMPT).attribution.scores.size
    return subset_size(saliency, case) / units


def certificate(case: Case) -> Certificate | None:
    return needed(case.attempt, ATTEMPT).attribution.certificate
