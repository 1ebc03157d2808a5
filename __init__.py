"""Explain a deployed ONNX vision model: the smallest set of internal units that keeps its decision."""

from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from . import engine
from .adapters.images import open_image, open_images
from .engine import (
    Agreement,
    Choice,
    Comparison,
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


def load(path: str | Path, *, units: UnitWish | None = None, device: str = "auto", **wishes: Any) -> Model:
    """Load, split, cut and check an ONNX classifier.

    `units` is channel, token, cell or patch (by default what fits the model), `device` auto, cpu or cuda; further
    wishes are the fields of `Wishes`: patch, baseline, split, output, layout, preprocessing, size, mean, std,
    labels, threads, batch, memory, input, hold. Raises DdcamError in one line.
    """
    return load_model(path, Wishes(units=units, device=device, **wishes))


def detect(model: str | Path, picture: Picture | str | Path, *, score: float = 0.5, **wishes: Any) -> list[Detection]:
    """List the boxes that an ONNX detector finds in a picture, best first; `wishes` are those of `load`."""
    found = open_detector(model, Wishes(**wishes)).detect(opened(picture), score)
    return list(found.detections)


def load_for(
    path: str | Path,
    picture: Picture | str | Path,
    *,
    box: int | Box | None = None,
    region: Box | Picture | None = None,
    iou: float | None = None,
    score: float | None = None,
    **wishes: Any,
) -> Model:
    """Load a detector with a box, or a segmenter with a region, chosen in a picture; then `explain` that picture.

    `box` is a number in the list of `detect` (from 1) or (left, top, right, bottom) in the picture, `region` such a
    rectangle or a mask as a picture of the same size. A box is the same with an IoU of at least `iou` (0.5) and found
    with a score above `score` (0.5). `wishes` are those of `load`. Raises DdcamError in one line.
    """
    asked = ",".join(map(str, box)) if isinstance(box, tuple) else None if box is None else str(box)
    choice = Choice(asked, region, iou, score)
    return loader(path, Wishes(**wishes), choice).load(opened(picture))


def explain(
    model: Model,
    picture: Picture | str | Path,
    *,
    target: str | None = None,
    preserve: str | None = None,
    method: str = "dd-cam",
    **question: Any,
) -> Explanation:
    """Explain the model's decision about a picture, given as a file or opened.

    `target` is a class index or name, `preserve` a predicate: top1, confidence:T, topk:K, label:NAME, threshold:T,
    multilabel:T, tolerance:E; by default top1, or threshold for one sigmoid score. `method` is a
    name that `ddcam methods` lists, with options if wanted: smoothgrad:samples=50.
    Further words are the fields of `Question`: search, seek, count, probes, seconds. Raises DdcamError.
    Cost: one forward and the probes of the search.
    """
    asked = Question(**question)
    return explain_picture(model, opened(picture), target=target, preserve=preserve, method=method, question=asked)


def compare(
    model: Model,
    picture: Picture | str | Path,
    methods: Sequence[str],
    *,
    target: str | None = None,
    preserve: str | None = None,
) -> Comparison:
    """Run several methods, named as for `explain`, on one decision: a row and a map each; one that refuses says why.

    Raises DdcamError where none can be asked. Cost: that of the methods, and 58 forwards a map.
    """
    return engine.compare(
        engine.Contest(model, engine.methods_named(",".join(methods)), target, preserve), opened(picture)
    )


def split(path: str | Path, folder: str | Path, *, replace: bool = False, **wishes: Any) -> tuple[str, float]:
    """Write backbone.onnx and head.onnx of a model; return the tensor between them and how far both are off together.

    `wishes` are those of `load`. Raises DdcamError. Cost: that of opening the model, and a few forwards.
    """
    return engine.split_files(path, folder, Wishes(**wishes), replace=replace)


def gradient(
    path: str | Path,
    out: str | Path,
    *,
    of: str | None = None,
    wrt: Sequence[str] = (),
    replace: bool = False,
    **wishes: Any,
) -> tuple[str, tuple[str, ...], float | None]:
    """Write a model's backward graph, `inputs, seed -> of, gradient_of_<tensor>...`, of plain ONNX operators.

    `of` is the class scores and `wrt` the picture, unless tensors are named. Returns both, and by how much the
    gradients are off finite differences (None where rounding has no slope). `wishes` are those of `load`. Raises
    DdcamError. Cost: four loads, and about ten forwards a tensor.
    """
    asked = engine.Derivative(of, tuple(wrt))
    return engine.write_gradient(path, Path(out), asked, Wishes(**wishes), replace=replace)


def export(  # noqa: PLR0913  (a verb of the command line with its options)
    path: str | Path,
    out: str | Path,
    *,
    method: str = "grad-cam",
    target: str | None = None,
    preserve: str | None = None,
    map_size: str = "input",
    replace: bool = False,
    **wishes: Any,
) -> Agreement:
    """Write a model with its explanation as further outputs, for any ONNX Runtime; docs/export.md says which.

    `method` is dd-cam or a method that is a graph, `map_size` input or grid; `wishes` are those of `load`. Returns
    how far outputs and maps are off the model's and the engine's on three photographs. Raises DdcamError. Cost: that
    of `load` and of the method's first use, and a dozen forwards.
    """
    asked = engine.Export(method, target, map_size, preserve)
    return engine.export(path, Path(out), asked, Wishes(**wishes), replace=replace)


def check(path: str | Path, pictures: Iterable[Picture | str | Path], **wishes: Any) -> list[tuple[float, bool]]:
    """Compare the explanation inside an exported model with the engine's, picture by picture.

    Returns how far each map is off, and whether another subset was found that is as well certified, as a probe lies
    within rounding. `wishes` are those of `load`. Raises DdcamError. Cost: `load`, and an explanation a picture, twice.
    """
    return engine.check_export(path, [opened(picture) for picture in pictures], Wishes(**wishes))


def opened(picture: Picture | str | Path) -> Picture:
    return picture if isinstance(picture, Picture) else open_image(picture)


__all__ = [
    "Agreement",
    "Comparison",
    "DdcamError",
    "Explainer",
    "Explanation",
    "Model",
    "Picture",
    "__version__",
    "check",
    "compare",
    "detect",
    "explain",
    "export",
    "from_array",
    "gradient",
    "inspect",
    "load",
    "load_for",
    "open_explanation",
    "open_image",
    "open_images",
    "save",
    "split",
    "verify",
]
