"""How a search ended, in words that people read."""

import enum


class Outcome(enum.Enum):
    """The value of each member is its message."""

    ONE_MINIMAL = "the subset keeps the decision, and dropping any one unit of it loses it"
    EMPTY_SUFFICES = "the head decides so with every unit removed: no unit is needed"
    FULL_FAILS = "the whole set does not satisfy the predicate (a tie, for instance): there is nothing to preserve"
    OUT_OF_BUDGET = (
        "the budget was spent first: the subset keeps the decision and is the smallest that was tried, "
        "but it is not known whether every unit of it is needed"
    )
