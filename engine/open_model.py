"""From a file to what is known of it before it is cut: its ends, its preprocessing, its measured shapes."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .check import coarsest_of, sample_inputs
from .chosen import LISTED, Chosen, ChosenBox, ChosenRegion
from .errors import ModelError
from .graph.chosen import FOUND, REGION, with_box, with_region
from .graph.content import content_of
from .graph.cut import Proto, expose
from .graph.embed import plain
from .graph.forms import read_input, with_maps
from .graph.hold import hold
from .graph.interface import find_logits
from .graph.load import Graph, read_model
from .graph.normalised import find_normalised
from .graph.split import find_candidates
from .labels import choose_labels
from .preprocess import PRESETS, choose, find_config, prepare
from .preprocess.values import Recorded
from .runtime.trial import trial
from .types import Candidate, Labels, Logits, Measured, Picture, PictureInput, Preprocessing, Wishes


@dataclass(frozen=True)
class Opened:
    """A model as far as it is known before it is cut; `samples` are three photographs as its input."""

    graph: Graph
    picture: PictureInput
    logits: Logits
    preprocessing: Preprocessing
    labels: Labels
    measured: Measured
    candidates: tuple[Candidate, ...]
    samples: NDArray[Any]
    chosen: Chosen | None = None

    @property
    def without(self) -> tuple[str, ...]:
        """Name the optimisers of ONNX Runtime that must not see this model.

        Version 1.31 crashes in the layout optimiser on some float16 transformers (2 of 16 that were tried).
        """
        half = any(value.dtype == "float16" for value in self.measured.values.values())
        return ("NchwcTransformer",) if half else ()

    @property
    def coarsest(self) -> str:
        """The activation type with the fewest digits."""
        return coarsest_of(value.dtype for value in self.measured.values.values())


@dataclass(frozen=True)
class Ends:
    """A model file and how pictures become its input, before anything is known of its outputs."""

    graph: Graph
    picture: PictureInput
    preprocessing: Preprocessing
    config: Mapping[str, Any] | None
    samples: NDArray[Any]


def open_model(
    path: str | Path, wishes: Wishes, chosen: Chosen | None = None, picture: Picture | None = None
) -> Opened:
    """Read a model file, find its ends, and run it once in a child process under a memory limit.

    With a `chosen` box or region its nodes follow the model's; the `picture` it was chosen in is then one of those
    that everything is checked on, as others may have nothing there. Raises ModelError (or UnsafeModelError) with the
    reason why a file cannot be explained. Cost: a parse, a process start and two or three forwards without graph
    optimisation.
    """
    ends = open_ends(path, wishes, whole=chosen is not None)
    output = wishes.output
    if chosen is not None:
        ends, output = with_chosen(ends, chosen), FOUND if isinstance(chosen, ChosenBox) else REGION
    if picture is not None:
        own = prepare(picture, ends.preprocessing, ends.picture)[0]
        ends = replace(ends, samples=np.concatenate([own, ends.samples[1:]]))
    logits = find_logits(ends.graph.proto, ends.picture.name, output)
    graph, seen = with_maps(ends.graph, ends.picture, logits)
    ends = replace(ends, graph=graph, picture=seen)
    measured = measure(graph, ends.picture, ends.samples, wishes.memory)
    logits = with_classes(logits, measured)
    candidates = find_candidates(graph.proto, ends.picture, logits, measured.values)
    labels = labels_of(ends, logits, wishes, chosen)
    found = tuple(candidates)
    return Opened(graph, ends.picture, logits, ends.preprocessing, labels, measured, found, ends.samples, chosen)


def open_ends(path: str | Path, wishes: Wishes, *, whole: bool) -> Ends:
    """Read a model file and choose the preprocessing; by default of the `whole` picture where places matter."""
    graph, picture = read_input(hold(plain(read_model(path)), wishes.hold), wishes)
    if whole and picture.form != "picture":
        raise ModelError(f"boxes and regions are parts of pictures, and {picture.name!r} takes a {picture.form}")
    config = config_beside(Path(path))
    preprocessing = choose(
        picture,
        name=wishes.preprocessing,
        size=wishes.size if picture.form == "picture" else None,
        fit=wishes.fit,
        mean=wishes.mean,
        std=wishes.std,
        config=config,
        metadata=graph.metadata,
        graph=told_by_graph(graph.proto, picture.name),
        usual="stretch" if whole else "crop",
    )
    return Ends(graph, picture, preprocessing, config, sample_inputs(preprocessing, picture))


def told_by_graph(proto: Proto, picture: str) -> Recorded | None:
    """Say which pixels a graph takes, where it normalises them itself."""
    found = find_normalised(proto, picture)
    if found is None:
        return None
    values = replace(PRESETS["raw" if found.largest == 255 else "unit"], color=found.color)
    return Recorded(f"the graph, which normalises pixels 0..{found.largest} itself ({found.nodes})", values)


def with_chosen(ends: Ends, chosen: Chosen) -> Ends:
    """Put the nodes of a chosen box or region behind a model."""
    if isinstance(chosen, ChosenRegion):
        return replace(ends, graph=replace(ends.graph, proto=with_region(ends.graph.proto, chosen)))
    proto = with_box(ends.graph.proto, chosen)
    # What is listed after suppression has no axis of the batch.
    picture = replace(ends.picture, free_batch=ends.picture.free_batch and chosen.reading.kind not in LISTED)
    return replace(ends, graph=replace(ends.graph, proto=proto), picture=picture)


def labels_of(ends: Ends, logits: Logits, wishes: Wishes, chosen: Chosen | None) -> Labels:
    if isinstance(chosen, ChosenBox):
        return Labels((chosen.found.label,), "the class of the chosen box")
    single = "positive" if logits.activation == "sigmoid" else "score"
    found: dict[str, Any] = {"file": wishes.labels, "metadata": ends.graph.metadata, "config": ends.config}
    return choose_labels(logits.classes, single=single, **found)


def config_beside(path: Path) -> Mapping[str, Any] | None:
    found = find_config(path.parent, path.name)
    if found is None and path.absolute().parent.name == "onnx":  # Hugging Face keeps the file one folder deeper
        found = find_config(path.absolute().parent.parent, path.name)
    return found[0] if found else None


def measure(graph: Graph, picture: PictureInput, samples: NDArray[Any], memory: int | None) -> Measured:
    return trial(content_of(expose(graph.proto)), samples[:2], free_batch=picture.free_batch, memory=memory)


def with_classes(logits: Logits, measured: Measured) -> Logits:
    """Fill in the number of classes that the run showed, and what one score alone means; refuse other shapes."""
    value = measured.values.get(logits.tensor)
    if value is None:
        raise ModelError(f"expected class scores [1, classes] at {logits.tensor!r}, the run gave no array")
    classes = int(np.prod(value.shape))
    if classes != max(value.shape, default=1):
        raise ModelError(f"expected class scores [1, classes] at {logits.tensor!r}, got the shape {value.shape}")
    if not value.finite:
        raise not_finite(logits.tensor)
    if classes == 1:
        return one_score(logits)
    if logits.activation == "none" and value.sums_to_one:
        reason = f"output {logits.output!r} sums to 1 over the classes: the logarithm of these probabilities"
        return replace(logits, classes=classes, holds="probabilities", reason=reason)
    return replace(logits, classes=classes)


def one_score(logits: Logits) -> Logits:
    """Say what the only score is: that of a yes or no where a sigmoid follows, else a value."""
    if logits.activation == "softmax":
        raise ModelError(
            f"expected at least two classes, output {logits.output!r} is the softmax of one score, which is always 1; "
            "choose another output with --output"
        )
    meaning = {
        "sigmoid": f"{logits.reason}: one score, a yes or no",
        "none": f"output {logits.output!r} as it is: one score without a sigmoid, a value",
    }
    return replace(logits, classes=1, reason=meaning[logits.activation])


def not_finite(tensor: str) -> ModelError:
    return ModelError(
        f"the model gives scores that are not finite ({tensor!r}) for a photograph; the file is damaged "
        "or the preprocessing is wrong"
    )
