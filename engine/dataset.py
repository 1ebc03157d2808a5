"""Labelled pictures to measure on: samples that are opened when asked for, and what their labels mean to a model."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from .errors import OptionError
from .types import Labels, Picture

Box = tuple[float, float, float, float]
"""Left, top, right and bottom in pixels of the picture, edges and not centres."""
IMAGENET = 1000


@dataclass(frozen=True)
class Sample:
    """One picture of a data set; `label` is its true class, an index or a name, `boxes` where the object is.

    `name` is its own within the data set; `open` raises PictureError.
    """

    name: str
    open: Callable[[], Picture]
    label: int | str | None = None
    boxes: tuple[Box, ...] = ()


@dataclass(frozen=True)
class Dataset:
    """Samples, the names of their classes by index where these are known, and how it was read."""

    samples: tuple[Sample, ...]
    classes: tuple[str, ...]
    reason: str

    @property
    def digest(self) -> str:
        """The sha256 of names, labels and boxes; the pictures themselves are not read."""
        told = [[s.name, s.label, s.boxes] for s in self.samples]
        return hashlib.sha256(json.dumps([self.classes, told]).encode()).hexdigest()


def drawn(samples: Sequence[Sample], limit: int | None, seed: int) -> list[Sample]:
    """Return the samples in a random order, the first `limit` of them; a larger limit goes on where a smaller ended."""
    order = np.random.default_rng(seed).permutation(len(samples))
    return [samples[i] for i in order[:limit]]


def true_classes(data: Dataset, labels: Labels) -> dict[int | str, int]:
    """Return the model's class index of every label that names one.

    A name counts as one of the model's classes in any case, else as the class of the data set at whose place it
    stands, where data set and model have as many classes. An index is the model's own, one later where the data set
    has ImageNet's 1000 classes and the model a background before them.
    """
    wanted = list(dict.fromkeys(s.label for s in data.samples if s.label is not None))
    return {label: index for label in wanted for index in indices(label, data, labels)}


def require_known(data: Dataset, labels: Labels) -> None:
    """Raise OptionError where no picture has a label that is a class of the model."""
    if not true_classes(data, labels):
        given = next((repr(s.label) for s in data.samples if s.label is not None), "none")
        raise OptionError(
            f"expected labels that are classes of the model ({labels[0]!r}, ...), got {given}; name the model's "
            "classes with --labels, or explain the class decided for"
        )


def indices(label: int | str, data: Dataset, labels: Labels) -> Iterator[int]:
    """Yield the index that a label means, or nothing."""
    count = len(labels.names)
    shift = int(len(data.classes) == IMAGENET and count == IMAGENET + 1)
    if isinstance(label, str):
        lowered = [name.lower() for name in labels.names]
        if lowered.count(label.lower()) == 1:
            yield lowered.index(label.lower())
        elif label in data.classes and len(data.classes) + shift == count:
            yield data.classes.index(label) + shift
    elif 0 <= label + shift < count:
        yield label + shift
