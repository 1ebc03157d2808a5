"""How a search ended, in words that people read."""

import enum


class Outcome(enum.Enum):
    """The value of each member is its message."""

    ONE_MINIMAL = "the subset keeps the decision, and dropping any one unit of it loses it"
    EMPTY_SUFFICES = "the head decides so with every unit removed: no unit is needed"
    FULL_FAILS = "the whole set does not satisfy the predicate (a tie, for instance): there is nothing to preserve"
