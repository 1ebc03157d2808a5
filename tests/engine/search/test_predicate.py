"""What each predicate keeps: ties, equality, extreme logits, and the rounding band."""

from decimal import Decimal, getcontext
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ddcam.engine.errors import ModelError, OptionError
from ddcam.engine.search.predicate import BAND, parse, predicate, probabilities

SMALL_INTEGERS = hnp.arrays(np.float64, (5, 4), elements=st.integers(-2, 2).map(float))
REALS = hnp.arrays(np.float64, (5, 4), elements=st.floats(-30, 30))


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("top1", "top1", 0),
        ("confidence:0.9", "confidence", 0.9),
        ("confidence:1", "confidence", 1),
        ("topk:5", "topk", 5),
        ("label:0", "label", 0),
        ("label:712", "label", 712),
        ("threshold", "threshold", 0.5),
        ("threshold:0.75", "threshold", 0.75),
        ("multilabel", "multilabel", 0.5),
        ("multilabel:0.25", "multilabel", 0.25),
        ("tolerance:2.5", "tolerance", 2.5),
    ],
)
def test_texts_are_read(text: str, kind: str, value: float) -> None:
    assert parse(text) == (kind, value)


UNKNOWN = (
    "|top|top1:|top1:3|Top1|label:cat|topk|topk:0|topk:-1|topk:2.5|topk:3:4|confidence|confidence:|confidence:0"
    "|confidence:1.01|confidence:-1|confidence:nan|confidence:x|label|label:|label:-1|label:1.5|label:9999999999"
    "|threshold:|threshold:0|threshold:1|threshold:nan|threshold:x|multilabel:|multilabel:0|multilabel:1"
    "|tolerance|tolerance:|tolerance:0|tolerance:-1|tolerance:nan|tolerance:inf|tolerance:x"
)


@pytest.mark.parametrize("text", UNKNOWN.split("|"))
def test_any_other_text_is_refused_and_lists_what_exists(text: str) -> None:
    with pytest.raises(OptionError, match=r"top1, confidence:T \(0 < T <= 1\), topk:K \(K >= 1\), label:NAME, .*E > 0"):
        parse(text)


@pytest.mark.parametrize(
    ("text", "meant"),
    [("confidense:0.9", "confidence:T"), ("topl", "top"), ("TOPK:3", "topk:K"), ("tresh:0.4", "threshold:T")],
)
def test_a_slip_of_the_pen_gets_a_suggestion(text: str, meant: str) -> None:
    with pytest.raises(OptionError, match=f"did you mean {meant}"):
        parse(text)


def test_top1_refuses_a_target_that_is_not_the_decision() -> None:
    with pytest.raises(OptionError, match=r"class 1, but the target is class 0.*topk:K.*confidence:T"):
        predicate("top1", 0, np.array([0.0, 1.0]), "softmax")


@pytest.mark.parametrize(("text", "classes"), [("topk:3", 3), ("topk:4", 3)])
def test_a_predicate_that_no_subset_can_lose_is_refused(text: str, classes: int) -> None:
    with pytest.raises(OptionError, match=f"topk can only be lost with more than {text[-1]} classes.*model has 3"):
        predicate(text, 0, np.zeros(classes), "softmax")


@pytest.mark.parametrize("target", [-1, 3])
def test_a_target_beyond_the_classes_is_refused(target: int) -> None:
    with pytest.raises(OptionError, match="from 0 to 2"):
        predicate("topk:1", target, np.zeros(3), "softmax")


def test_logits_of_the_full_set_must_be_finite() -> None:
    with pytest.raises(ModelError, match="finite"):
        predicate("top1", 0, np.array([1.0, np.nan]), "softmax")


def test_the_full_logits_are_a_frozen_copy() -> None:
    logits = np.array([1.0, 0.0])
    asked = predicate("top1", 0, logits, "softmax")
    logits[0] = -1

    assert asked.full.tolist() == [1, 0]
    assert not asked.full.flags.writeable


@given(SMALL_INTEGERS, st.integers(0, 3))
def test_top1_keeps_exactly_where_the_target_beats_every_rival(logits: Any, target: int) -> None:
    asked = predicate("top1", target, np.eye(4)[target], "softmax")
    expected = [all(row[target] > row[other] for other in range(4) if other != target) for row in logits]

    assert asked.keeps(logits).tolist() == expected
    assert (asked.margins(logits) > 0).tolist() == expected


