"""What is left of a program after its relaxation holds every better solution, and few units are looked for in it."""

from itertools import product

import numpy as np
import pytest

from ddcam.engine.search.cuts import MUST
from ddcam.engine.search.few import Few
from ddcam.engine.search.program import Box, NoSolution, Program, relax

UNITS, SLACK, SECONDS = 9, 0.0, 10.0
EVERY = np.array(list(product([0, 1], repeat=UNITS)))


def program(seed: int) -> Program:
    rng = np.random.default_rng(seed)
    made = Program(rng.normal(size=(UNITS, 4)), np.zeros(4), 0)
    made.rows = rng.normal(0.2, 1, (3, UNITS))
    made.need = rng.uniform(0, 2.5, 3)
    made.rivals = [MUST] * 3
    return made


@pytest.mark.parametrize("seed", range(60))
def test_no_better_solution_is_left_out_of_the_box(seed: int) -> None:
    asked = program(seed)
    solutions = EVERY[(asked.need <= EVERY @ asked.rows.T).all(axis=1)]
    for most in range(UNITS + 1):
        box, better = Box.open(UNITS), solutions[solutions.sum(axis=1) <= most]
        for _ in range(3):
            try:
                relaxed = relax(asked, SLACK, SECONDS, box)
            except NoSolution:
                assert not len(better)
                break
            assert relaxed is not None
            assert (better.sum(axis=1) >= relaxed.bound - 1e-6).all()
            box = relaxed.closer(most)
            assert ((better >= box.low) & (better <= box.high)).all()


@pytest.mark.parametrize(("size", "found"), [(1, None), (2, (1, 4)), (3, None)])
def test_few_units_are_found_that_the_box_leaves_no_choice_about(size: int, found: tuple[int, ...] | None) -> None:
    asked = program(0)
    asked.need[:] = -100
    sure = np.isin(np.arange(UNITS), (1, 4)).astype(float)
    few = Few(asked, lambda chosen, units: 0 if {*chosen, int(units[0])} == {1, 4} else None, 100, lambda: True)

    assert few.find(size, SLACK, Box(sure, sure)) == found


def test_a_box_without_a_choice_is_relaxed_to_itself_or_to_nothing() -> None:
    asked = program(0)
    asked.need[:] = -100
    sure = np.isin(np.arange(UNITS), (1, 4)).astype(float)
    relaxed = relax(asked, SLACK, SECONDS, Box(sure, sure))

    assert relaxed is not None
    assert relaxed.bound == 2
    asked.need[:] = 100
    with pytest.raises(NoSolution):
        relax(asked, SLACK, SECONDS, Box(sure, sure))
