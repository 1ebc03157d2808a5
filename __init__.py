"""Explain a deployed ONNX vision model: the smallest set of internal units that keeps its decision."""

from importlib import metadata
from pathlib import Path

from .adapters.images import open_image
from .engine import (
    DdcamError,
    Explanation,
    Model,
    Picture,
    Wishes,
    inspect,
    open_explanation,
    save,
    verify,
)
from .engine import explain as explain_picture
from .engine import load as load_model
from .engine.types import Question, UnitWish

__version__ = metadata.version("ddcam")


def load(path: str | Path, *, units: UnitWish | None = None, device: str = "auto", **wishes: object) -> Model:
    """Load, split, cut and check an ONNX classifier.

    `units` is channel, token, cell or patch (by default what fits the model), `device` auto, cpu or cuda; further
    wishes are the fields of `Wishes`: patch, baseline, split, output, layout, preprocessing, size, mean, std,
    labels, threads, batch, memory. Raises DdcamError in one line.
    """
    return load_model(path, Wishes(units=units, device=device, **wishes))  # type: ignore[arg-type]


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
    opened = picture if isinstance(picture, Picture) else open_image(picture)
    asked = Question(**question)  # type: ignore[arg-type]
    return explain_picture(model, opened, target=target, preserve=preserve, method=method, question=asked)


__all__ = [
    "DdcamError",
    "Explanation",
    "Model",
    "Picture",
    "__version__",
    "explain",
    "inspect",
    "load",
    "open_explanation",
    "open_image",
    "save",
    "verify",
]