@given(SMALL_INTEGERS, st.integers(0, 3), st.integers(1, 3))
def test_topk_keeps_exactly_where_fewer_than_k_rivals_reach_the_target(logits: Any, target: int, k: int) -> None:
    asked = predicate(f"topk:{k}", target, np.eye(4)[target], "softmax")
    expected = [sum(row[other] >= row[target] for other in range(4) if other != target) < k for row in logits]

    assert asked.keeps(logits).tolist() == expected
    assert (asked.margins(logits) > 0).tolist() == expected


def exact_probability(logits: Any, target: int, activation: str) -> Decimal:
    """Compute a probability with a hundred digits, enough to see 1 - p where float64 cannot."""
    getcontext().prec = 100
    odds = [Decimal(float(z)).exp() for z in logits]
    return odds[target] / (sum(odds) if activation == "softmax" else 1 + odds[target])


@given(
    REALS,
    hnp.arrays(np.float64, 4, elements=st.floats(-5, 5)),
    st.integers(0, 3),
    st.sampled_from(["softmax", "sigmoid"]),
)
def test_confidence_margin_is_the_difference_of_log_odds(logits: Any, full: Any, target: int, activation: Any) -> None:
    asked = predicate("confidence:0.7", target, full, activation)
    least = Decimal("0.7") * exact_probability(full, target, activation)
    shares = [exact_probability(row, target, activation) for row in logits]
    expected = np.array([float((p / (1 - p)).ln() - (least / (1 - least)).ln()) for p in shares])
    if target == full.argmax():
        expected = np.minimum(expected, logits[:, target] - np.delete(logits, target, axis=1).max(axis=1))

    np.testing.assert_allclose(asked.margins(logits), expected, rtol=1e-9, atol=1e-9)


@given(st.floats(-2000, 2000), st.floats(0.01, 1))
def test_confidence_at_extreme_logits_neither_warns_nor_loses_the_full_set(target: float, share: float) -> None:
    full = np.array([target, 3000.0, -3.0])  # not the decision, so that the probability alone is asked for
    asked = predicate(f"confidence:{share}", 0, full, "softmax")

    assert asked.keeps(full[None]).all()
    assert np.isfinite(asked.margins(full[None])).all()


def test_confidence_of_the_decision_also_keeps_the_decision() -> None:
    full = np.array([0.1, 0.0, 0.0])
    asked = predicate("confidence:0.5", 0, full, "softmax")
    overtaken = np.array([[1.0, 1.1, -9.0]])  # more probable than before, but no longer on top

    assert probabilities(overtaken, "softmax")[0, 0] > probabilities(full, "softmax")[0]
    assert not asked.keeps(overtaken)[0]


def test_confidence_of_another_class_asks_for_its_probability_only() -> None:
    asked = predicate("confidence:0.5", 1, np.array([3.0, 0.0]), "softmax")

    assert asked.keeps(np.array([[3.0, 0.0], [9.0, 0.0], [0.0, 9.0]])).tolist() == [True, False, True]


@given(
    REALS,
    st.sampled_from(["softmax", "sigmoid", "none"]),
    st.sampled_from([np.float32, np.float64]),
    st.booleans(),
)
def test_confidence_1_keeps_the_full_set_in_any_batch_and_layout(
    logits: Any, activation: Any, dtype: Any, column: bool
) -> None:
    rows = np.array(logits, dtype=dtype, order="F" if column else "C")
    for place, full in enumerate(rows):
        rivals = np.sort(full)
        if rivals[-1] == rivals[-2]:
            continue  # a tie at the top is no decision to keep
        asked = predicate("confidence:1", int(full.argmax()), full, activation)

        assert asked.keeps(rows)[place]
        assert asked.keeps(full[None])[0]
        assert asked.close(rows)[place]


@pytest.mark.parametrize("layout", [np.ascontiguousarray, np.asfortranarray])
def test_equality_is_kept_at_a_thousand_classes_and_just_below_is_lost(layout: Any) -> None:
    for seed in range(20):
        full = np.random.default_rng(seed).normal(size=1000)
        target = int(full.argmax())
        asked = predicate("confidence:1", target, full, "softmax")
        less = full - 1e-9 * (np.arange(1000) == target)

        assert asked.keeps(layout(np.stack([less, full, less]))).tolist() == [False, True, False]


