"""An explanation in two or three sentences: what was decided, which units suffice, where their map lies."""

from collections import Counter
from dataclasses import replace

import numpy as np

from .answer import Attribution, Certificate, Explanation, Prediction, plural
from .chosen import ChosenBox
from .methods import METHODS
from .saliency import is_blank
from .whereabouts import Place, Whereabouts, seen_share, shortest_half, whereabouts, without_place

NAMES = 3
"""Most rivals that are named."""
NEGATIVE = 0.05
"""Least share of the scores, by size, that is worth a word where it is negative and therefore not drawn."""


def verbalise(explanation: Explanation) -> str:
    """Say an explanation in two or three English sentences; nothing is said that was not computed.

    What was decided and what came second; how many units suffice (or are necessary) for the predicate, and which
    class takes over when one of them goes, as the certificate found; where the map lies, by the places that
    `whereabouts` finds worth naming, how concentrated it is, or that it is spread out or blank. Every share is
    one of the arrays' that are saved. Cost: nothing is run; a few passes over the map.
    Source: templates with a search for what to say, after Feldhus et al., arXiv 2210.07222.
    """
    found = whereabouts(explanation.saliency, explanation.placement)
    said = (decision(explanation), units(explanation), location(explanation, found))
    return " ".join(f"{sentence[0].upper()}{sentence[1:]}." for sentence in said if sentence)


# ----- what was decided -----


def decision(explanation: Explanation) -> str:
    target, best, chosen = explanation.target, explanation.top[0], explanation.chosen
    share = seen_share(explanation.placement)
    saw = "the model" if share == 1 else f"the model saw {percent(share)} of the picture and"
    if isinstance(chosen, ChosenBox):
        return f"{saw} finds {named(replace(target, probability=chosen.found.score))} in the chosen box"
    where = " in the chosen region" if chosen else ""
    if explanation.model["classes"] == 1 or explanation.predicate.startswith("tolerance"):
        value = f"{target.logit:.5g}" if target.probability is None else f"a probability of {probability(target)}"
        return f"{saw} gives {target.label} {value}"
    if target.index == best.index:
        return f"{saw} decides for {named(best)}{where}, ahead of {named(explanation.top[1])}"
    return f"{saw} decides for {named(best)}{where}; explained is {named(target)}"


def named(prediction: Prediction) -> str:
    if prediction.probability is None:
        return f"{prediction.label} ({prediction.logit:.5g})"
    return f"{prediction.label} ({probability(prediction)})"


def probability(prediction: Prediction) -> str:
    assert prediction.probability is not None
    share = prediction.probability
    return bounded(f"{share:.1%}", share, ("0.0%", "under 0.1%"), ("100.0%", "over 99.9%"))


def percent(share: float) -> str:
    """Write a share as whole percent; what rounds to nothing or to all, and is not, is said to be under or over."""
    return bounded(f"{share:.0%}", share, ("0%", "under 1%"), ("100%", "over 99%"))


def bounded(text: str, share: float, nothing: tuple[str, str], everything: tuple[str, str]) -> str:
    if text == nothing[0] and share > 0:
        return nothing[1]
    return everything[1] if text == everything[0] and share < 1 - 1e-9 else text


# ----- which units, and what happens without them -----


def units(explanation: Explanation) -> str:
    found, all_units = explanation.attribution, plural(explanation.split.units)
    if found.subset is None or found.certificate is None:
        return ""
    count = explanation.split.count
    ends = {
        "empty-suffices": f"none of its {count} {all_units} is needed: with all of them removed, {kept(explanation)}",
        "full-fails": f"that does not rest on its {count} {all_units}: with all of them removed, {kept(explanation)}",
    }
    if found.outcome in ends:
        return ends[found.outcome]
    amount = f"{len(found.subset)} of its {count} {all_units}"
    if not found.certificate.sufficient:
        return f"{amount} were found, but asked again the model does not confirm that they are {found.seek}"
    say = necessary if found.seek == "necessary" else sufficient
    return say(explanation, amount, found.certificate)


