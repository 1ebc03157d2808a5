"""A problem answers the same whatever the batch and the threads, and the canonical run has the last word."""

from dataclasses import replace

import numpy as np
import pytest

from ddcam.engine.errors import OptionError, PictureError
from ddcam.engine.head import random_masks
from ddcam.engine.problem import Problem
from ddcam.engine.types import Labels

SOME = ["plain", "hidden", "squeeze_excite", "vit", "mixer"]


@pytest.fixture
def problem(zoo, load_here):
    """Pose a problem on a model of the zoo: `problem(family, wishes of the model, options of the problem)`."""

    def pose(family: str, wishes: dict | None = None, seed: int = 3, **options: str) -> Problem:
        model = load_here(zoo.build(family)[0], **(wishes or {}))
        return Problem(model, zoo.pictures(1, seed=seed), **options)

    return pose


def close(a: np.ndarray, b: np.ndarray) -> None:
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_logits_are_those_of_the_model(zoo, problem, family):
    posed = problem(family)
    [expected] = zoo.run(zoo.build(family, ending="none")[0], {"picture": zoo.pictures(1, seed=3)})

    close(posed.logits, expected[0])
    assert (posed.target, posed.predicate.text) == (expected.argmax(), "top1")
    assert posed.prediction(posed.target).probability == pytest.approx(
        np.exp(expected[0]).max() / np.exp(expected[0]).sum()
    )


@pytest.mark.parametrize("name", SOME)
def test_masks_in_a_batch_are_answered_as_alone(problem, name):
    posed = problem(name)
    masks = random_masks(posed.units, 40)
    masks[0], masks[1] = 1, 0

    together = posed.score(masks)

    close(together, np.stack([posed.score_alone(mask > 0) for mask in masks]))
    close(together, np.concatenate([posed.score(mask[None]) for mask in masks]))
    nothing = posed.split.fixed == () and not masks.any(axis=1).all()
    assert posed.canonical_runs == len(np.unique(masks, axis=0)) - nothing


@pytest.mark.parametrize("name", SOME)
def test_batch_and_threads_change_nothing(problem, name):
    masks = random_masks(16 if name in ("vit", "mixer") else 8, 100)
    answers = [
        problem(name, {"batch": batch, "threads": threads})
        for batch, threads in ((1, 1), (7, 1), (64, 1), (7, 2), (64, 2))
    ]

    assert [a.batch for a in answers] == [1, 7, 64, 7, 64]
    for other in answers[1:]:
        close(other.score(masks), answers[0].score(masks))
        np.testing.assert_array_equal(other.keeps(masks > 0), answers[0].keeps(masks > 0))
        np.testing.assert_array_equal(other.logits, answers[0].logits)


@pytest.mark.parametrize("name", ["plain", "residual", "concatenated", "mixer"])
def test_contributions_add_up_to_any_subset(problem, name):
    posed = problem(name, {"batch": 3})
    table = posed.table
    masks = random_masks(posed.units, 30, seed=9)

    assert (table.matrix.shape, table.bias.shape) == ((posed.units, 5), (5,))
    close(masks @ table.matrix + table.bias, posed.score(masks))
    close(table.logits(masks > 0), posed.score(masks))


@pytest.mark.parametrize("name", ["plain", "mixer"])
def test_contributions_of_the_model_and_of_single_units_agree(problem, name):
    """Strengths times effects, known from the model alone, are what scoring every unit by itself gives."""
    posed = problem(name)
    bias = posed.score_alone(np.zeros(posed.units, bool))

    close(posed.table.matrix, posed._singles(bias))


@pytest.mark.parametrize("units", ["channel", "cell"])
def test_contributions_of_units_that_are_zero_are_zero(problem, units):
    posed = problem("plain", {"units": units})
    dead = [i for i, row in enumerate(posed.by_unit) if not row.any()]
    matrix = posed.table.matrix

    assert posed.by_unit.shape[0] == posed.units
    assert not matrix[dead].any()
    assert matrix.any()


@pytest.mark.parametrize("name", ["hidden", "squeeze_excite", "vit"])
def test_interacting_units_have_no_contributions(problem, name):
    assert problem(name).table is None


@pytest.mark.parametrize("name", ["plain", "vit"])
def test_a_mask_is_run_once_and_none_at_all_once_a_model(zoo, problem, name):
    """Where no token always stays, nothing of the picture is left in the head without its units."""
    posed = problem(name)
    nothing, some = np.zeros(posed.units, bool), np.arange(posed.units) < 3
    runs = posed.canonical_runs
    for mask in (nothing, some, nothing, some.copy()):
        answer = posed.score_alone(mask)

    assert runs == 1, "the full set"
    assert posed.canonical_runs == runs + (2 if posed.split.fixed else 1)
    np.testing.assert_array_equal(answer, posed.score_alone(some))
    np.testing.assert_array_equal(posed.score_alone(nothing), posed._alone.run(nothing[None].astype(np.float32))[0])
    other = Problem(posed.model, zoo.pictures(1, seed=8))
    same = (other.score_alone(nothing) == posed.score_alone(nothing)).all()
    assert same == (not posed.split.fixed)


