"""READ THIS FIRST: the straight line from a model and a picture to an explanation on disk."""

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from .errors import OptionError
from .explanation_file import write
from .labels import find_label
from .methods import METHODS
from .model import Model
from .preprocess import prepare
from .problem import Problem
from .render.overlay import overlay
from .render.panel import panel
from .render.png import png_bytes
from .saliency import is_blank, saliency_map
from .search.predicate import parse
from .types import Attribution, Explanation, Picture


def explain(
    model: Model,
    picture: Picture,
    *,
    target: str | None = None,
    preserve: str = "top1",
    method: str = "dd-cam",
    search: str = "auto",
) -> Explanation:
    """Explain a model's decision about a picture.

    `target` is a class index or name (by default the class decided for), `preserve` the predicate, `search`
    auto, units or ddmin. Raises OptionError, PictureError. Cost: one backbone forward and the method's.
    """
    if method not in METHODS:
        raise OptionError(f"expected a method out of {', '.join(METHODS)}, got {method!r}")
    inputs, placement = prepare(picture, model.opened.preprocessing, model.opened.picture)
    problem = Problem(model, inputs, target=target, preserve=preserve, search=search)
    attribution = METHODS[method](problem)
    return Explanation(
        model=describe_model(model),
        picture=picture,
        preprocessing=model.opened.preprocessing,
        placement=placement,
        split=model.split,
        head=describe_head(model),
        predicate=problem.predicate.text,
        target=problem.prediction(problem.target),
        top=problem.top(),
        attribution=attribution,
        saliency=saliency_map(attribution.grid_map, placement),
        device=model.device,
        warnings=warnings_of(attribution, model),
        arrays={"input": inputs, "features": problem.raw},
    )


def require_request(model: Model, *, target: str | None = None, preserve: str = "top1") -> None:
    """Raise OptionError early where `explain` would refuse target or predicate whatever the picture."""
    parse(preserve)
    if target is not None:
        find_label(model.opened.labels, target)


def save(explanation: Explanation, folder: str | Path, *, keep_arrays: bool = False, replace: bool = False) -> None:
    """Write an explanation as a folder: manifest.json, arrays (.npy), overlay.png and panel.png.

    `keep_arrays` adds the model input and the features, so that `verify` needs no picture. Raises OutputError.
    """
    pixels, saliency = explanation.picture.pixels, explanation.saliency
    title = f"{explanation.target.label} {explanation.target.probability:.1%}"
    pictures = {
        "overlay.png": png_bytes(overlay(pixels, saliency)),
        "panel.png": png_bytes(panel(pixels, saliency, title, str(explanation))),
    }
    arrays: dict[str, NDArray[Any]] = dict(explanation.arrays) if keep_arrays else {}
    write(explanation, Path(folder), pictures, arrays, replace)


def warnings_of(attribution: Attribution, model: Model) -> tuple[str, ...]:
    found = []
    if attribution.outcome == "empty-suffices":
        found.append(empty_warning(model))
    elif is_blank(attribution.grid_map):
        found.append("the map is blank: the units of the subset are spread evenly or inactive")
    if attribution.weighting.startswith("margin"):
        found.append(f"units are weighted by {attribution.weighting}")
    return tuple(found)


def empty_warning(model: Model) -> str:
    """Say why no unit is needed, and what to ask instead."""
    if not model.split.fixed:
        return (
            "the head decides for this class with every unit removed, so no unit is needed and the map is blank; "
            "ask for more with --preserve confidence:0.9"
        )
    names = [c.tensor.name for c in model.opened.candidates if c.form == "tokens"]
    earlier = names[: names.index(model.split.tensor)][-3:]
    return (
        "the class token alone carries the decision here, so no patch is needed and the map is blank; "
        f"cut earlier with --split {' or '.join(earlier) or 'TENSOR'}"
    )


def describe_model(model: Model) -> dict[str, Any]:
    graph, logits = model.opened.graph, model.opened.logits
    return {
        "file": graph.path.name,
        "sha256": graph.sha256,
        "opset": graph.opset,
        "layout": model.opened.picture.layout,
        "output": logits.output,
        "logits": logits.tensor,
        "classes": logits.classes,
        "activation": logits.activation,
        "labels": model.opened.labels.reason,
    }


def describe_head(model: Model) -> dict[str, str]:
    kind, reason = model.head_class
    return {"class": kind, "reason": reason, "batch": str(model.batch), "batch_reason": model.probe.head.reason}
