"""Explain a deployed ONNX vision model: the smallest set of internal units that keeps its decision."""

from importlib import metadata
from pathlib import Path

from .adapters.images import open_image, open_images
from .engine import (
    Choice,
    DdcamError,
    Explainer,
    Explanation,
    Model,
    Picture,
    Wishes,
    inspect,
    loader,
    open_detector,
    open_explanation,
    save,
    verify,
)
from .engine import explain as explain_picture
from .engine import load as load_model
from .engine.chosen import Box, Detection
from .engine.preprocess import from_array
from .engine.types import Question, UnitWish

__version__ = metadata.version("ddcam")


def load(path: str | Path, *, units: UnitWish | None = None, device: str = "auto", **wishes: object) -> Model:
    """Load, split, cut and check an ONNX classifier.

    `units` is channel, token, cell or patch (by default what fits the model), `device` auto, cpu or cuda; further
    wishes are the fields of `Wishes`: patch, baseline, split, output, layout, preprocessing, size, mean, std,
    labels, threads, batch, memory, input, hold. Raises DdcamError in one line.
    """
    return load_model(path, Wishes(units=units, device=device, **wishes))  # type: ignore[arg-type]


def detect(
    model: str | Path, picture: Picture | str | Path, *, score: float = 0.5, **wishes: object
) -> list[Detection]:
    """List the boxes that an ONNX detector finds in a picture, best first; `wishes` are those of `load`."""
    found = open_detector(model, Wishes(**wishes)).detect(opened(picture), score)  # type: ignore[arg-type]
    return list(found.detections)


def load_for(
    path: str | Path,
    picture: Picture | str | Path,
    *,
    box: int | Box | None = None,
    region: Box | Picture | None = None,
    iou: float | None = None,
    score: float | None = None,
    **wishes: object,
) -> Model:
    """Load a detector with a box, or a segmenter with a region, chosen in a picture; then `explain` that picture.

    `box` is a number in the list of `detect` (from 1) or (left, top, right, bottom) in the picture, `region` such a
    rectangle or a mask as a picture of the same size. A box is the same with an IoU of at least `iou` (0.5) and found
    with a score above `score` (0.5). `wishes` are those of `load`. Raises DdcamError in one line.
    """
    asked = ",".join(map(str, box)) if isinstance(box, tuple) else None if box is None else str(box)
    choice = Choice(asked, region, iou, score)
    return loader(path, Wishes(**wishes), choice).load(opened(picture))  # type: ignore[arg-type]


def explain(
    model: Model,
    picture: Picture | str | Path,
    *,
    target: str | None = None,
    preserve: str | None = None,
    method: str = "dd-cam",
    **question: object,
) -> Explanation:
    """Explain the model's decision about a picture, given as a file or opened.

    `target` is a class index or name, `preserve` a predicate: top1, confidence:T, topk:K, label:NAME, threshold:T,
    multilabel:T, tolerance:E; by default top1, or threshold for one sigmoid score. `method` is a
    name that `ddcam methods` lists, with options if wanted: smoothgrad:samples=50.
    Further words are the fields of `Question`: search, seek, count, probes, seconds. Raises DdcamError.
    Cost: one forward and the probes of the search.
    """
    asked = Question(**question)  # type: ignore[arg-type]
    return explain_picture(model, opened(picture), target=target, preserve=preserve, method=method, question=asked)


def opened(picture: Picture | str | Path) -> Picture:
    return picture if isinstance(picture, Picture) else open_image(picture)


__all__ = [
    "DdcamError",
    "Explainer",
    "Explanation",
    "Model",
    "Picture",
    "__version__",
    "detect",
    "explain",
    "from_array",
    "inspect",
    "load",
    "load_for",
    "open_explanation",
    "open_image",
    "open_images",
    "save",
    "verify",
]
