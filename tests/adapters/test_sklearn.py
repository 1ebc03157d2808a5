"""Estimators on flattened pixels go in, and the model that comes out predicts what they predict."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

import ddcam
from ddcam.engine.errors import ModelError, OptionError
from ddcam.engine.preprocess import from_pixels, prepare
from ddcam.engine.problem import Problem
from ddcam.engine.search.predicate import probabilities
from ddcam.engine.types import Picture

pytest.importorskip("skl2onnx")
load = pytest.importorskip("ddcam.adapters.sklearn").load

PIXELS, CLASSES = load_digits(return_X_y=True)
SHOWN = PIXELS[1500:1520]
INK = {"preprocessing": {"scale": 16 / 255, "mean": 0.0, "std": 1.0}}
ESTIMATORS = {
    "linear": LogisticRegression(max_iter=20),
    "layers behind a scaler": make_pipeline(StandardScaler(), PCA(20), MLPClassifier((32,), max_iter=30, tol=1)),
    "trees": RandomForestClassifier(20, random_state=0),
    "neighbours": KNeighborsClassifier(3),
    "a search": GridSearchCV(KNeighborsClassifier(), {"n_neighbors": [3]}, cv=2),
}
pytestmark = [pytest.mark.oracle, pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")]


def fitted(estimator: Any, pixels: np.ndarray = PIXELS, classes: np.ndarray = CLASSES) -> Any:
    return estimator.fit(pixels[:1000], classes[:1000])


def picture(row: np.ndarray, *shape: int) -> Picture:
    """Draw a row of 0..16 exactly: 255 is no multiple of 16, so it is drawn and read back."""
    return from_pixels(np.rint(row.reshape(shape or (8, 8)) * (255 / 16)).astype(np.uint8))


def logits(model: ddcam.Model, shown: Picture) -> np.ndarray:
    inputs, _ = prepare(shown, model.opened.preprocessing, model.opened.picture)
    return Problem(model, inputs, preserve="tolerance:1" if model.opened.logits.classes == 1 else None).logits


@pytest.mark.parametrize("name", ESTIMATORS)
def test_predictions_are_those_of_the_estimator(name: str) -> None:
    estimator = fitted(ESTIMATORS[name])
    model = load(estimator, (8, 8), **INK)
    ours = np.array([probabilities(logits(model, picture(row)), model.opened.logits.activation) for row in SHOWN])
    theirs = estimator.predict_proba(np.rint(SHOWN * (255 / 16)) * (16 / 255))

    assert model.split.units == "patch"
    assert (ours.argmax(1) == theirs.argmax(1)).all()
    assert np.abs(ours - theirs).max() <= 1e-4


def test_values_and_decisions_are_those_of_the_estimator() -> None:
    value, decision = fitted(RandomForestRegressor(10, random_state=0)), fitted(LinearSVC(max_iter=20))
    models = [load(estimator, (8, 8), **INK) for estimator in (value, decision)]
    rows = np.rint(SHOWN * (255 / 16)) * (16 / 255)
    ours = [np.array([logits(model, picture(row)) for row in SHOWN]) for model in models]

    np.testing.assert_allclose(ours[0][:, 0], value.predict(rows), rtol=1e-5)
    np.testing.assert_allclose(ours[1], decision.decision_function(rows), atol=1e-4)


def test_the_exported_file_gives_the_same_explanation(tmp_path: Path) -> None:
    row = 1501
    words = np.array(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"])
    model = load(fitted(ESTIMATORS["linear"], classes=words[CLASSES]), (8, 8), file=tmp_path / "digits.onnx", **INK)
    again = ddcam.load(tmp_path / "digits.onnx")
    ours, theirs = (ddcam.explain(each, picture(PIXELS[row]), preserve="confidence:0.9") for each in (model, again))

    assert ours.target.label == words[CLASSES[row]]
    assert ours.target == theirs.target
    assert ours.model == theirs.model
    assert ours.attribution.certain == "certified 1-minimal"
    assert ours.attribution.subset == theirs.attribution.subset
    np.testing.assert_array_equal(ours.saliency, theirs.saliency)


@pytest.mark.parametrize("shape", [(4, 16, 3), (3, 4, 16)])
def test_colours_stay_in_the_order_in_which_they_were_flattened(shape: tuple[int, ...]) -> None:
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (60, *shape)).astype(np.uint8)
    classes = (pixels.reshape(60, -1)[:, :96].mean(1) > 127).astype(int)
    estimator = fitted(LogisticRegression(C=1e-5), pixels.reshape(60, -1).astype(np.float64), classes)
    model = load(estimator, shape, preprocessing="raw")
    first = pixels[0] if shape[-1] == 3 else np.moveaxis(pixels[0], 0, 2)
    ours = probabilities(logits(model, from_pixels(first)), model.opened.logits.activation)

    np.testing.assert_allclose(ours, estimator.predict_proba(pixels[:1].reshape(1, -1))[0], atol=1e-4)


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ((64,), r"expected the shape \(H, W\), .* got \(64,\)"),
        ((8, 8, 2), r"got \(8, 8, 2\)"),
        ((8, 9), r"a picture of 64 numbers.* got \(8, 9\)"),
    ],
)
def test_a_shape_that_is_no_picture_is_refused(shape: tuple[int, ...], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        load(fitted(ESTIMATORS["neighbours"]), shape)


def test_what_has_no_probabilities_for_two_classes_is_refused() -> None:
    with pytest.raises(ModelError, match="LinearSVC gives one decision value for two classes"):
        load(fitted(LinearSVC(max_iter=5), classes=CLASSES > 4), (8, 8))


def test_what_cannot_be_converted_is_refused_in_one_line() -> None:
    class Own(LogisticRegression):
        pass

    with pytest.raises(ModelError, match=r"^skl2onnx cannot convert Own: ") as found:
        load(fitted(Own(max_iter=2)), (8, 8))
    assert "\n" not in str(found.value)
