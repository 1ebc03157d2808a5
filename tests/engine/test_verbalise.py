"""Every sentence says what was computed: numbers and names are found again in the arrays, and nothing else is said."""

import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ddcam
from ddcam.engine import METHODS, Model
from ddcam.engine.answer import Attribution, Bound, Certificate, Explanation, Prediction
from ddcam.engine.problem import Problem
from ddcam.engine.types import Placement
from ddcam.engine.verbalise import verbalise
from ddcam.engine.whereabouts import PLACES
from ddcam.models import demo_path, demo_pictures

MAP = re.compile(r"(the [a-z ]+?)(?:: | \(| has most, )(under |over )?(\d+)% of it on (under )?(\d+)%")


@pytest.fixture(scope="module")
def model() -> Model:
    return ddcam.load(demo_path("digits_cnn_interacting"))


@pytest.fixture(scope="module")
def found(model: Model) -> Explanation:
    return ddcam.explain(model, demo_pictures()[0])


def with_map(explanation: Explanation, saliency: np.ndarray) -> Explanation:
    """Give an explanation another map, over the whole of a picture of its size."""
    placement = Placement(*saliency.shape, 0, 0, *saliency.shape)
    attribution = Attribution("grad-cam", saliency, saliency, "")
    return replace(explanation, attribution=attribution, saliency=saliency, placement=placement)


