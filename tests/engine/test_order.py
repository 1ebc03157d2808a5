"""The order of units is a permutation with the useful ones first, made the way that the costs call for."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import numpy_helper

from ddcam.engine.graph.surrogate import multiplications
from ddcam.engine.model import Model
from ddcam.engine.order import LEAST, SHARE, guess_effects, removals, useful_by_removal, useful_first
from ddcam.engine.probes import Size
from ddcam.engine.problem import Problem
from ddcam.engine.search.predicate import predicate
from ddcam.engine.search.worth import MOST, Worth, worth


@given(st.lists(st.integers(0, 3) | st.floats(-9, 9), min_size=1, max_size=60))
def test_useful_units_come_first_and_equal_ones_in_index_order(scores: list[float]) -> None:
    order = useful_first(np.array(scores, float)).tolist()

    assert order == sorted(range(len(scores)), key=lambda unit: (-scores[unit], unit))


def test_a_change_of_logits_is_worth_the_sum_of_its_classes_and_of_their_mean() -> None:
    rows = np.array([[1.0, 2, 4, 5], [0, 0, 0, 4]])

    assert Worth(np.array([1, 3]), np.array([1.0, -0.5])).of(rows).tolist() == [-0.5, -2]
    assert Worth(np.array([1, 3]), np.array([1.0, -0.5]), 2.0).of(rows).tolist() == [5.5, 0]


@pytest.mark.parametrize("text", ["top1", "confidence:0.9", "topk:2"])
def test_rivals_count_by_how_near_they_come_and_all_classes_alike_are_worth_nothing(text: str) -> None:
    full = np.random.default_rng(0).normal(0, 2, 40)
    target = int(full.argmax())
    found = worth(predicate(text, target, full, "softmax"), np.zeros(40))

    rivals = np.argsort(np.where(np.arange(40) == target, np.inf, -full), kind="stable")
    assert (found.classes[-1], found.weights[-1]) == (target, 1)
    assert set(found.classes[:-1].tolist()) == set(rivals[:MOST].tolist())
    assert len(found.classes) == 1 + MOST
    assert (found.weights[:-1] < 0).all()
    assert found.weights.sum() + found.rest == pytest.approx(0), "a shift of all logits changes no decision"


@pytest.fixture
def posed(zoo: Any, load_here: Any) -> Callable[..., Problem]:
    def pose(family: str, *, size: int | None = None, preserve: str = "top1", **wishes: Any) -> Problem:
        model: Model = load_here(zoo.build(family)[0], **wishes)
        if size is not None:
            model = replace(model, probe=replace(model.probe, size=Size(size, 1)))
        return Problem(model, zoo.pictures(1, seed=3), preserve=preserve)

    return pose


def weighed(problem: Problem) -> Worth:
    return worth(problem.predicate, problem.score_alone(np.zeros(problem.units, bool)))


FREE, DEAR = 0, 10**12
"""Multiplications of a probe that costs nothing, and of one that is never worth while."""


def test_every_family_gets_an_order_of_all_its_units(posed: Any, family: str) -> None:
    for size in (FREE, DEAR, None):
        problem = posed(family, size=size)

        assert sorted(problem.order.tolist()) == list(range(problem.units))


def test_as_many_units_are_removed_as_a_share_of_a_prediction_pays_for(posed: Any) -> None:
    model = posed("hidden").model
    graph = model.opened.graph.proto.graph
    paid = SHARE * multiplications(graph, list(graph.node), model.opened.measured.values)
    units = model.split.count

    def afforded(size: float) -> int:
        return posed("hidden", size=int(size)).model.removals

    assert units < LEAST, "all of so few units, or none"
    assert afforded(paid / units) == afforded(FREE) == units
    assert afforded(paid / units + 1) == afforded(DEAR) == 0


def test_the_strongest_of_many_units_are_removed_and_too_few_are_not(posed: Any) -> None:
    model = posed("concatenated").model
    graph = model.opened.graph.proto.graph
    paid = SHARE * multiplications(graph, list(graph.node), model.opened.measured.values)
    assert model.split.count == 19 > LEAST

    afforded = {count: posed("concatenated", size=int(paid / count)).model.removals for count in (15, 16, 17, 19, 40)}
    assert afforded == {15: 0, 16: 16, 17: 17, 19: 19, 40: 19}


def test_masks_that_go_one_at_a_time_are_too_dear_for_removals(posed: Any) -> None:
    model = posed("hidden", size=FREE).model

    assert model.removals
    assert not replace(model, probe=replace(model.probe, batchable=False)).removals


@pytest.mark.parametrize("batch", [3, 64])
def test_removals_are_the_worth_of_the_falling_logits(posed: Any, batch: int) -> None:
    problem = posed("hidden", batch=batch)
    tried = np.array([6, 1, 4, 0, 7])
    found = removals(problem.model.bind(problem.raw), problem.logits, weighed(problem), tried, problem.units)
    without = np.stack([problem.score_alone(np.arange(problem.units) != unit) for unit in tried])

    np.testing.assert_allclose(found, weighed(problem).of(problem.logits - without), rtol=1e-4, atol=1e-4)


def test_units_that_cost_something_come_first_and_those_that_cost_nothing_last() -> None:
    costs, tried = np.array([-1.0, 3, 0, 3, 5]), np.array([6, 1, 4, 0, 7])
    strongest = np.array([6, 1, 4, 0, 7, 3, 2, 5])

    assert useful_by_removal(costs, tried, strongest).tolist() == [7, 1, 0, 3, 2, 5, 4, 6]


@pytest.mark.parametrize("family", ["hidden", "vit", "convnext"])
def test_the_order_by_removal_counts_its_probes(posed: Any, family: str) -> None:
    problem = posed(family, size=FREE)
    strongest = useful_first(np.abs(problem.model.probe.strengths(problem.prepared)))
    costs = removals(problem.model.bind(problem.raw), problem.logits, weighed(problem), strongest, problem.units)

    assert problem.order.tolist() == useful_by_removal(costs, strongest, strongest).tolist()
    assert problem.order_probes == problem.model.removals == problem.units


@pytest.mark.parametrize("family", ["plain", "vit", "convolutional", "hidden"])
def test_other_orders_cost_no_probe(posed: Any, family: str) -> None:
    problem = posed(family, size=DEAR)
    problem.order  # noqa: B018 - made here

    assert problem.order_probes == 0


@pytest.mark.parametrize("wishes", [{}, {"units": "cell"}])
@pytest.mark.parametrize("family", ["plain", "residual"])
def test_where_units_add_up_the_order_is_that_of_the_table(posed: Any, family: str, wishes: dict[str, Any]) -> None:
    """Whether the effects are known from the model (channels) or every unit was scored alone (cells)."""
    problem = posed(family, size=FREE, **wishes)
    expected = weighed(problem).of(problem.table.matrix)

    assert (np.diff(expected[problem.order]) <= 1e-5).all()
    assert problem.order_probes == 0


def test_the_most_useful_unit_of_an_additive_head_raises_the_target_over_its_rivals(posed: Any) -> None:
    problem = posed("plain")
    first, last = problem.order[0], problem.order[-1]
    matrix = problem.table.matrix
    gain = matrix[:, problem.target] - np.delete(matrix, problem.target, axis=1).mean(axis=1)

    assert gain[first] > 0
    assert gain[first] > gain[last]


def test_the_strengths_of_channels_are_their_means(posed: Any) -> None:
    for problem in (posed("squeeze_excite"), posed("convolutional"), posed("plain")):
        strengths = problem.model.probe.strengths(problem.prepared)

        np.testing.assert_allclose(strengths, problem.by_unit.mean(axis=1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("family", "units"), [("convolutional", "cell"), ("hidden", "cell"), ("mixer", "token")])
def test_the_strengths_of_cells_and_tokens_are_their_lengths(posed: Any, family: str, units: str) -> None:
    problem = posed(family, units=units)
    strengths = problem.model.probe.strengths(problem.prepared)

    np.testing.assert_allclose(strengths, np.linalg.norm(problem.by_unit, axis=1), rtol=1e-4, atol=1e-5)


def test_tokens_that_always_stay_have_no_strength(posed: Any) -> None:
    for family in ("vit_registers", "vit_mean", "mixer"):
        problem = posed(family)

        assert problem.model.probe.strengths(problem.prepared).shape == (problem.units,)


def guessed(model: Model) -> Any:
    return guess_effects(model.opened, model.probe, model.batch)


@pytest.mark.parametrize("family", ["plain", "residual", "concatenated"])
def test_guessed_effects_are_the_real_ones_on_a_linear_head(posed: Any, family: str) -> None:
    model = posed(family).model

    np.testing.assert_allclose(guessed(model), model.unit_effects, rtol=1e-4, atol=1e-5)


def weights_of(model: Model, *shapes: tuple[int, ...]) -> list[np.ndarray]:
    tensors = model.opened.graph.proto.graph.initializer
    return [numpy_helper.to_array(next(t for t in tensors if tuple(t.dims) == shape)) for shape in shapes]


def test_a_convolution_to_the_classes_is_its_own_guess(posed: Any) -> None:
    """SqueezeNet: the weights of the 1x1 convolution, whatever bends behind it."""
    model = posed("convolutional").model
    [weights] = weights_of(model, (5, 8, 1, 1))

    np.testing.assert_array_equal(guessed(model), weights[:, :, 0, 0].T)


def test_guessed_effects_of_a_bent_head_are_those_of_its_layers(posed: Any) -> None:
    """MobileNetV3: two layers with HardSwish between them."""
    model = posed("squeeze_excite").model
    first, second = weights_of(model, (16, 8, 1, 1), (5, 16))

    np.testing.assert_allclose(guessed(model), (second @ first[:, :, 0, 0]).T, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family", ["convolutional", "squeeze_excite"])
def test_the_order_of_a_bent_head_is_that_of_strengths_times_guessed_effects(posed: Any, family: str) -> None:
    problem = posed(family, size=DEAR)
    strengths = problem.model.probe.strengths(problem.prepared)
    expected = weighed(problem).of(strengths[:, None] * guessed(problem.model))

    assert (np.diff(expected[problem.order]) <= 1e-5).all()


@pytest.mark.parametrize("family", ["vit", "hidden", "convnext"])
def test_effects_are_not_guessed_where_units_are_no_single_numbers_or_more_bends(posed: Any, family: str) -> None:
    """The order still comes from the strengths."""
    problem = posed(family, size=DEAR)

    assert guessed(problem.model) is None
    strengths = problem.model.probe.strengths(problem.prepared)
    assert problem.order.tolist() == useful_first(np.abs(strengths)).tolist()