@pytest.mark.parametrize("activation", ["softmax", "sigmoid", "none"])
@pytest.mark.parametrize("text", ["top1", "topk:2", "confidence:0.9"])
@pytest.mark.parametrize("size", [1e4, 3e38])
def test_extreme_logits_do_not_overflow(text: str, activation: Any, size: float) -> None:
    asked = predicate(text, 0, np.array([size, -size, 0.0]), activation)
    logits = np.array([[size, -size, 0.0], [-size, size, 0.0]])

    assert asked.keeps(logits).tolist() == [True, False]
    assert np.isfinite(asked.margins(logits)).all()


@pytest.mark.parametrize("text", ["top1", "topk:1", "topk:2", "confidence:0.9"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_nan_is_never_kept_and_left_to_the_canonical_run(text: str, place: int) -> None:
    asked = predicate(text, 0, np.array([9.0, 1.0, 0.0]), "softmax")
    logits = np.array([[9.0, 1.0, 0.0]])
    logits[0, place] = np.nan

    assert not asked.keeps(logits)[0]
    assert asked.close(logits)[0]


def test_infinite_logits_raise_no_warning_and_are_left_to_the_canonical_run() -> None:
    logits = np.array([[np.inf, 0.0, 0.0], [0.0, np.inf, 0.0], [-np.inf, 0.0, -np.inf]])
    for text in ("top1", "topk:2", "confidence:0.9"):
        asked = predicate(text, 0, np.array([9.0, 1.0, 0.0]), "softmax")

        assert asked.close(logits).all()
        assert not asked.keeps(logits)[1:].any()


def test_the_band_grows_with_the_largest_logit() -> None:
    asked = predicate("top1", 0, np.array([1.0, 0.0, 0.0]), "softmax")
    edge = BAND * (1 + 100)
    tops = np.array([1.01 * edge, 0.99 * edge, 0.0, -0.99 * edge, -1.01 * edge])
    logits = np.stack([tops, np.zeros(5), np.full(5, -100.0)], axis=1)

    assert asked.close(logits).tolist() == [False, True, True, True, False]


def test_the_smallest_margin_decides_what_is_close() -> None:
    full = np.array([2.0, 0.0])
    asked = predicate("confidence:1", 0, full, "sigmoid")

    assert asked.close(np.array([[2.0, 9.0]])).tolist() == [False]  # lost to class 1, whatever the probability
    assert asked.close(np.array([[2.0, -9.0]])).tolist() == [True]


@given(REALS, st.sampled_from(["top1", "topk:2", "confidence:0.8"]))
def test_outside_the_band_rounding_cannot_change_an_answer(logits: Any, text: str) -> None:
    asked = predicate(text, 0, np.array([3.0, 0.0, 1.0, -1.0]), "softmax")
    noise = np.random.default_rng(0).choice([-0.4, 0.4], size=logits.shape) * BAND
    sure = ~asked.close(logits)

    assert (asked.keeps(logits) == asked.keeps(logits + noise))[sure].all()


@pytest.mark.parametrize("activation", ["softmax", "none"])
def test_softmax_probabilities_add_up_to_one(activation: Any) -> None:
    shares = probabilities(np.array([[1000.0, 999.0, -1e6], [0.0, 0.0, 0.0]], dtype=np.float32), activation)

    assert shares.dtype == np.float64
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    np.testing.assert_allclose(shares[0], [1 / (1 + np.exp(-1)), 1 / (1 + np.exp(1)), 0])


def test_sigmoid_probabilities_stand_alone() -> None:
    np.testing.assert_allclose(probabilities(np.array([-1e6, 0.0, 1e6]), "sigmoid"), [0, 0.5, 1])


def test_one_sigmoid_output_can_ask_for_confidence() -> None:
    asked = predicate("confidence:0.5", 0, np.array([4.0]), "sigmoid")

    assert asked.keeps(np.array([[4.0], [0.1], [-1.0]])).tolist() == [True, True, False]


def test_one_plain_score_has_no_probability() -> None:
    with pytest.raises(OptionError, match="one plain score"):
        probabilities(np.array([[3.0]]), "none")
    assert probabilities(np.array([[0.0]]), "sigmoid").tolist() == [[0.5]]
