"""The other question: which units, removed together, change the decision, and none of them too many."""

from collections.abc import Callable

from ..answer import Certificate
from ..types import Floats
from .certificate import certificate_of, masks_of_proof
from .gate import Ask, Mask
from .outcome import Outcome
from .predicate import Predicate

CONTRAST_OUTCOMES = {
    Outcome.ONE_MINIMAL: "removing the subset loses the decision, and leaving any one unit of it in keeps it",
    Outcome.EMPTY_SUFFICES: (
        "the whole set does not satisfy the predicate (a tie, for instance): there is nothing to lose"
    ),
    Outcome.FULL_FAILS: "the head decides so with every unit removed: no removal changes the decision",
    Outcome.OUT_OF_BUDGET: (
        "the budget was spent first: removing the subset loses the decision and it is the smallest that was tried, "
        "but it is not known whether every unit of it has to go"
    ),
}
"""What each outcome of a search means when it asked the opposite question."""


def opposite(ask: Ask) -> Ask:
    """Return the question whether removing the units R of a mask loses the predicate: `not ask(U without R)`.

    Every search then finds a 1-minimal R. It expects that removing everything loses the predicate and that removing
    nothing keeps it: just that the empty set is not kept and the full set is, as for the question itself.
    Cost: that of `ask`.
    """

    def ask_removed(masks: Mask) -> Mask:
        return ~ask(~masks)

    return ask_removed


def certify_contrast(
    removed: tuple[int, ...], units: int, logits_of: Callable[[Mask], Floats], predicate: Predicate
) -> Certificate:
    """Ask about U without R, and with each unit of R left in, one mask at a time: the certificate of the opposite.

    `logits_of` gives the canonical runs: masks [B, units] to logits [B, C], a run for each with that mask alone.
    Nothing is taken from the search. Every field is that of `certify` with "the predicate holds" read as "removing R
    loses the predicate": `sufficient` is that U without R is not kept, `minimal` that it is with any one unit of R left
    in, `empty_keeps` that U itself is not kept. Margins have the opposite sign (0 may be either way); `margin_full` is
    that of removing everything. Logits are those of the target without R, and without R but one.
    Cost: |R| + 3 canonical runs.
    """
    masks = ~masks_of_proof(removed, units)
    logits = logits_of(masks)
    kept, margins = predicate.judged(logits)
    return certificate_of(~kept, -margins, logits, predicate.target)
