"""Every search on every kind of head ends with an answer that the canonical run confirms, wrong tables included."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ddcam.engine.errors import OptionError
from ddcam.engine.find import NAMES, find, find_alone
from ddcam.engine.methods.dd_cam import dd_cam
from ddcam.engine.problem import Problem
from ddcam.engine.search import SEARCHES, Outcome
from ddcam.engine.search.additive import Table
from ddcam.engine.types import Question

ADDITIVE = ["plain", "residual", "concatenated", "mixer"]


@pytest.fixture
def posed(zoo: Any, load_here: Any) -> Callable[..., Problem]:
    models: dict[str, Any] = {}

    def pose(family: str, *, seed: int = 3, preserve: str = "confidence:0.9", **question: Any) -> Problem:
        model = models.setdefault(family, None) or load_here(zoo.build(family)[0])
        models[family] = model
        return Problem(model, zoo.pictures(1, seed=seed), preserve=preserve, question=Question(**question))

    return pose


def is_minimal(problem: Problem, subset: tuple[int, ...]) -> bool:
    """Ask the canonical run of a fresh problem, mask by mask."""
    fresh = Problem(problem.model, problem.input, preserve=problem.preserve)

    def keeps(units: tuple[int, ...]) -> bool:
        return fresh.keeps_alone(np.isin(np.arange(fresh.units), units))

    return keeps(subset) and not any(keeps(tuple(u for u in subset if u != dropped)) for dropped in subset)


@pytest.mark.parametrize("search", SEARCHES)
def test_every_search_ends_certified(posed: Any, family: str, search: str) -> None:
    for seed in (1, 2, 3):
        problem = posed(family, seed=seed, search=search)
        found = dd_cam(problem)

        assert found.outcome in ("one-minimal", "empty-suffices")
        assert found.certificate.holds
        assert is_minimal(problem, found.subset)
        where = "the contribution matrix" if family in ADDITIVE else "head runs"
        assert found.search == f"{search} on {where}"


def test_auto_is_ordered(posed: Any, family: str) -> None:
    auto, ordered = (find(posed(family, search=search)) for search in ("auto", "ordered"))

    assert auto == ordered
    assert auto.search.startswith("ordered on ")


@pytest.mark.parametrize("search", SEARCHES)
def test_table_and_head_runs_give_the_same_subset(posed: Any, search: str) -> None:
    for family in ADDITIVE:
        problem = posed(family, search=search)

        assert find(problem).subset == find_alone(problem).subset


@pytest.mark.parametrize("search", ["ordered", "ddmin", "units"])
def test_the_same_subset_is_found_in_any_batch(posed: Any, zoo: Any, load_here: Any, family: str, search: str) -> None:
    answers = set()
    for batch in (1, 3, 64):
        model = load_here(zoo.build(family)[0], batch=batch)
        problem = Problem(model, zoo.pictures(1, seed=5), preserve="confidence:0.9", question=Question(search=search))
        answers.add(find(problem).subset)

    assert len(answers) == 1


def broken(problem: Problem, how: Callable[[Table], Table]) -> Problem:
    """Give a problem a table that says something else than its head."""
    problem.__dict__["table"] = how(problem.table)
    return problem


WRONG: dict[str, Callable[[Table], Table]] = {
    "effects of other units": lambda t: Table(t.strengths, np.roll(t.effects, 3, axis=0), t.bias),
    "effects turned round": lambda t: Table(t.strengths, -t.effects, t.bias),
    "effects too large": lambda t: Table(t.strengths, 3 * t.effects, t.bias),
}


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_table_is_noticed_and_the_head_is_asked(posed: Any, search: str, wrong: str) -> None:
    """The certificate refuses what the table gave, and the answer is that of canonical runs alone."""
    fell_back = 0
    for family in ADDITIVE[:3]:
        for seed in (1, 2, 3, 4):
            problem = broken(posed(family, seed=seed, search=search), WRONG[wrong])
            try:
                found = dd_cam(problem)
            except OptionError:
                pytest.fail("a wrong table must not end the search")
            fell_back += found.search == f"{search} on head runs"

            assert found.certificate.holds
            assert is_minimal(problem, found.subset)
    assert fell_back, "no table was wrong enough: the test is blind"


@pytest.mark.parametrize("wrong", WRONG)
def test_a_minimum_of_a_wrong_table_is_not_claimed(posed: Any, wrong: str) -> None:
    """A proof is none where the canonical run refuses its answer; a certified subset must come all the same."""
    refused = 0
    for family in ADDITIVE[:3]:
        for seed in (1, 2, 3, 4):
            problem = broken(posed(family, seed=seed, search="minimum"), WRONG[wrong])
            found = dd_cam(problem)
            refused += "head runs" in found.search

            assert found.certificate.holds
            assert is_minimal(problem, found.subset)
            assert "head runs" not in found.search or found.bound is None
    assert refused, "no table was wrong enough: the test is blind"


def test_head_runs_that_answer_wrongly_are_noticed(posed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The batched head says yes to everything of more than two units."""
    problem = posed("convolutional", search="ddmin")
    monkeypatch.setattr(problem, "keeps", lambda masks: masks.sum(axis=1) > 2)
    assert not is_minimal(problem, find(problem).subset)

    found = dd_cam(problem)

    assert found.certificate.holds
    assert is_minimal(problem, found.subset)


