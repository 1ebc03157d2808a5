"""The kinds of predicates: which heads and decisions they fit, and what exactly each of them keeps."""

from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ddcam.engine.errors import OptionError
from ddcam.engine.search.predicate import BAND, KINDS, predicate, probabilities, require_fit

SMALL_INTEGERS = hnp.arrays(np.float64, (5, 4), elements=st.integers(-2, 2).map(float))
REALS = hnp.arrays(np.float64, (5, 4), elements=st.floats(-30, 30))

MISFITS = [
    ("top1", 1, "sigmoid", "top1 compares classes, but the model has one score: ask for threshold"),
    ("top1", 1, "none", "top1 compares classes, but the model has one score: ask for tolerance:E"),
    ("topk:1", 1, "sigmoid", "topk compares classes"),
    ("label:0", 1, "none", "label compares classes"),
    ("label:3", 3, "softmax", "label names no class of the model: its classes are 0 to 2"),
    ("confidence:0.9", 1, "none", "confidence needs a probability.*ask for tolerance:E"),
    ("confidence:0.9", 1, "softmax", "confidence needs a probability"),
    ("threshold", 1, "none", "threshold needs scores that end in a sigmoid.*ask for tolerance:E"),
    ("threshold:0.3", 3, "softmax", "threshold needs scores that end in a sigmoid.*ask for confidence:T"),
    ("multilabel", 3, "softmax", "multilabel needs scores that end in a sigmoid.*ask for confidence:T"),
    ("multilabel:0.3", 3, "none", "multilabel needs scores that end in a sigmoid"),
]


@pytest.mark.parametrize(("text", "count", "activation", "message"), MISFITS)
def test_a_predicate_that_makes_no_sense_for_a_head_is_refused(
    text: str, count: int, activation: Any, message: str
) -> None:
    with pytest.raises(OptionError, match=message):
        require_fit(text, count, activation)
    with pytest.raises(OptionError, match=message):
        predicate(text, 0, np.eye(count)[0], activation)


FITTING = [
    ("top1", 2, "none"),
    ("confidence:0.9", 1, "sigmoid"),
    ("threshold", 1, "sigmoid"),
    ("threshold:0.1", 4, "sigmoid"),
    ("multilabel", 1, "sigmoid"),
    ("multilabel", 4, "sigmoid"),
    ("tolerance:1", 1, "none"),
    ("tolerance:1", 1, "sigmoid"),
    ("tolerance:1", 4, "softmax"),
]


@pytest.mark.parametrize(("text", "count", "activation"), FITTING)
def test_a_predicate_that_fits_holds_for_the_full_set(text: str, count: int, activation: Any) -> None:
    full = np.linspace(1.5, -1.5, count)

    assert predicate(text, 0, full, activation).keeps(full[None]).all()


def test_label_refuses_a_class_that_is_not_the_decision() -> None:
    with pytest.raises(OptionError, match=r"decision for class 0, but the model decides for class 1.*topk:K"):
        predicate("label:0", 1, np.array([0.0, 1.0]), "softmax")


def test_topk_refuses_a_target_that_is_not_among_the_best() -> None:
    full = np.array([3.0, 1.0, 2.0, 1.0])
    with pytest.raises(OptionError, match="among the 2 best, but class 1 is number 4 of 4: ask for a larger K"):
        predicate("topk:2", 1, full, "softmax")
    assert predicate("topk:2", 2, full, "softmax").keeps(full[None]).all()


@pytest.mark.parametrize("text", ["topk:2", "label:1", "confidence:0.5", "threshold:0.6", "tolerance:1"])
def test_a_target_that_is_not_on_top_can_be_asked_about(text: str) -> None:
    full = np.array([1.0, 2.0, -1.0])

    assert predicate(text, 0, full, "sigmoid").keeps(full[None]).all()


@given(SMALL_INTEGERS, st.integers(0, 3), st.integers(0, 3))
def test_label_asks_what_top1_asks_of_that_class(logits: Any, label: int, target: int) -> None:
    asked = predicate(f"label:{label}", target, np.eye(4)[label], "softmax")
    expected = predicate("top1", label, np.eye(4)[label], "softmax")

    assert asked.target == target
    assert asked.margins(logits).tolist() == expected.margins(logits).tolist()


@given(SMALL_INTEGERS, st.integers(-2, 2).map(float), st.integers(0, 3))
def test_threshold_keeps_the_side_and_one_half_is_below_it(logits: Any, full: float, target: int) -> None:
    asked = predicate("threshold", target, np.full(4, full), "sigmoid")
    expected = [(row[target] > 0) == (full > 0) for row in logits]

    assert asked.keeps(logits).tolist() == expected
    assert np.abs(asked.margins(logits)).tolist() == np.abs(logits[:, target]).tolist()


