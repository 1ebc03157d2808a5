"""The predicate that a head calls for, and predicates with the index of a class for its name."""

from .chosen import ChosenBox
from .errors import OptionError
from .labels import find_label
from .open_model import Opened
from .search.predicate import require_fit
from .types import Labels


def default_predicate(opened: Opened, target: str | None = None) -> str:
    """Return the predicate that a head calls for: `top1` among classes, `threshold` for one sigmoid.

    So it is for one of several sigmoids where that is the `target`: such labels do not compete. Of a chosen box it is
    the threshold above which boxes were listed. OptionError for a plain score, because only its user knows how far it
    may move.
    """
    logits = opened.logits
    if isinstance(opened.chosen, ChosenBox):
        return f"threshold:{opened.chosen.least:g}"
    if logits.classes > 1 and (target is None or logits.activation != "sigmoid"):
        return "top1"
    if logits.activation == "sigmoid":
        return "threshold"
    raise OptionError(
        f"expected a predicate, because output {logits.output!r} is one plain score and decides nothing: "
        "say how far it may move with --preserve tolerance:E, in its own units"
    )


def any_class(opened: Opened) -> str:
    """Return a predicate under which every class can be posed: nine tenths of its probability, where there are some."""
    return "confidence:0.9" if opened.logits.classes > 1 else default_predicate(opened)


def fitting_predicate(opened: Opened, preserve: str | None, target: str | None = None) -> str:
    """Return the predicate that is asked, by default the head's own, with the index of a class for its name.

    Raises OptionError where it makes no sense for the head, whatever the picture.
    """
    asked = default_predicate(opened, target) if preserve is None else with_index(preserve, opened.labels)
    require_fit(asked, opened.logits.classes, opened.logits.activation)
    return asked


def with_index(preserve: str, labels: Labels) -> str:
    """Put the index of the class in the place of its name: `label:NAME` becomes `label:INDEX`."""
    kind, _, name = preserve.partition(":")
    return f"{kind}:{find_label(labels, name)}" if kind == "label" and name else preserve
