"""READ THIS FIRST: the straight line from a model and a picture to an explanation on disk."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .answer import Attribution, Certificate, Explanation, Prediction
from .chosen import ChosenBox, ChosenRegion
from .explanation_file import write
from .graph.forms import source_name
from .labels import find_label
from .methods import method_named
from .methods.forms import require_form
from .model import Model
from .preprocess import arranged, prepare
from .preserved import fitting_predicate
from .problem import ANY, Problem
from .render.frame import framed, inside
from .render.overlay import overlay
from .render.panel import panel
from .render.parts import located, rows_of_pictures
from .render.png import png_bytes
from .render.series import series_panel, series_plot
from .render.slices import contact_sheet
from .saliency import for_the_eye, is_blank, patch_map, saliency_map, volume_map
from .types import Floats, Picture, Pixels, Placement, Preprocessing, Question, Split, UnitWish
from .verbalise import verbalise

PRESETS: dict[str, tuple[UnitWish, str]] = {"best": ("place", "nested")}
"""Named pairs of units and method; docs/study.md says what the best map was, and by how much."""


def explain(
    model: Model,
    picture: Picture,
    *,
    target: str | None = None,
    preserve: str | None = None,
    method: str = "dd-cam",
    question: Question = ANY,
) -> Explanation:
    """Explain a model's decision about a picture.

    `target` is a class index or name (by default the class decided for), `preserve` the predicate (by default top1,
    or threshold for one sigmoid score), `method` a name with options (`cf-cam:weighting=linear`), `question` what a
    searching method is asked. Raises OptionError, PictureError, GradientError. Cost: one backbone forward and the
    method's.
    """
    attribute = method_named(method)
    require_form(method, model.opened.picture)
    picture = arranged(picture, model.opened.preprocessing, model.opened.picture)
    inputs, placement = prepare(picture, model.opened.preprocessing, model.opened.picture)
    problem = Problem(model, inputs, target=target, preserve=preserve, question=question)
    found = explanation_of(problem, attribute(problem), picture, placement)
    return replace(found, warnings=(*doubts_of(model, picture), *found.warnings))


def explanation_of(problem: Problem, attribution: Attribution, picture: Picture, placement: Placement) -> Explanation:
    """Put what a method found into the picture and into words. Cost: nothing is run."""
    model = problem.model
    explanation = Explanation(
        model=describe_model(model),
        picture=picture,
        preprocessing=model.opened.preprocessing,
        placement=placement,
        split=model.split,
        head=describe_head(model),
        predicate=problem.preserve,
        target=problem.prediction(problem.target),
        top=problem.top(),
        attribution=attribution,
        saliency=in_picture(attribution.grid_map, model.split, placement),
        device=model.device,
        warnings=warnings_of(attribution, model),
        arrays={"input": problem.picture, "features": problem.raw},
        rivals=rivals_of(attribution.certificate, problem),
        chosen=model.opened.chosen,
        held=model.opened.graph.held,
    )
    return replace(explanation, text=verbalise(explanation))


def units_for(method: str, units: UnitWish | None) -> UnitWish | None:
    """Return the units for a box or region: those asked for, else patches for a search, places for other methods.

    What is not searched reads a feature map, or perturbs the picture whatever the units.
    """
    return units or ("patch" if method_named(method).facts.family == "search" else "place")


def in_picture(grid_map: Floats, split: Split, placement: Placement) -> Floats:
    """Bring a map into the picture: smoothly, but one over patches as the squares that were removed."""
    if split.slices[0] > 1:
        return volume_map(grid_map, split.slices, placement)
    if split.units == "patch" and grid_map.shape == split.grid:
        return patch_map(grid_map, split, placement)
    return saliency_map(grid_map, placement)


def at_input(grid_map: Floats, split: Split, shown: Preprocessing) -> Floats:
    """Bring a map to the size of the model input, as `in_picture` brings it into the picture."""
    whole = Placement(shown.height, shown.width, 0, 0, shown.height, shown.width)
    return in_picture(grid_map, split, whole)


def rivals_of(certificate: Certificate | None, problem: Problem) -> tuple[Prediction, ...]:
    """Describe the classes that the certificate saw decided for, other than that of the whole picture."""
    if certificate is None:
        return ()
    seen = {*certificate.decided_without, certificate.decided} - {None, int(problem.logits.argmax())}
    return tuple(problem.prediction(index) for index in sorted(index for index in seen if index is not None))


def require_request(
    model: Model, *, target: str | None = None, preserve: str | None = None, method: str = "dd-cam"
) -> None:
    """Raise OptionError early where `explain` would refuse method, target or predicate whatever the picture."""
    method_named(method)
    require_form(method, model.opened.picture)
    fitting_predicate(model.opened, preserve, target)
    if target is not None:
        find_label(model.opened.labels, target)


def save(explanation: Explanation, folder: str | Path, *, keep_arrays: bool = False, replace: bool = False) -> None:
    """Write an explanation as a folder: manifest.json, arrays (.npy), overlay.png and panel.png.

    A map that is made of concepts or prototypes gets parts.png, a row for each. `keep_arrays` adds the model input and
    the features, so that `verify` needs no picture. Raises OutputError.
    """
    pictures = {name: png_bytes(drawing) for name, drawing in drawings(explanation).items()}
    if explanation.attribution.parts:
        pictures["parts.png"] = png_bytes(parts_sheet(explanation, title_of(explanation)))
    arrays: dict[str, NDArray[Any]] = dict(explanation.arrays) if keep_arrays else {}
    write(explanation, Path(folder), pictures, arrays, replace)


def drawings(explanation: Explanation) -> dict[str, Pixels]:
    """Draw overlay and panel: a series as lines, a volume as the sheet of its slices."""
    pixels, saliency = explanation.picture.pixels, drawn_map(explanation)
    frame, title, depth = frame_of(explanation), title_of(explanation), explanation.depth
    caption = f"{explanation.text} {explanation}"
    if explanation.form == "series" and explanation.picture.values is not None:
        values, row = explanation.picture.values[0], saliency[0]
        return {"overlay.png": series_plot(values, row), "panel.png": series_panel(values, row, title, caption)}
    if depth > 1:
        pixels, saliency = contact_sheet(pixels, depth, gap=255), contact_sheet(saliency, depth)
    shown = framed(overlay(pixels, saliency), frame)
    return {"overlay.png": shown, "panel.png": panel(pixels, saliency, title, caption, frame)}


def parts_sheet(explanation: Explanation, title: str) -> Pixels:
    """Draw each part of a map: where it lies in the picture, and what it stands for."""
    pixels, placement, split = explanation.picture.pixels, explanation.placement, explanation.split
    rows = [
        (part.caption, [located(pixels, in_picture(part.grid_map, split, placement)), *part.examples])
        for part in explanation.attribution.parts
    ]
    return rows_of_pictures(f"{title}: {explanation.attribution.weighting}", rows)


def title_of(explanation: Explanation) -> str:
    target, chosen = explanation.target, explanation.chosen
    if isinstance(chosen, ChosenBox):
        return f"{chosen.found.label} {chosen.found.score:.1%}, the box drawn"
    return f"{target.brief}, in the region drawn" if chosen else target.brief


def frame_of(explanation: Explanation) -> NDArray[np.bool_] | None:
    """Return what of the picture `[H, W]` is in the chosen box or region, whose border is drawn."""
    chosen = explanation.chosen
    if isinstance(chosen, ChosenRegion):
        return chosen.mask
    return None if chosen is None else inside(explanation.picture.pixels.shape, chosen.found.box)


def drawn_map(explanation: Explanation) -> Floats:
    """Return the map of an explanation as it is drawn."""
    return as_drawn(explanation.saliency, explanation.attribution.grid_map, explanation.preprocessing)


def as_drawn(saliency: Floats, grid_map: Floats, shown: Preprocessing) -> Floats:
    """Return a map as it is over a grid, brightened where `grid_map` was made pixel by pixel of the model input."""
    return for_the_eye(saliency) if grid_map.shape == (shown.height, shown.width) else saliency


def doubts_of(model: Model, picture: Picture) -> tuple[str, ...]:
    """Return what speaks against the preprocessing, with what was looked at and what that cost."""
    verdict = model.verdict(picture)
    if verdict is None or verdict.doubt is None:
        return ()
    return (f"{verdict.doubt}; {verdict.forwards} forwards, {verdict.seconds:.1f} s, --trust-preprocessing skips this",)


def warnings_of(attribution: Attribution, model: Model) -> tuple[str, ...]:
    found = []
    if attribution.outcome == "empty-suffices":
        found.append(empty_warning(model))
    elif attribution.outcome == "full-fails":
        found.append("the head decides so with every unit removed: no removal changes the decision, the map is blank")
    elif is_blank(attribution.grid_map):
        searched = attribution.subset is not None
        cause = (
            "the units of the subset are spread evenly or inactive" if searched else "it is nowhere positive, or flat"
        )
        found.append(f"the map is blank: {cause}")
    if attribution.outcome == "out-of-budget" and attribution.certificate and not attribution.certificate.minimal:
        found.append("the budget was spent: the subset is the smallest that was tried, and units of it may be needless")
    if attribution.bound is not None and attribution.subset and attribution.bound.least < len(attribution.subset):
        found.append(f"no proof of a minimum in {attribution.bound.seconds:.0f} s; give it more with --seconds")
    if attribution.search.startswith("minimum") and attribution.outcome == "one-minimal" and attribution.bound is None:
        found.append("no minimum is proven: the table of contributions and the head differ on this picture")
    if attribution.weighting.startswith("margin"):
        found.append(f"units are weighted by {attribution.weighting}")
    return (*found, *attribution.warnings)


def empty_warning(model: Model) -> str:
    """Say why no unit is needed, and what to ask instead."""
    if not model.split.fixed:
        baseline = model.split.baseline
        alone = f"the baseline {baseline!r} alone" if baseline else "every unit removed"
        asks_share = model.opened.logits.classes > 1 or isinstance(model.opened.chosen, ChosenBox)
        more = "confidence:0.9" if asks_share else "tolerance:E and a small E"
        return (
            f"the head decides so with {alone}, so no unit is needed and the map is blank; "
            f"ask for more with --preserve {more}{', or take another --baseline' if baseline else ''}"
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
        "input": source_name(model.opened.picture),
        "form": model.opened.picture.form,
        "depth": model.opened.picture.depth,
        "held": list(graph.held),
        "layout": model.opened.picture.layout,
        "output": logits.output,
        "logits": logits.tensor,
        "classes": logits.classes,
        "activation": logits.activation,
        "labels": model.opened.labels.reason,
    }


def describe_head(model: Model) -> dict[str, str]:
    kind, reason = model.head_class
    return {"class": kind, "reason": reason, "batch": str(model.batch), "batch_reason": model.probe.reason}
