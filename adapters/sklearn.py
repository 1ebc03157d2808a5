"""A scikit-learn estimator or pipeline on flattened pixels, exported to ONNX, as a model that can be explained."""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import is_classifier

from ..engine.errors import MissingPackageError, ModelError, OptionError
from ..engine.exported import Records, Source, load_exported
from ..engine.graph.flattened import take_pictures
from ..engine.model import Model
from ..engine.types import Wishes

try:
    import skl2onnx
    from skl2onnx.common.data_types import FloatTensorType
except ImportError as error:
    raise MissingPackageError('ddcam.adapters.sklearn needs skl2onnx; pip install "ddcam[sklearn]"') from error


def load(
    estimator: Any,
    shape: Sequence[int],
    *,
    labels: Sequence[str] | Path | None = None,
    preprocessing: str | Mapping[str, Any] | None = None,
    file: str | Path | None = None,
    **wishes: Any,
) -> Model:
    """Export a fitted estimator, with a Reshape before it that takes pictures, and load the file as `ddcam.load` does.

    `shape` is that of a picture before it was flattened: (H, W), (H, W, C) or (C, H, W), with 1 or 3 channels.
    `preprocessing` says how pixels of 0..255 become the numbers that the estimator was fitted on, by the name of a
    preset ("raw" for 0..255, "unit" for 0..1) or by fields of `Preprocessing` ({"scale": 16 / 255} for 0..16); by
    default that is guessed, and the guess is usually wrong for scikit-learn. `labels` are by default the estimator's
    classes. Both are written into the file's metadata. `file` keeps the export, replacing what is there; else it is
    a temporary one that lives as long as the model. `wishes` are those of `ddcam.load`.

    There is no feature map in a flat model, and none is made up: its units are patches, squares of the picture that
    are replaced by a baseline, and each probe runs the whole model. Methods that perturb the picture work too; those
    that read features refuse, and gradients do where the graph has trees or other operators without one. Where an
    estimator has no probabilities but decision values (LinearSVC, RidgeClassifier), the softmax of these stands for
    them.
    Raises MissingPackageError without skl2onnx, ModelError where skl2onnx cannot convert the estimator or where it
    gives no more than one decision value, CheckError where its probabilities and ddcam's differ by more than 1e-4 on
    three photographs, and what `ddcam.load` raises. Cost: the conversion and that of `ddcam.load`.
    """
    sides = picture_shape(shape, getattr(estimator, "n_features_in_", None))
    answer = answering(estimator)
    if labels is None and answer != "predict":
        labels = [str(name) for name in estimator.classes_]
    source = Source(
        type(estimator).__name__,
        partial(export, estimator, sides),
        partial(predict, estimator, answer),
        lambda _: {},
    )
    return load_exported(source, Wishes(**wishes), Records(labels, preprocessing), file)


def picture_shape(shape: Sequence[int], pixels: int | None) -> tuple[int, ...]:
    """Return the three sides of a picture of so many pixels, one channel first where there were two."""
    sides = (1, *shape) if len(shape) == 2 else tuple(shape)
    if len(sides) != 3 or min(sides) < 1 or not {sides[0], sides[2]} & {1, 3}:
        raise OptionError(
            f"expected the shape (H, W), (H, W, C) or (C, H, W) of a picture of 1 or 3 channels, got {tuple(shape)}"
        )
    if pixels not in (None, math.prod(sides)):
        raise OptionError(f"expected the shape of a picture of {pixels} numbers, which the estimator was fitted on; "
                          f"got {tuple(shape)}")  # fmt: skip
    return sides


def answering(estimator: Any) -> str:
    """Name the method of an estimator whose answer is explained."""
    if not is_classifier(estimator):
        return "predict"
    if hasattr(estimator, "predict_proba"):
        return "predict_proba"
    if len(estimator.classes_) == 2:
        raise ModelError(
            f"{type(estimator).__name__} gives one decision value for two classes and no probabilities; wrap it in "
            "sklearn.calibration.CalibratedClassifierCV, or take an estimator with predict_proba"
        )
    return "decision_function"


def export(estimator: Any, sides: tuple[int, ...], path: Path) -> str:
    """Write an estimator as ONNX for pictures, and say by what."""
    rows = [("pixels", FloatTensorType([None, math.prod(sides)]))]
    try:
        converted = convert(estimator, rows)
    except Exception as error:  # converters raise whatever the estimator makes them stumble over
        reason = " ".join(str(error.__cause__ or error).split())[:200]
        raise ModelError(f"skl2onnx cannot convert {type(estimator).__name__}: {reason}") from None
    path.write_bytes(converted.SerializeToString())
    take_pictures(path, sides)
    return f"skl2onnx {skl2onnx.__version__}"


def convert(estimator: Any, rows: list[Any]) -> Any:
    """Convert with probabilities as an array; those few estimators that know no dictionaries know no such option."""
    plain = {id(estimator): {"zipmap": False}} if is_classifier(estimator) else None
    try:
        return skl2onnx.to_onnx(estimator, initial_types=rows, options=plain)
    except NameError:
        return skl2onnx.to_onnx(estimator, initial_types=rows)


def predict(estimator: Any, answer: str, inputs: NDArray[Any]) -> list[NDArray[Any]]:
    """Return the outputs of the exported graph: of a classifier the class and the scores, else the value."""
    rows = inputs.reshape(len(inputs), -1)
    scores = np.asarray(getattr(estimator, answer)(rows))
    return [scores] if answer == "predict" else [estimator.predict(rows), scores]