def sufficient(explanation: Explanation, amount: str, certificate: Certificate) -> str:
    found = explanation.attribution
    number, drop = len(found.subset or ()), lost(explanation, certificate.decided_without)
    if number == explanation.split.count and certificate.minimal:
        return f"all of its {number} {plural(explanation.split.units)} are needed: drop any one of these, and {drop}"
    proven = ", and no fewer do" if number > 1 and found.bound and found.bound.least == number else ""
    said = f"{amount} suffice{'s' if number == 1 else ''}{proven}: with all others removed, {kept(explanation)}; "
    if not certificate.minimal:
        return f"{said}some of these may be needless"
    return f"{said}{'without that one too,' if number == 1 else 'drop any one of these, and'} {drop}"


def necessary(explanation: Explanation, amount: str, certificate: Certificate) -> str:
    decided = () if certificate.decided is None else (certificate.decided,)
    several = len(explanation.attribution.subset or ()) > 1
    said = f"remove {amount}{' together' if several else ''}, and {lost(explanation, decided)}"
    if several and certificate.minimal:
        return f"{said}; leave any one of these in, and {kept(explanation)}"
    return f"{said}; some of these may be needless" if several else said


def kept(explanation: Explanation) -> str:
    """Say that the predicate holds."""
    kind, _, value = explanation.predicate.partition(":")
    label = explanation.target.label
    match kind:
        case "top1" | "label":
            return f"it still decides for {explanation.top[0].label}"
        case "confidence":
            return f"{label} keeps at least {100 * float(value):g}% of its probability"
        case "topk":
            return f"{label} stays among the {value} best"
        case "threshold":
            return f"the probability of {label} stays {side(explanation, value)[0]}"
        case "multilabel":
            return f"every label stays on its side of {100 * float(value or 0.5):g}%"
        case _:
            return f"the {label} moves by at most {value}"


def lost(explanation: Explanation, decided: tuple[int, ...]) -> str:
    """Say that the predicate is lost; `decided` are the classes decided for then, one for every unit that can go."""
    kind, _, value = explanation.predicate.partition(":")
    label = explanation.target.label
    match kind:
        case "top1" | "label":
            return rivals(explanation, decided)
        case "confidence":
            return f"{fallen(explanation)}{overtaken(explanation, decided)}"
        case "topk":
            return f"{label} is no longer among the {value} best"
        case "threshold":
            return f"the probability of {label} {side(explanation, value)[1]}"
        case "multilabel":
            return "some label changes sides"
        case _:
            return f"the {label} moves by more than {value}"


def side(explanation: Explanation, value: str) -> tuple[str, str]:
    """Say on which side of a threshold the probability is, and what it does when it leaves that."""
    edge = float(value or 0.5)
    above = explanation.target.probability is not None and explanation.target.probability > edge
    shown = f"{100 * edge:g}%"
    return (f"above {shown}", f"falls to {shown} or below") if above else (f"at most {shown}", f"rises above {shown}")


def rivals(explanation: Explanation, decided: tuple[int, ...]) -> str:
    """Say which classes take over, the most frequent first; where none does, the class is level with another."""
    takers = takeovers(explanation, decided)
    ties = len(decided) - sum(takers.values())
    if not takers:
        return "it is level with another class" if decided else "another class takes over"
    if len(takers) == 1 and not ties:
        return f"{label_of(explanation, *takers)} takes over"
    level = f"; {ties} leave it level with another" if ties else ""
    return f"another class takes over: {counted(explanation, takers)}{level}"


def fallen(explanation: Explanation) -> str:
    """Say that confidence was not kept; how much had to be is said before, but where all units are needed."""
    found, value = explanation.attribution, explanation.predicate.partition(":")[2]
    unsaid = found.seek == "necessary" or len(found.subset or ()) == explanation.split.count
    below = f"{100 * float(value):g}% of its probability" if unsaid else "that"
    return f"{explanation.target.label if unsaid else 'it'} falls below {below}"


def overtaken(explanation: Explanation, decided: tuple[int, ...]) -> str:
    """Say whether another class even wins where only confidence had to be kept."""
    if not decided or explanation.target.index != explanation.top[0].index or explanation.model["classes"] == 1:
        return ""
    takers = takeovers(explanation, decided)
    many = sum(takers.values())
    if not takers:
        return ", though no other class takes over"
    if len(takers) == 1 and many == len(decided):
        return f" and {label_of(explanation, *takers)} takes over"
    if len(takers) == 1:
        return f", and for {many} of them {label_of(explanation, *takers)} takes over"
    return f", and for {many} of them another class takes over: {counted(explanation, takers)}"