@given(REALS, st.sampled_from([0.01, 0.3, 0.9]), st.floats(-5, 5), st.integers(0, 3))
def test_threshold_margin_is_the_distance_in_log_odds(logits: Any, share: float, full: float, target: int) -> None:
    asked = predicate(f"threshold:{share}", target, np.full(4, full), "sigmoid")
    odds = Decimal(share) / (1 - Decimal(share))
    above = logits[:, target] - float(odds.ln())
    side = 1 if probabilities(np.array([full]), "sigmoid")[0] > share else -1

    np.testing.assert_allclose(asked.margins(logits), side * above, rtol=1e-9, atol=1e-9)


@given(SMALL_INTEGERS, hnp.arrays(np.float64, 4, elements=st.integers(-2, 2).map(float)))
def test_multilabel_keeps_exactly_the_same_set_of_labels(logits: Any, full: Any) -> None:
    asked = predicate("multilabel", 0, full, "sigmoid")
    expected = [set(np.flatnonzero(row > 0)) == set(np.flatnonzero(full > 0)) for row in logits]

    assert asked.keeps(logits).tolist() == expected


@given(REALS, hnp.arrays(np.float64, 4, elements=st.floats(-5, 5)), st.sampled_from([0.2, 0.5, 0.8]))
def test_multilabel_margin_is_the_smallest_threshold_margin(logits: Any, full: Any, share: float) -> None:
    asked = predicate(f"multilabel:{share}", 0, full, "sigmoid")
    each = [predicate(f"threshold:{share}", c, full, "sigmoid").margins(logits) for c in range(4)]

    assert asked.margins(logits).tolist() == np.min(each, axis=0).tolist()


@given(SMALL_INTEGERS, st.integers(-2, 2).map(float), st.sampled_from([0.5, 1.0, 2.0]))
def test_tolerance_keeps_what_lies_within_it(logits: Any, full: float, distance: float) -> None:
    asked = predicate(f"tolerance:{distance}", 2, np.full(4, full), "none")
    gaps = np.abs(logits[:, 2] - full)

    assert asked.keeps(logits).tolist() == (gaps <= distance).tolist()
    assert asked.margins(logits).tolist() == (distance - gaps).tolist()


ONE_SCORE = ["threshold", "threshold:0.8", "multilabel", "tolerance:0.5"]


@pytest.mark.parametrize("text", ONE_SCORE)
@pytest.mark.parametrize("full", [-1e4, -0.3, 0.0, 0.3, 3e38])
def test_the_full_set_of_one_score_is_kept_at_any_size(text: str, full: float) -> None:
    asked = predicate(text, 0, np.array([full]), "sigmoid")

    assert asked.keeps(np.array([[full]])).all()
    assert np.isfinite(asked.margins(np.array([[full], [-full]]))).all()


@pytest.mark.parametrize("text", ONE_SCORE)
def test_a_score_that_is_not_finite_is_left_to_the_canonical_run(text: str) -> None:
    asked = predicate(text, 0, np.array([2.0]), "sigmoid")

    assert asked.close(np.array([[np.nan], [np.inf], [-np.inf]])).all()
    assert not asked.keeps(np.array([[np.nan], [-np.inf]])).any()


@pytest.mark.parametrize(("text", "edge"), [("threshold", 0.0), ("tolerance:0.5", 2.5), ("tolerance:0.5", 1.5)])
def test_scores_near_the_edge_are_close(text: str, edge: float) -> None:
    asked = predicate(text, 0, np.array([2.0]), "sigmoid")
    steps = np.array([-1.01, -0.99, 0.99, 1.01]) * BAND * (1 + abs(edge)) * (1 + 1e-3 * np.array([-1, -1, 1, 1]))

    assert asked.close((edge + steps)[:, None]).tolist() == [False, True, True, False]


@given(REALS, st.sampled_from(["threshold:0.6", "multilabel", "tolerance:0.7", "label:0"]))
def test_outside_the_band_rounding_cannot_change_an_answer_of_the_newer_kinds(logits: Any, text: str) -> None:
    asked = predicate(text, 2, np.array([3.0, 0.0, 1.0, -1.0]), "sigmoid")
    noise = np.random.default_rng(0).choice([-0.4, 0.4], size=logits.shape) * BAND
    sure = ~asked.close(logits)

    assert (asked.keeps(logits) == asked.keeps(logits + noise))[sure].all()


def test_a_unit_is_weighed_by_the_logit_where_losing_means_that_it_fell() -> None:
    weighed = {kind for kind, known in KINDS.items() if known.weighs == "logit"}

    assert weighed == {"top1", "topk", "confidence", "label"}
    assert predicate("tolerance:1", 0, np.zeros(1), "none").weighs == "margin"