def shares(saliency: np.ndarray, name: str) -> tuple[float, float]:
    """Return the share of a map in a place and the share of the picture that it is, from the pixels."""
    box, (height, width) = PLACES[name], saliency.shape
    rows, columns = (np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / width
    down, across = (rows >= box.top) & (rows < box.bottom), (columns >= box.left) & (columns < box.right)
    pixels = down[:, None] & across
    return float(saliency[pixels].sum(dtype=float) / saliency.sum(dtype=float)), float(pixels.mean())


def disproved(text: str, saliency: np.ndarray) -> list[str]:
    """Recompute every number that a text says of a map; return what is not so."""
    wrong = []
    for name, bound, coverage, _, area in MAP.findall(text):
        held, size = shares(saliency, name)
        if not bound and abs(100 * held - int(coverage)) > 0.51:
            wrong.append(f"{name} holds {held}")
        if abs(100 * size - int(area)) > 0.51:
            wrong.append(f"{name} is {size}")
    best_first = np.sort(saliency, axis=None)[::-1].cumsum(dtype=float)
    least = (np.searchsorted(best_first, best_first[-1] / 2) + 1) / saliency.size
    said = re.search(r"half of it fits on (?:under )?(\d+)%", text)
    if said and abs(100 * least - int(said[1])) > 0.51 and "under" not in said[0]:
        wrong.append(f"half fits on {least}")
    return wrong


@st.composite
def maps(draw) -> np.ndarray:
    """Maps at which a tenth of the pixels or all of them shine, around one to three places."""
    size, rng = (
        draw(st.tuples(st.integers(6, 40), st.integers(6, 40))),
        np.random.default_rng(draw(st.integers(0, 999))),
    )
    rows, columns = np.indices(size)
    saliency = draw(st.sampled_from((0, 0.05, 0.5))) * rng.random(size)
    for _ in range(draw(st.integers(1, 3))):
        distance = np.hypot(rows / size[0] - rng.random(), columns / size[1] - rng.random())
        saliency += np.exp(-((distance / draw(st.sampled_from((0.08, 0.15, 0.4)))) ** 2))
    return (saliency / saliency.max()).astype(np.float32)


@given(saliency=maps())
def test_every_number_of_a_map_is_found_again_in_its_pixels(found, saliency):
    text = verbalise(with_map(found, saliency))

    assert text == verbalise(with_map(found, saliency))
    assert len(MAP.findall(text)) in (1, 2)
    assert "half of it fits on" in text
    assert disproved(text, saliency) == []


def test_a_number_that_is_changed_is_noticed(found):
    """The check above can fail: each number of the sentence about the map is one that it compares."""
    rows, columns = np.indices((40, 40))
    saliency = np.exp(-(((rows - 8) / 9) ** 2) - ((columns - 12) / 9) ** 2).astype(np.float32)
    text = verbalise(with_map(found, saliency))
    before, about = text[: text.index("The grad-cam map")], text[text.index("The grad-cam map") :]
    numbers = list(re.finditer(r"\d+", about))

    assert len(numbers) == 3
    for number in numbers:
        other = f"{about[: number.start()]}{int(number[0]) + 3}{about[number.end() :]}"
        assert disproved(before + other, saliency)
    assert disproved(text.replace("upper left", "lower right"), saliency)


def test_the_decision_is_what_the_model_gave(found):
    first, second = found.top[:2]

    assert found.text.startswith(f"The model decides for {first.label} (")
    assert f"ahead of {second.label} (" in found.text
    assert verbalise(found) == found.text


def test_another_target_is_not_said_to_be_decided_for(model):
    text = ddcam.explain(model, demo_pictures()[0], target="three", preserve="confidence:0.5").text

    assert text.startswith("The model decides for five (")
    assert "; explained is three (" in text


def test_the_rival_is_the_class_that_the_model_decides_for_without_the_unit(model):
    """Asked again from outside: remove each unit of the subset alone, and take the largest logit."""
    picture = ddcam.open_image(demo_pictures()[2])
    explanation = ddcam.explain(model, picture)
    subset = list(explanation.attribution.subset)
    masks = np.zeros((len(subset), model.split.count), np.float32)
    masks[:, subset] = 1
    masks[np.arange(len(subset)), subset] = 0
    rivals = Problem(model, explanation.arrays["input"]).score(masks).argmax(axis=1)
    labels = [model.opened.labels[int(index)] for index in rivals]

    assert explanation.attribution.certificate.decided_without == tuple(rivals)
    assert {prediction.index for prediction in explanation.rivals} == set(map(int, rivals))
    assert all(label in explanation.text for label in [label for label, _ in Counter(labels).most_common(3)])


PALACE, CASTLE, BARN, DOME, SHED = (
    Prediction(i, name, 9.0 - i, 0.5 / (i + 1)) for i, name in enumerate(("palace", "castle", "barn", "dome", "shed"))
)


def told(found: Explanation, decided_without: tuple[int, ...], preserve: str = "top1", **more) -> str:
    """Tell of a subset of as many units as classes are given, each the one decided for without that unit."""
    count = len(decided_without)
    certificate = Certificate(
        sufficient=more.pop("sufficient", True),
        minimal=more.pop("minimal", True),
        empty_keeps=False,
        margin=1.0,
        margin_without=(-1.0,) * count,
        margin_empty=-1.0,
        margin_full=1.0,
        logit=9.0,
        logit_without=(8.0,) * count,
        runs=count + 3,
        decided=more.pop("decided", 0),
        decided_without=decided_without,
    )
    attribution = replace(
        found.attribution,
        subset=tuple(range(count)),
        certificate=certificate,
        outcome=more.pop("outcome", "one-minimal"),
        **more,
    )
    return verbalise(
        replace(
            found,
            top=(PALACE, CASTLE),
            target=PALACE,
            rivals=(CASTLE, BARN, DOME, SHED),
            predicate=preserve,
            attribution=attribution,
        )
    )


@pytest.mark.parametrize(
    ("decided", "preserve", "said"),
    [
        ((1,), "top1", "1 of its 32 channels suffices: with all others removed, it still decides for palace; "
                       "without that one too, castle takes over."),
        ((1, 1), "top1", "2 of its 32 channels suffice: with all others removed, it still decides for palace; "
                         "drop any one of these, and castle takes over."),
        ((1, 2, 1), "top1", "another class takes over: castle for 2 and barn for 1."),
        ((2, 1), "label:palace", "another class takes over: castle or barn."),
        ((1, 2, 3, 4), "top1", "another class takes over: castle, barn, dome or 1 more."),
        ((1, 1, 2, 3, 4), "top1", "another class takes over: castle for 2, barn for 1, dome for 1 and 1 more for 1."),
        ((1, 0), "top1", "another class takes over: castle; 1 leave it level with another."),
        ((0, 0), "top1", "drop any one of these, and it is level with another class."),
        ((0, 0), "confidence:0.9", "with all others removed, palace keeps at least 90% of its probability; drop any "
                                   "one of these, and it falls below that, though no other class takes over."),
        ((1, 1), "confidence:0.9", "and it falls below that and castle takes over."),
        ((0, 1, 1), "confidence:0.9", "and it falls below that, and for 2 of them castle takes over."),
        ((1, 2, 0), "confidence:0.9", "and for 2 of them another class takes over: castle or barn."),
        ((1, 1), "topk:3", "palace stays among the 3 best; drop any one of these, and palace is no longer among the "
                           "3 best."),
        ((0, 0), "multilabel:0.3", "every label stays on its side of 30%; drop any one of these, and some label "
                                   "changes sides."),
        ((0, 0), "threshold:0.4", "the probability of palace stays above 40%; drop any one of these, and the "
                                  "probability of palace falls to 40% or below."),
        ((0, 0), "threshold", "stays at most 50%; drop any one of these, and the probability of palace rises above "
                              "50%."),
        ((0, 0), "tolerance:0.25", "the palace moves by at most 0.25; drop any one of these, and the palace moves by "
                                   "more than 0.25."),
        ((1,) * 32, "top1", "All of its 32 channels are needed: drop any one of these, and castle takes over."),
        ((0,) * 32, "confidence:0.9", "All of its 32 channels are needed: drop any one of these, and palace falls "
                                      "below 90% of its probability, though no other class takes over."),
    ],
)  # fmt: skip
def test_what_happens_without_a_unit(found, decided, preserve, said):
    assert said in told(found, decided, preserve)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"bound": Bound(2, 0.1)}, "2 of its 32 channels suffice, and no fewer do: with all others"),
        ({"bound": Bound(1, 0.1)}, "2 of its 32 channels suffice: with all others"),
        ({"minimal": False, "outcome": "out-of-budget"}, "still decides for palace; some of these may be needless."),
        ({"sufficient": False}, "2 of its 32 channels were found, but asked again the model does not confirm"),
        ({"seek": "necessary", "decided": 1}, "Remove 2 of its 32 channels together, and castle takes over; leave any "
                                              "one of these in, and it still decides for palace."),
        ({"outcome": "empty-suffices"}, "None of its 32 channels is needed: with all of them removed, it still "
                                        "decides for palace."),
        ({"outcome": "full-fails", "seek": "necessary"}, "That does not rest on its 32 channels: with all of them"),
    ],
)  # fmt: skip
def test_other_outcomes_are_said_as_they_are(found, more, said):
    assert said in told(found, (1, 1), **more)