def takeovers(explanation: Explanation, decided: tuple[int, ...]) -> Counter[int]:
    """Count the classes other than the winner that are decided for, the most frequent first."""
    winner = explanation.top[0].index
    counts = Counter(index for index in decided if index != winner)
    return Counter(dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))))


def counted(explanation: Explanation, takers: Counter[int]) -> str:
    """List classes and for how many units each takes over; beyond NAMES of them only how many there are."""
    once = set(takers.values()) == {1}
    some, more = list(takers.items())[:NAMES], list(takers.values())[NAMES:]
    parts = [label_of(explanation, index) + ("" if once else f" for {count}") for index, count in some]
    if more:
        parts.append(f"{len(more)} more{'' if once else f' for {sum(more)}'}")
    joint = " or " if once else " and "
    return joint.join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def label_of(explanation: Explanation, index: int) -> str:
    known = (*explanation.rivals, *explanation.top)
    return next((prediction.label for prediction in known if prediction.index == index), f"class {index}")


# ----- where the map lies -----


def location(explanation: Explanation, found: Whereabouts | None) -> str:
    if found is None or is_blank(explanation.attribution.grid_map):
        return "the map is blank and marks no place"
    if explanation.form != "picture":
        return f"{subject(explanation)} {along(explanation)}{negative(explanation.attribution)}"
    whole = "the picture" if seen_share(explanation.placement) == 1 else "what it saw"
    return f"{subject(explanation)} {spoken(found, whole)}{negative(explanation.attribution)}"


def along(explanation: Explanation) -> str:
    """Say which positions of a series, or slices of a volume, hold half of the map."""
    saliency, depth = explanation.saliency, explanation.depth
    series = explanation.form == "series"
    mass = saliency[0] if series else saliency.reshape(depth, -1).sum(axis=1, dtype=np.float64)
    first, last = shortest_half(mass)
    where = f"{first}" if first == last else f"{first} to {last}"
    kind = ("position" if series else "slice") + ("" if first == last else "s")
    return f"has half of itself on {kind} {where} of 0 to {len(mass) - 1}"


def subject(explanation: Explanation) -> str:
    """Name the map, and say so where it hardly depends on the class."""
    found = explanation.attribution
    if found.subset:
        return "its map" if len(found.subset) == 1 else "their map"
    known = METHODS.get(found.method)
    blind = known is not None and known.facts.sees_class == "no"
    return f"the {found.method} map{', which hardly depends on the class,' if blind else ''}"


def spoken(found: Whereabouts, whole: str) -> str:
    half = f"half of it fits on {percent(found.half)}"
    if not found.places:
        best = f"{found.best.name} has most, {holds(found.best)} of {whole}"
        return f"is {without_place(found.half)} and no place has much more than its share ({best}); {half}"
    first, *second = found.places
    if second:
        also = f"in {second[0].name} ({holds(second[0])})"
        return f"lies in two places, in {first.name} ({holds(first)} of {whole}) and {also}; {half}"
    return f"{weighed(first)} {first.name}: {holds(first)} of {whole}; {half}"


def weighed(place: Place) -> str:
    return "lies mostly in" if place.coverage > 0.5 else "is densest in"


def holds(place: Place) -> str:
    return f"{percent(place.coverage)} of it on {percent(place.area)}"


def negative(attribution: Attribution) -> str:
    """Say how much of the scores is negative where the map is their positive part; it speaks against the class."""
    scores = attribution.scores.ravel()
    drawn = scores.size == attribution.grid_map.size
    if not drawn or not np.array_equal(np.maximum(scores, 0), attribution.grid_map.ravel()):
        return ""
    sizes = np.abs(scores, dtype=np.float64)
    share = float(sizes[scores < 0].sum() / max(sizes.sum(), np.finfo(np.float64).tiny))
    return f"; negative scores, {percent(share)} of all by size, are not drawn" if share >= NEGATIVE else ""
