"""Compare a transformed graph with the original on real photographs before it is believed."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import CheckError
from .preprocess import from_pixels, prepare, sample_arrays
from .search.predicate import probabilities
from .types import Floats, Logits, Picture, PictureInput, Preprocessing

TOLERANCE = {"float64": 1e-4, "float32": 1e-4, "float16": 2e-2, "bfloat16": 1e-1, "int8": 2e-1, "uint8": 2e-1}
"""Largest difference relative to the largest logit, by the coarsest precision on the way.

A cut changes what the runtime fuses. In float32 that is rounding; in float16 it is three digits; in 8 bit an
activation moves by a step, which the logits of the following layers show as up to a few hundredths, and as 0.12 in
one logit of 15 of a random network of 8 channels (ONNX Runtime 1.32); what is cut wrongly is off by 1.
"""
DIGITS = 1e-12


def sample_inputs(preprocessing: Preprocessing, picture: PictureInput) -> NDArray[Any]:
    """Return three photographs as model input `[3, ...]`."""
    if preprocessing.color == "bands":
        return sample_arrays(np.array([one.pixels for one in photographs()]), preprocessing, picture)
    return np.concatenate([prepare(p, preprocessing, picture)[0] for p in photographs()])


def photographs() -> tuple[Picture, ...]:
    """Return the three photographs that everything is checked on."""
    pixels = np.load(Path(__file__).with_name("check_pictures.npy"))
    return tuple(from_pixels(one, f"photograph {i}") for i, one in enumerate(pixels))


def coarsest_of(dtypes: Iterable[str]) -> str:
    """Return the type with the fewest digits out of those that TOLERANCE knows."""
    return max(TOLERANCE.keys() & set(dtypes), key=lambda dtype: TOLERANCE[dtype])


def difference(got: Floats, expected: Floats) -> float:
    """Return max |got - expected| relative to max |expected|; not finite where either is not."""
    got, expected = np.asarray(got, np.float64), np.asarray(expected, np.float64)
    if got.size != expected.size:
        return float("inf")
    scale = max(float(np.abs(expected).max(initial=0)), DIGITS)
    return float(np.abs(got.ravel() - expected.ravel()).max(initial=0)) / scale


def require_equal(got: Floats, expected: Floats, what: str, precision: str) -> float:
    """Raise CheckError where a transformed graph differs from the original; return the relative difference."""
    found, allowed = difference(got, expected), TOLERANCE[precision]
    if not found <= allowed:
        raise CheckError(
            f"{what}: expected the original's result within {allowed:g} of the largest value, "
            f"found a difference of {found:.2g}; please report this model"
        )
    return found


def require_activation(end: Logits, logits: Floats, output: NDArray[Any], precision: str) -> None:
    """Raise CheckError where the model's output is not what the activation that was recognised makes of its logits."""
    if end.activation == "none" or output.dtype.kind != "f":
        return
    expected = probabilities(logits[None], end.activation)[0]
    if "LogSoftmax" in end.reason:  # not the logarithm of a probability that is 0 in float64
        shifted = logits.astype(np.float64) - logits.max()
        expected = shifted - np.log(np.exp(shifted).sum())
    got = output.ravel()
    if end.activation == "sigmoid":  # no class need be probable: on the scale of 1, not of the largest
        got, expected = np.append(got, 1), np.append(expected, 1)
    # A quantised softmax moves by steps of 1/256 although its output is declared as float32.
    allowed = max(TOLERANCE[output.dtype.name] * 10, TOLERANCE[precision])
    if not difference(got, expected) <= allowed:
        raise CheckError(
            f"the output {end.output!r} is not what the {end.activation} of {end.tensor!r} gives; "
            "choose another output with --output"
        )
