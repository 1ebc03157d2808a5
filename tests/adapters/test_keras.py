"""A Keras model goes in, and the model that comes out predicts what Keras predicts."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cuts import pictures

import ddcam
from ddcam.engine.errors import OptionError
from ddcam.engine.preprocess import prepare
from ddcam.engine.problem import Problem
from ddcam.engine.search.predicate import probabilities

os.environ.setdefault("KERAS_BACKEND", "torch")
keras = pytest.importorskip("keras", exc_type=ImportError)
load = pytest.importorskip("ddcam.adapters.keras").load
pytestmark = [
    pytest.mark.oracle,
    pytest.mark.filterwarnings("ignore:::keras"),
    pytest.mark.filterwarnings("ignore:::torch"),
]
SIZE = 32


def network(ending: str | None = "softmax", *, rescaling: bool = True, nested: bool = False) -> Any:
    """Make a random network of Keras' usual layers, whose statistics are no longer the initial ones."""
    keras.utils.set_random_seed(0)
    of = keras.layers
    body = [
        of.Conv2D(16, 3, strides=2, padding="same", name="first"),
        of.BatchNormalization(name="norm"),
        of.Activation("relu", name="act"),
        of.Conv2D(24, 3, activation="relu", padding="same", name="second"),
        of.MaxPooling2D(name="small"),
    ]
    inputs = keras.Input((SIZE, SIZE, 3))
    features = of.Rescaling(1 / 127.5, -1)(inputs) if rescaling else inputs
    if nested:
        features = keras.Sequential(body, name="backbone")(features)
    else:
        for layer in body:
            features = layer(features)
    pooled = of.Dropout(0.3)(of.GlobalAveragePooling2D(name="pooled")(features))
    wide = keras.initializers.RandomNormal(stddev=3.0, seed=1)
    scores = of.Dense(1 if ending == "sigmoid" else 10, activation=ending, kernel_initializer=wide)(pooled)
    model = keras.Model(inputs, scores, name="small_net")
    body[1].moving_mean.assign(np.linspace(-0.3, 0.3, 16))
    body[1].moving_variance.assign(np.linspace(0.5, 2, 16))
    return model


def by_keras(model: Any, rescaling: bool) -> np.ndarray:
    pixels = np.stack([picture.pixels for picture in pictures(SIZE)]).astype(np.float32)
    return keras.ops.convert_to_numpy(model(pixels if rescaling else pixels / 255, training=False))


def by_ddcam(model: ddcam.Model) -> np.ndarray:
    ready = [prepare(picture, model.opened.preprocessing, model.opened.picture)[0] for picture in pictures(SIZE)]
    return np.stack([probabilities(Problem(model, inputs).logits, model.opened.logits.activation) for inputs in ready])


@pytest.mark.parametrize(
    ("ending", "rescaling", "nested"),
    [("softmax", True, False), ("sigmoid", False, False), (None, False, False), ("softmax", True, True)],
)
def test_predictions_are_those_of_keras(ending: str | None, rescaling: bool, nested: bool) -> None:
    network_ = network(ending, rescaling=rescaling, nested=nested)
    model = load(network_, preprocessing="raw" if rescaling else "unit")
    ours, theirs = by_ddcam(model), by_keras(network_, rescaling)
    if ending is None:
        theirs = probabilities(theirs, "none")

    assert model.opened.logits.activation == (ending or "none")
    assert model.opened.picture.layout == "NHWC"
    assert model.opened.picture.free_batch
    assert (ours.argmax(1) == theirs.argmax(1)).all()
    assert np.abs(ours - theirs).max() <= 1e-4


def test_the_exported_file_gives_the_same_explanation(tmp_path: Path) -> None:
    names = [f"thing {i}" for i in range(10)]
    model = load(network(), file=tmp_path / "net.onnx", labels=names, preprocessing="raw")
    again = ddcam.load(tmp_path / "net.onnx")
    ours, theirs = (ddcam.explain(each, pictures(SIZE)[0], preserve="confidence:0.9") for each in (model, again))

    assert ours.model == theirs.model
    assert ours.target == theirs.target
    assert ours.attribution.subset == theirs.attribution.subset
    np.testing.assert_array_equal(ours.saliency, theirs.saliency)


def test_a_layer_is_found_in_the_graph_by_its_output() -> None:
    model = load(network(), split="act", preprocessing="raw")

    assert model.split.count == 16
    assert model.split.grid == (16, 16)


def test_a_layer_that_cannot_be_split_at_is_refused_with_those_that_can() -> None:
    with pytest.raises(OptionError, match=r"output of 'pooled' \[1, 24\].* are .*act, second, small$"):
        load(network(), split="pooled", preprocessing="raw")
    with pytest.raises(OptionError, match=r"^small_net has no layer 'secnd' .* near are second"):
        load(network(), split="secnd", preprocessing="raw")


def test_the_model_stays_in_its_mode() -> None:
    model = network()
    if keras.backend.backend() != "torch":
        pytest.skip("only with the PyTorch backend has a Keras model a mode")
    model.train()
    load(model, preprocessing="raw")

    assert all(part.training for part in model.modules())


def test_what_takes_no_picture_is_refused() -> None:
    flat = keras.Sequential([keras.Input((64,)), keras.layers.Dense(10)], name="flat")

    with pytest.raises(OptionError, match=r"expected a Keras model of one picture .* flat takes \(None, 64\)"):
        load(flat)