@pytest.mark.parametrize("saliency", [np.zeros((8, 8), np.float32), np.ones((8, 8), np.float32)])
def test_a_blank_map_says_so(found, saliency):
    assert verbalise(with_map(found, saliency)).endswith("The map is blank and marks no place.")


def test_a_map_that_is_spread_out_says_so_and_names_what_it_has(found):
    saliency = (0.5 + 0.5 * np.random.default_rng(0).random((64, 64))).astype(np.float32)
    text = verbalise(with_map(found, saliency))

    assert "is spread out and no place has much more than its share (the " in text
    assert "lies" not in text


def test_a_map_in_small_parts_all_over_is_scattered(found):
    saliency = np.zeros((60, 60), np.float32)
    saliency[2::10, 2::10] = 1
    text = verbalise(with_map(found, saliency))

    assert "The grad-cam map is scattered and no place has much more than its share (" in text
    assert text.endswith("; half of it fits on under 1%.")


def test_a_picture_that_was_cropped_is_said_to_be(found):
    """Half of the picture was not seen; a map over all that was seen is no map of the middle."""
    saliency = np.zeros((20, 40), np.float32)
    saliency[:, 10:20] = 1
    part = replace(with_map(found, saliency), placement=Placement(20, 40, 0, 10, 20, 30))
    text = verbalise(part)

    assert text.startswith("The model saw 50% of the picture and decides for five (")
    assert text.endswith(
        "The grad-cam map lies mostly in the left half: 100% of it on 50% of what it saw; half of it fits on 25%."
    )


def test_negative_scores_are_mentioned_where_they_are_not_drawn(found):
    scores = np.array([[3.0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, -1.0]], np.float32)
    signed = replace(
        with_map(found, np.maximum(scores, 0)), attribution=Attribution("lime", scores, np.maximum(scores, 0), "")
    )

    assert verbalise(signed).endswith("; negative scores, 25% of all by size, are not drawn.")
    assert "negative" not in verbalise(with_map(found, np.maximum(scores, 0)))


def test_a_map_that_hardly_depends_on_the_class_says_so(model):
    text = ddcam.explain(model, demo_pictures()[0], method="eigen-cam").text

    assert METHODS["eigen-cam"].facts.sees_class == "no"
    assert "The eigen-cam map, which hardly depends on the class, " in text
