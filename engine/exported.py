"""What becomes of a model that a framework has just exported: loaded, compared with the framework, kept in a file."""

import difflib
import json
import logging
import shutil
import tempfile
import warnings
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .atomic import whole_file
from .check import TOLERANCE, difference
from .errors import CheckError, OptionError
from .graph.content import content_of
from .graph.cut import expose
from .graph.records import write_metadata
from .labels import listed_labels
from .model import Model, load
from .open_model import Opened, open_model
from .runtime.session import Session
from .search.predicate import probabilities
from .types import Floats, Logits, Wishes

Arrays = Sequence[NDArray[Any]]


@dataclass(frozen=True)
class Source:
    """A framework's model: its name, what writes it as ONNX, and what it gives for model inputs `[N, ...]`.

    `write` returns how it did; `predict` gives all outputs in the file's order; `layers` gives what inner layers put
    out, by their names.
    """

    name: str
    write: Callable[[Path], str]
    predict: Callable[[NDArray[Any]], Arrays]
    layers: Callable[[NDArray[Any]], Mapping[str, NDArray[Any]]]


@dataclass(frozen=True)
class Records:
    """What a file is to know of itself: class names, or a file of them, and a preset or fields of `Preprocessing`."""

    labels: Sequence[str] | Path | None = None
    preprocessing: str | Mapping[str, Any] | None = None


def load_exported(source: Source, wishes: Wishes, records: Records, file: str | Path | None = None) -> Model:
    """Export a framework's model, load the file, and compare what both predict for three photographs.

    Without `file` the export lies in a temporary folder for as long as the model lives; a `file` that exists is
    replaced, once everything holds. `wishes.split` may name a layer of the framework's model. Raises CheckError where
    a probability differs by more than 1e-4, and what `load` raises.
    """
    if file is not None:
        return load_into(Path(file), source, wishes, records)
    folder = Path(tempfile.mkdtemp(prefix="ddcam-"))
    try:
        model = load_into(folder / f"{source.name}.onnx", source, wishes, records)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    weakref.finalize(model.opened.graph, shutil.rmtree, folder, ignore_errors=True)
    return model


def load_into(path: Path, source: Source, wishes: Wishes, records: Records) -> Model:
    with whole_file(path, replace=True) as work:
        with quiet():
            how = source.write(work)
        write_metadata(work, entries(records) | {"ddcam.exported": how})
        if wishes.split is not None:
            opened = open_model(work, replace(wishes, split=None))
            wishes = replace(wishes, split=find_layer(opened, source, wishes.split))
        model = load(work, wishes)
        require_same(model, source)
    graph = replace(model.opened.graph, path=path)
    return replace(model, opened=replace(model.opened, graph=graph))


@contextmanager
def quiet() -> Iterator[None]:
    """Keep an exporter's remarks on its own workings from the user; what it gets wrong, the comparison shows."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def entries(records: Records) -> dict[str, str]:
    found = {}
    if records.labels is not None:
        given = records.labels
        names = listed_labels(Path(given)).names if isinstance(given, str | Path) else given
        found["labels"] = json.dumps([str(name) for name in names])
    if records.preprocessing is not None:
        asked = records.preprocessing
        found["preprocessing"] = asked if isinstance(asked, str) else json.dumps(dict(asked))
    return found


def require_same(model: Model, source: Source) -> float:
    """Raise CheckError where ddcam and the framework differ by more than rounding; return the largest difference.

    That is 1e-4 of a probability in float32 (TOLERANCE), and of the largest score where scores are no probabilities.
    """
    opened = model.opened
    everything = np.ones((1, model.split.count), np.float32)
    rows = [model.bind_alone(model.features(opened.samples[i : i + 1])).score(everything) for i in range(3)]
    outputs = [output.name for output in opened.graph.proto.graph.output]
    given = source.predict(opened.samples)[outputs.index(opened.logits.output)]
    ours, theirs = np.concatenate(rows), np.asarray(given, np.float64).reshape(len(rows), -1)
    found, allowed = apart(ours, theirs, opened.logits), TOLERANCE[opened.coarsest]
    if not found <= allowed:
        raise CheckError(
            f"expected what {source.name} predicts for three photographs within {allowed:g}, but the exported graph "
            f"differs by {found:.2g}; does it draw at random, or branch on values of its input?"
        )
    return found


def apart(logits: Floats, given: Floats, kind: Logits) -> float:
    """Return how far logits are from what a framework gives, in probabilities where they are some."""
    if logits.shape != given.shape:
        return float("inf")
    if logits.shape[1] == 1 and kind.activation == "none":
        return difference(logits, given)
    ours = probabilities(logits, kind.activation)
    if kind.activation == "none" and kind.holds == "logits":
        given = probabilities(given, kind.activation)
    elif "LogSoftmax" in kind.reason:
        given = np.exp(given)
    return float(np.abs(ours - given).max())


def find_layer(opened: Opened, source: Source, split: str) -> str:
    """Return the tensor of the exported graph that holds what a layer puts out, or `split` where it is a tensor.

    Both run on a photograph, and values are compared, also with channels moved first or last. Raises OptionError with
    what there is.
    """
    names = [candidate.tensor.name for candidate in opened.candidates]
    if split in names:
        return split
    photograph = opened.samples[:1]
    layers = source.layers(photograph)
    if split not in layers:
        near = difflib.get_close_matches(split, layers, 5) or list(layers)[-5:]
        raise OptionError(f"{source.name} has no layer {split!r} with an array as output; near are {', '.join(near)}")
    session = Session(content_of(expose(opened.graph.proto, names)), threads=1, without=opened.without)
    values = dict(zip(names, session.run({opened.picture.name: photograph}, names), strict=True))
    allowed = TOLERANCE[max((value.dtype.name for value in values.values()), key=TOLERANCE.__getitem__)]
    distances = {name: far(value, layers[split]) for name, value in values.items()}
    nearest = min(distances, key=distances.__getitem__)
    if distances[nearest] <= allowed:
        return nearest
    there = [name for name, layer in layers.items() if any(far(v, layer) <= allowed for v in values.values())]
    raise OptionError(
        f"none of the {len(names)} tensors that {source.name} can be split at holds the output of {split!r} "
        f"{list(layers[split].shape)}; the nearest, {nearest!r}, is {distances[nearest]:.2g} away; "
        f"layers that it can be split at are {', '.join(there[-8:]) or 'none, leave split out'}"
    )


def far(value: Floats, layer: Floats) -> float:
    """Return how far a tensor is from a layer's output in the same order of axes, or with its channels moved."""
    orders = [layer] if layer.ndim != 4 else [layer, np.moveaxis(layer, 1, 3), np.moveaxis(layer, 3, 1)]
    return min((difference(value, each) for each in orders if each.shape == value.shape), default=float("inf"))