@pytest.mark.parametrize("search", SEARCHES)
def test_a_budget_ends_every_search(posed: Any, search: str) -> None:
    """On the table as on head runs; what comes is kept, but not minimal."""
    for family in ("plain", "hidden"):
        found = find(posed(family, search=search, probes=1, preserve="confidence:0.999"))

        assert found.outcome is Outcome.OUT_OF_BUDGET
        assert found.probes <= 1 + posed(family).units


@pytest.mark.parametrize("family", ["plain", "hidden"])
def test_a_large_budget_changes_nothing(posed: Any, family: str) -> None:
    for search in SEARCHES:
        free, bounded = (find(posed(family, search=search, **more)) for more in ({}, {"probes": 10**6}))

        assert (free.subset, free.outcome) == (bounded.subset, bounded.outcome)


@pytest.mark.parametrize("search", SEARCHES)
def test_necessary_units_lose_the_decision_and_each_of_them_has_to_go(posed: Any, family: str, search: str) -> None:
    problem = posed(family, preserve="top1", search=search, seek="necessary")
    found = dd_cam(problem)
    assert found.outcome in ("one-minimal", "full-fails")
    if found.outcome == "full-fails":
        assert problem.keeps_alone(np.zeros(problem.units, bool))
        return

    def lost(units: tuple[int, ...]) -> bool:
        return not problem.keeps_alone(~np.isin(np.arange(problem.units), units))

    assert found.certificate.holds
    assert lost(found.subset)
    assert not any(lost(tuple(u for u in found.subset if u != kept)) for kept in found.subset)


def test_names_are_checked(posed: Any) -> None:
    with pytest.raises(OptionError, match=r"expected a search auto, .* or minimum, got 'bisect'"):
        find(posed("plain", search="bisect"))
    assert set(NAMES) == {"auto", "minimum", *SEARCHES}


def test_a_minimum_needs_units_that_add_up(posed: Any) -> None:
    with pytest.raises(OptionError, match="expected a head in which units add up for a minimum"):
        find(posed("hidden", search="minimum"))


@pytest.mark.parametrize("family", ADDITIVE)
def test_a_minimum_is_not_larger_than_any_other_answer(posed: Any, family: str) -> None:
    found = dd_cam(posed(family, search="minimum"))

    assert found.certificate.holds
    assert found.bound.least == len(found.subset)
    assert len(found.subset) <= min(len(find(posed(family, search=search)).subset) for search in SEARCHES)


@pytest.mark.parametrize("family", ["plain", "convolutional", "vit"])
def test_further_answers_differ_and_are_certified_too(posed: Any, family: str) -> None:
    problem = posed(family, preserve="top1", count=3)
    found = dd_cam(problem)
    subsets = [found.subset, *(answer.subset for answer in found.others)]

    assert len(set(subsets)) == len(subsets) <= 3
    assert all(is_minimal(problem, subset) for subset in subsets)
    assert all(answer.certificate.holds for answer in found.others)
