"""How a map is spread, what a subset is worth and what it took, worked out by hand."""

import numpy as np
import pytest

from ddcam.engine.answer import Attribution, Certificate, Cost
from ddcam.engine.metrics import METRICS, Attempt, Case

NOTHING = np.zeros((1, 1, 2, 2))
CASE = Case(NOTHING, "NCHW", 0, lambda inputs: np.ones((len(inputs), 1)), NOTHING, NOTHING)


def of(name: str, *values: float) -> float:
    return METRICS[name](np.array(values).reshape(2, -1), CASE)


def test_sparseness_is_the_gini_index():
    assert of("sparseness", 1, 1, 1, 1) == 0
    assert of("sparseness", 0, 0, 5, 0) == pytest.approx(3 / 4)
    assert of("sparseness", 1, 4, 3, 2) == pytest.approx((-3 * 1 - 1 * 2 + 1 * 3 + 3 * 4) / (4 * 10))
    assert of("sparseness", -1, 4, 3, -2) == of("sparseness", 1, 4, 3, 2)
    assert of("sparseness", 0, 0, 0, 0) == 0


def test_entropy_counts_pixels():
    assert of("entropy", 0, 3, 0, 0) == 0
    assert of("entropy", 2, 2, 2, 2) == pytest.approx(np.log(4))
    assert of("entropy", 1, 0, -1, 0) == pytest.approx(np.log(2))
    assert of("entropy", 1, 1, 2, 0) == pytest.approx(1.5 * np.log(2))
    assert of("entropy", 0, 0, 0, 0) == pytest.approx(np.log(4))


# ----- what a method gave and took -----


def attempted(*, sufficient: bool = True, minimal: bool = True, memory: int | None = 3 * 2**19) -> Case:
    certificate = Certificate(sufficient, minimal, False, 1.0, (0.0, 0.0), 0.0, 1.0, 1.0, (0.0, 0.0), 5)
    scores = np.zeros(8, np.float32)
    found = Attribution("x", scores, scores, "", subset=(1, 4), certificate=certificate,
                        cost=Cost(17, 2, 5, 0.5, 0.4, 0.1))  # fmt: skip
    return Case(**{**vars(CASE), "attempt": Attempt(found, np.zeros((2, 2)), 0.25, memory)})


def value(name: str, case: Case) -> float:
    return METRICS[name](np.eye(2), case)


def test_the_certificate_is_believed():
    assert value("sufficiency", attempted()) == value("minimality", attempted()) == 1
    assert value("sufficiency", attempted(minimal=False)) == 1
    assert value("minimality", attempted(minimal=False)) == 0
    assert value("sufficiency", attempted(sufficient=False)) == 0
    assert value("minimality", attempted(sufficient=False)) == 0  # minimal, but of no use


def test_size_share_and_cost():
    case = attempted()

    assert value("subset-size", case) == 2
    assert value("subset-share", case) == 2 / 8
    assert value("probes", case) == 17
    assert value("seconds", case) == 0.25
    assert value("memory", case) == 1.5


@pytest.mark.parametrize("name", ["sufficiency", "minimality", "subset-size", "subset-share", "probes"])
def test_a_method_without_a_subset_is_not_judged_by_it(name: str):
    plain = Attribution("x", np.zeros(8, np.float32), np.zeros(8, np.float32), "")
    case = Case(**{**vars(CASE), "attempt": Attempt(plain, np.zeros((2, 2)), 0.25, 0)})

    assert np.isnan(value(name, case))


def test_memory_is_not_a_number_where_the_system_does_not_tell():
    assert np.isnan(value("memory", attempted(memory=None)))
