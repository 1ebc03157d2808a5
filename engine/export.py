"""Write the deployed model with its explanation inside: the same file, one output more."""

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
from .graph.embed import EXPLAIN, MAP, Explained, MapGraph, embed
from .graph.load import read_model
from .labels import find_label
from .methods import METHODS, Method, method_named
from .model import Model, coarsest, load
from .preprocess import prepare
from .preserved import any_class
from .problem import Problem
from .runtime.session import Session
from .saliency import enlarging, scaled
from .types import Floats, Picture, Wishes

SIZES = ("input", "grid")
METADATA = tuple(f"ddcam_{name}" for name in ("method", "class", "output", "size", "version"))
"""Keys of the metadata that an exported file carries: what is explained (class: nothing is the one decided for)."""


@dataclass(frozen=True)
class Export:
    """What is put into a model: a method with options, for the class decided for or for `target`, on which grid."""

    method: str = "grad-cam"
    target: str | None = None
    size: str = "input"


@dataclass(frozen=True)
class Agreement:
    """How far an exported model is off: its outputs relative to their largest, its maps in 0..1."""

    outputs: float
    maps: float


def export(path: str | Path, out: Path, asked: Export, wishes: Wishes, *, replace: bool = False) -> Agreement:
    """Write a model's file with the output `saliency_map` `[N, 1, H, W]` and the input `explain`, true by default.

    The map is the method's, its positive part divided by its maximum, at the size of the model input or (`size=grid`)
    as fine as the features. Inputs and outputs of the model stay what they are; where its operator set is older than
    gradients need, the file is raised to it. What comes out is compared with the model and with the engine on three
    photographs before it is written. Raises OptionError for a method that is no graph, ModelError, GradientError,
    CheckError, OutputError. Cost: that of `load` and of the method's first use, and a dozen forwards.
    """
    method = exportable(asked)
    with whole_file(out, replace=replace) as work:
        model = load(path, wishes)
        problems = [posed(model, sample[None], asked) for sample in model.opened.samples]
        maps = [method(problem).grid_map for problem in problems]
        expected = [shown_map(model, one, asked.size) for one in maps]
        content = with_map(model, method, asked, maps[0].shape)
        session, plain = (Session(one, without=model.opened.without) for one in (content, serialised(model)))
        outputs = [compare_outputs(session, plain, problem) for problem in problems]
        off = [compare_maps(session, *pair) for pair in zip(problems, expected, strict=True)]
        work.write_bytes(content)
    return Agreement(max(outputs), max(off))


def exportable(asked: Export) -> Method:
    """Return the method that is to be put into a model; OptionError where it is no graph."""
    method = method_named(asked.method)
    if method.formula is None:
        names = ", ".join(name for name, known in METHODS.items() if known.formula)
        raise OptionError(f"expected a method that is a graph, {asked.method} is computed outside of one; take {names}")
    if asked.size not in SIZES:
        raise OptionError(f"expected the size {' or '.join(SIZES)}, got {asked.size!r}")
    return method


def embedded(path: str | Path) -> Export | None:
    """Return what is put into a file already; None for a plain model. Raises ModelError."""
    return told_by(read_model(path).metadata)


def told_by(metadata: Mapping[str, str]) -> Export | None:
    told = [metadata.get(key) for key in METADATA]
    return None if told[0] is None else Export(told[0], told[1] or None, told[3] or SIZES[0])


def check_export(path: str | Path, pictures: Sequence[Picture], wishes: Wishes) -> list[float]:
    """Compare an exported model's maps with the engine's; return the largest difference for each picture.

    Raises OptionError for a model without an explanation, CheckError where a map is too far off. Cost: that
    of `load`, and a few forwards a picture.
    """
    metadata = read_model(path).metadata
    asked = told_by(metadata)
    if asked is None:
        raise OptionError(f"expected a model with an explanation inside, {path} has none; ddcam export makes one")
    model = load(path, dataclasses.replace(wishes, output=metadata.get(METADATA[2])))
    method, session = exportable(asked), Session(serialised(model), without=model.opened.without)
    found = []
    for picture in pictures:
        inputs, _ = prepare(picture, model.opened.preprocessing, model.opened.picture)
        problem = posed(model, inputs, asked)
        found.append(compare_maps(session, problem, shown_map(model, method(problem).grid_map, asked.size)))
    return found


def posed(model: Model, inputs: NDArray[Any], asked: Export) -> Problem:
    """Pose the decision; maps of formulas do not depend on the predicate, but any class must be open to it."""
    return Problem(model, inputs, target=asked.target, preserve=any_class(model.opened))


def serialised(model: Model) -> bytes:
    content: bytes = model.opened.graph.proto.SerializeToString()
    return content


def with_map(model: Model, method: Method, asked: Export, grid: tuple[int, ...]) -> bytes:
    """Serialise the model with a method's graph in it, whose map is over a grid."""
    opened, target = model.opened, None if asked.target is None else find_label(model.opened.labels, asked.target)
    assert method.formula is not None
    running = model.formula(method.formula)
    height, width = grid
    larger = enlarging((opened.preprocessing.height, opened.preprocessing.width), grid)
    dtype = opened.measured.values[running.source].dtype
    graph = MapGraph(running.written.graph, running.source, dtype, TARGET, RESULT, (height, width))
    shown = Explained(opened.logits.tensor, opened.logits.classes, target, larger if asked.size == "input" else None)
    told = (asked.method, "" if target is None else str(target), opened.logits.output, asked.size, version("ddcam"))
    return embed(opened.graph.proto, graph, shown, dict(zip(METADATA, told, strict=True)))


def shown_map(model: Model, grid_map: Floats, size: str) -> Floats:
    """Return the engine's map `[H, W]` as an exported file shows it."""
    return at_input(grid_map, model.split, model.opened.preprocessing) if size == "input" else scaled(grid_map)


def compare_outputs(session: Session, plain: Session, problem: Problem) -> float:
    """Return how far the model's own outputs are from what they were; CheckError where too far."""
    opened = problem.model.opened
    names, feeds = plain.outputs, {opened.picture.name: problem.picture}
    pairs = zip(session.run(feeds, names), plain.run(feeds, names), strict=True)
    return max(require_equal(got, want, "the exported model", coarsest(opened)) for got, want in pairs)


def compare_maps(session: Session, problem: Problem, expected: Floats) -> float:
    """Return how far the map is from the engine's, and see that there is none where none is asked for."""
    feeds = {problem.model.opened.picture.name: problem.picture}
    [found] = session.run(feeds, [MAP])
    off = float(np.abs(found[0, 0] - expected).max())
    allowed = TOLERANCE[coarsest(problem.model.opened)]
    if not off <= allowed:
        raise CheckError(f"the exported map differs from the engine's by {off:.2g} of 1, more than {allowed:g}")
    [nothing] = session.run({**feeds, EXPLAIN: np.array(False)}, [MAP])
    if nothing.shape != found.shape or nothing.any():
        raise CheckError("the exported model gives a map where none is asked for; please report this model")
    return off
