"""Write the deployed model with its explanation inside: the same file, some outputs more."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .atomic import whole_file
from .autodiff.formula import RESULT, TARGET
from .check import TOLERANCE, require_equal
from .errors import CheckError, OptionError
from .explain import at_input
from .export_search import SEARCH, compare_search, with_search
from .graph.build import TINY
from .graph.content import require_light
from .graph.embed import EXPLAIN, MAP, MapGraph, Shown, with_formula, with_true_shapes
from .graph.load import read_model
from .labels import find_label
from .methods import METHODS, Method, method_named
from .model import Model, load
from .preprocess import prepare
from .preserved import any_class
from .problem import Problem
from .runtime.session import Session
from .saliency import enlarging, scaled
from .types import Floats, Picture, UnitWish, Wishes

SIZES = ("input", "grid")
KINKS = 1e-3
"""Largest difference of maps as a whole, |a - b| / |b|, that kinks may cause: one photograph of three in a MobileNetV3
gave 4e-4 for saliency, with single pixels off by 8e-4."""
METADATA = tuple(f"ddcam_{name}" for name in ("method", "class", "output", "size", "version", "preserve", "units"))
"""Keys of the metadata that an exported file carries: what is explained (class: nothing is the one decided for)."""


@dataclass(frozen=True)
class Export:
    """What is put into a model: a method with options, for the class decided for or for `target`, on which grid.

    `preserve` and `units` are what a search is asked, by default what the head calls for.
    """

    method: str = "grad-cam"
    target: str | None = None
    size: str = "input"
    preserve: str | None = None
    units: UnitWish | None = None


@dataclass(frozen=True)
class Agreement:
    """How far an exported model is off: its outputs relative to their largest, its maps in 0..1.

    `others`: on how many pictures its search found another subset than the engine's, just as well certified, since
    some probe lies within rounding.
    """

    outputs: float
    maps: float
    others: int = 0


def export(path: str | Path, out: Path, asked: Export, wishes: Wishes, *, replace: bool = False) -> Agreement:
    """Write a model's file with the output `saliency_map` `[N, 1, H, W]` and the input `explain`, true by default.

    The map is the method's, its positive part divided by its maximum, at the size of the model input or (`size=grid`)
    as fine as the features. DD-CAM adds `units` `[N, n]` (1: kept), `sufficient` and `minimal` `[N]`; its search is
    `sweep`. Inputs and outputs of the model stay what they are; where its operator set is older than what is added
    needs, the file is raised to it. What comes out is compared with the model and with the engine on three
    photographs before it is written. Raises OptionError for a method or a head that is no graph, ModelError,
    GradientError, CheckError, OutputError. Cost: that of `load` and of the method's first use, and a dozen forwards.
    """
    with whole_file(out, replace=replace) as work:
        found = explained(path, asked, wishes)
        work.write_bytes(found.content)
    return found.agreement


@dataclass(frozen=True)
class Explained:
    """A model with an explanation inside, how far it is off, and the names of the classes that its scores are of."""

    content: bytes
    agreement: Agreement
    scores: str
    labels: tuple[str, ...]


def explained(path: str | Path, asked: Export, wishes: Wishes) -> Explained:
    """Put an explanation into a model, and compare what comes out; raises and costs what `export` does."""
    method = exportable(asked)
    model = load(path, wishes)
    opened = model.opened
    require_light(opened.graph.proto, "the model with its explanation")
    content = with_explanation(model, method, dataclasses.replace(asked, units=wishes.units))
    session, plain = (Session(one, without=opened.without) for one in (content, serialised(model)))
    samples = [sample[None] for sample in opened.samples]
    outputs = [compare_outputs(session, plain, model, sample) for sample in samples]
    found = [compare(session, model, sample, asked, method) for sample in samples]
    agreement = Agreement(max(outputs), max(off for off, _ in found), sum(other for _, other in found))
    labels = tuple(opened.labels[index] for index in range(opened.logits.classes))
    return Explained(content, agreement, opened.logits.output, labels)


def exportable(asked: Export) -> Method:
    """Return the method that is to be put into a model; OptionError where it is no graph."""
    method = method_named(asked.method)
    if method.formula is None and method.name != SEARCH:
        names = ", ".join((SEARCH, *(name for name, known in METHODS.items() if known.formula)))
        raise OptionError(f"expected a method that is a graph, {asked.method} is computed outside of one; take {names}")
    if asked.size not in SIZES:
        raise OptionError(f"expected the size {' or '.join(SIZES)}, got {asked.size!r}")
    if asked.preserve is not None and method.name != SEARCH:
        raise OptionError(f"expected no predicate for {asked.method}, whose map does not depend on one; leave it out")
    return method


def embedded(path: str | Path) -> Export | None:
    """Return what is put into a file already; None for a plain model. Raises ModelError."""
    return told_by(read_model(path).metadata)


def told_by(metadata: Mapping[str, str]) -> Export | None:
    told = [metadata.get(key) or None for key in METADATA]
    name, target, _, size, _, preserve, units = told
    return None if name is None else Export(name, target, size or SIZES[0], preserve, units)  # type: ignore[arg-type]


def check_export(path: str | Path, pictures: Sequence[Picture], wishes: Wishes) -> list[tuple[float, bool]]:
    """Compare an exported model's explanations with the engine's: for each picture how far the map is off.

    And whether its search found another subset that is as well certified (a probe within rounding). Raises
    OptionError for a model without an explanation, CheckError where something is too far off. Cost: that of `load`,
    and a few forwards a picture.
    """
    whole = read_model(path)
    asked = told_by(whole.metadata)
    if asked is None:
        raise OptionError(f"expected a model with an explanation inside, {path} has none; ddcam export makes one")
    model = load(
        path, dataclasses.replace(wishes, output=whole.metadata[METADATA[2]], units=asked.units or wishes.units)
    )
    method, session = exportable(asked), Session(whole.proto.SerializeToString(), without=model.opened.without)
    prepared = (prepare(picture, model.opened.preprocessing, model.opened.picture)[0] for picture in pictures)
    return [compare(session, model, inputs, asked, method) for inputs in prepared]


def compare(session: Session, model: Model, inputs: NDArray[Any], asked: Export, method: Method) -> tuple[float, bool]:
    """Return how far the map for inputs `[1, ...]` is from the engine's, and whether another subset was found.

    See that there is none where none is asked for.
    """
    feeds = {model.opened.picture.name: inputs}
    outputs = dict(zip(session.outputs, session.run(feeds, session.outputs), strict=True))
    found = outputs[MAP]
    grid_map: Floats | None
    if method.name == SEARCH:
        grid_map, other = compare_search(outputs, model, inputs, asked.preserve, asked.target)
    else:
        grid_map, other = method(posed(model, inputs, asked)).grid_map, False
    off = 0.0 if grid_map is None else map_error(found[0, 0], shown_map(model, grid_map, asked.size), model)
    [nothing] = session.run({**feeds, EXPLAIN: np.array(False)}, [MAP])
    if nothing.shape != found.shape or nothing.any():
        raise CheckError("the exported model gives a map where none is asked for; please report this model")
    return off, other


def map_error(found: Floats, expected: Floats, model: Model) -> float:
    """Return how far a map is from the engine's; CheckError where that is not rounding.

    A unit within rounding of a kink (of a ReLU, a HardSwish) has one slope or the other, and changes a gradient in its
    whole field of view by a little: then the maps must agree as a whole.
    """
    change = np.abs(found - expected)
    off, allowed = float(change.max()), TOLERANCE[model.opened.coarsest]
    whole = float(np.linalg.norm(change) / max(float(np.linalg.norm(expected)), TINY))
    if not (off <= allowed or whole <= KINKS):
        raise CheckError(f"the exported map differs from the engine's by {off:.2g} of 1, more than {allowed:g}")
    return off


def posed(model: Model, inputs: NDArray[Any], asked: Export) -> Problem:
    """Pose the decision; maps of formulas do not depend on the predicate, but any class must be open to it."""
    return Problem(model, inputs, target=asked.target, preserve=any_class(model.opened))


def serialised(model: Model) -> bytes:
    content: bytes = model.opened.graph.proto.SerializeToString()
    return content


def with_explanation(model: Model, method: Method, asked: Export) -> bytes:
    """Serialise the model with an explanation in it."""
    opened, target = model.opened, None if asked.target is None else find_label(model.opened.labels, asked.target)
    index = "" if target is None else str(target)
    told = (asked.method, index, opened.logits.output, asked.size, version("ddcam"), asked.preserve, asked.units)
    metadata = {key: value for key, value in zip(METADATA, told, strict=True) if value is not None}
    if method.name == SEARCH:
        return with_search(model, asked.preserve, asked.target, larger(model, model.split.grid, asked.size), metadata)
    assert method.formula is not None
    running = model.formula(method.formula)
    sample = opened.samples[:1]
    height, width = method(posed(model, sample, asked)).grid_map.shape
    dtype = opened.measured.values[running.source].dtype
    graph = MapGraph(running.written.graph, running.source, dtype, TARGET, RESULT, (height, width))
    shown = Shown(opened.logits.tensor, opened.logits.classes, target, larger(model, (height, width), asked.size))
    return with_formula(with_true_shapes(opened.graph.proto, opened.measured), graph, shown, metadata)


def larger(model: Model, grid: tuple[int, int], size: str) -> tuple[Floats, Floats] | None:
    """Return what brings a map over a grid to the size of the model input, None where it stays."""
    shown = model.opened.preprocessing
    return enlarging((shown.height, shown.width), grid) if size == "input" else None


def shown_map(model: Model, grid_map: Floats, size: str) -> Floats:
    """Return the engine's map `[H, W]` as an exported file shows it."""
    return at_input(grid_map, model.split, model.opened.preprocessing) if size == "input" else scaled(grid_map)


def compare_outputs(session: Session, plain: Session, model: Model, inputs: NDArray[Any]) -> float:
    """Return how far the model's own outputs are from what they were; CheckError where too far."""
    names, feeds = plain.outputs, {model.opened.picture.name: inputs}
    pairs = zip(session.run(feeds, names), plain.run(feeds, names), strict=True)
    return max(require_equal(got, want, "the exported model", model.opened.coarsest) for got, want in pairs)