def test_features_are_shown_by_unit(problem):
    plain, cells, vit = problem("plain"), problem("plain", {"units": "cell"}), problem("vit_registers")

    assert plain.features.shape == cells.features.shape == (8, 4, 4)
    np.testing.assert_array_equal(plain.by_unit, plain.raw[0].reshape(8, 16))
    np.testing.assert_array_equal(cells.by_unit[5], cells.raw[0][:, 1, 1])
    assert (vit.features.shape, vit.by_unit.shape) == ((16, 8), (16, 8))
    np.testing.assert_array_equal(vit.features, vit.raw[0][3:])


def test_features_of_nhwc_models_are_turned(zoo, load_here):
    posed = Problem(load_here(zoo.build("plain", layout="NHWC")[0]), zoo.pictures(1, "NHWC"))

    assert posed.features.shape == (8, 4, 4)
    np.testing.assert_array_equal(posed.features, posed.raw[0].transpose(2, 0, 1))


def test_features_kept_from_an_earlier_run_need_no_picture(problem):
    posed = problem("vit")
    again = Problem(posed.model, None, features=posed.raw)

    np.testing.assert_array_equal(again.logits, posed.logits)
    with pytest.raises(PictureError, match="expected model input or features, got neither"):
        Problem(posed.model, None)


def tied(zoo, load_here) -> Problem:
    """Pose a problem with whole numbers: two classes that differ by one unit, exactly tied without it."""
    draft = zoo.Draft()
    x = draft.add("Relu", draft.conv(draft.picture(), 3, 8, 5, strides=[4, 4]))
    x = draft.add("Greater", [x, draft.constant(-1.0)])
    x = draft.add("Cast", [x], "features", to=1)
    pooled = draft.add("Flatten", draft.add("GlobalAveragePool", x))
    weights = np.ones((5, 8))
    weights[:, 0] = [0, 1, 0, 0, 0]
    draft.add("MatMul", [pooled, draft.constant(weights.T)], "logits")
    return Problem(load_here(draft.model("logits"), split="features"), zoo.pictures(1))


def test_close_probes_go_to_the_canonical_run(zoo, load_here):
    posed = tied(zoo, load_here)
    masks = np.ones((4, 8), bool)
    masks[1, 0] = masks[2, :2] = False
    masks[3, 5] = False
    runs = posed.canonical_runs

    kept = posed.keeps(masks)

    assert posed.target == 1
    assert kept.tolist() == [True, False, False, True], "a tie is a loss"
    assert posed.canonical_runs == runs + 2, "the two ties are asked again, the clear ones are not"


def test_canonical_run_has_the_last_word(zoo, load_here, monkeypatch):
    posed = tied(zoo, load_here)
    masks = np.ones((2, 8), bool)
    masks[1, 0] = False
    monkeypatch.setattr(posed, "keeps_alone", lambda mask: True)

    assert posed.keeps(masks).tolist() == [True, True]


def test_target_by_index_and_name(zoo, problem):
    model = problem("plain").model
    named = replace(model, opened=replace(model.opened, labels=Labels(("cat", "dog", "owl", "fox", "hen"), "")))

    def ask(target: str) -> int:
        return Problem(named, zoo.pictures(1), target=target, preserve="confidence:0.5").target

    assert (ask("3"), ask("owl")) == (3, 2)
    assert Problem(named, zoo.pictures(1)).prediction(1).label == "dog"
    with pytest.raises(OptionError, match="bird"):
        ask("bird")
    with pytest.raises(OptionError, match="7"):
        ask("7")


def test_other_target_needs_a_predicate_that_says_what_to_keep(problem):
    posed = problem("plain")
    other = str((posed.target + 1) % 5)

    with pytest.raises(OptionError, match="top1 keeps the decision"):
        problem("plain", target=other)
    assert problem("plain", target=other, preserve="confidence:0.5").target == int(other)


def test_best_classes_come_first(problem):
    posed = problem("vit")
    top = posed.top(3)

    assert [p.index for p in top] == np.argsort(-posed.logits)[:3].tolist()
    assert [p.logit for p in top] == sorted(posed.logits, reverse=True)[:3]
    assert len(posed.top(99)) == 5
    assert sum(p.probability for p in posed.top(99)) == pytest.approx(1)
    assert top[0].label == f"class {top[0].index}"


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_features_that_are_not_finite_are_refused(problem, value):
    posed = problem("plain")
    broken = posed.raw.copy()
    broken[0, 2, 1, 1] = value

    with pytest.raises(PictureError, match="scores that are not finite for this picture; check --preprocessing"):
        Problem(posed.model, None, features=broken)


def test_picture_that_overflows_is_refused(zoo, problem):
    model = problem("plain").model

    with np.errstate(over="ignore"), pytest.raises(PictureError, match="not finite"):
        Problem(model, zoo.pictures(1) * np.float32(3e38))
