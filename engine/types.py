"""The records that travel along the straight line; they hold data and know nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Pixels = NDArray[np.uint8]
Masks = NDArray[np.float32]
"""`[B, n_units]`, 1 = keep, 0 = remove."""

Layout = Literal["NCHW", "NHWC"]
UnitKind = Literal["channel", "token", "cell", "patch"]
UnitWish = Literal["channel", "token", "cell", "patch", "place"]
"""A kind of units, or whichever of the model's are places in the picture: cells of a map, tokens of a transformer."""
Baseline = Literal["mean", "blur", "zero"]
Activation = Literal["softmax", "sigmoid", "none"]
HeadClass = Literal["additive", "interacting"]
Device = Literal["cpu", "cuda"]
Rounding = Literal["refuse", "straight-through"]
"""What a gradient does at the rounding of a quantised model: none is taken, or rounding is passed over."""
Doubts = Literal["look", "none"]
"""Whether the preprocessing is compared with what the model was trained with, or believed."""
Fit = Literal["crop", "stretch", "pad"]
"""How a picture of another shape becomes model input: its centre, the whole of it squeezed, or with a grey border."""
Form = Literal["picture", "series", "volume"]
"""What a model looks at: two axes of places, one, or three."""
Seek = Literal["sufficient", "necessary"]
"""Units that suffice for the decision, or units without which it is lost."""


@dataclass(frozen=True)
class Wishes:
    """What a user may ask for when a model is loaded; None leaves the choice to ddcam.

    `patch` is the side of a patch in pixels of the model input and `baseline` what takes its place; `size` is height
    and width of the model input, `fit` how a picture gets that shape, `mean` and `std` per channel, `labels` the path
    of a file, `threads` 0 all cores, `batch` the most masks a run, `memory` bytes that the trial run may use,
    `rounding` what gradients do in a quantised model, `detector` how the outputs of a detector are read; `input` is the
    one that takes the picture, `hold` the values of others by name,
    `doubts` whether the preprocessing is compared with what the model was trained with.
    """

    units: "UnitWish | None" = None
    patch: int | None = None
    baseline: "Baseline | None" = None
    split: str | None = None
    output: str | None = None
    layout: "Layout | None" = None
    preprocessing: str | None = None
    size: tuple[int, int] | None = None
    fit: "Fit | None" = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    labels: Path | None = None
    device: str = "auto"
    threads: int = 0
    batch: int | None = None
    memory: int | None = None
    rounding: "Rounding" = "refuse"
    detector: str | None = None
    input: str | None = None
    hold: Mapping[str, Any] | None = None
    doubts: "Doubts" = "look"


@dataclass(frozen=True)
class Question:
    """What is asked of a search, and at what cost.

    `search` names it; `seek` is whether units are wanted that suffice, or units without which the decision is lost;
    `count` how many answers; `probes` and `seconds` the most that a search may take.
    """

    search: str = "auto"
    seek: Seek = "sufficient"
    count: int = 1
    probes: int | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Parted:
    """A graph that one message cannot hold: its bytes without the large weights, and these by name."""

    graph: bytes
    weights: Mapping[str, NDArray[Any]]

    def __len__(self) -> int:
        return len(self.graph) + sum(weight.nbytes for weight in self.weights.values())


Content = bytes | Parted
"""What ONNX Runtime loads."""
BESIDE = "weights.bin"
"""The file that a parted graph says its weights lie in, one after the other."""


@dataclass(frozen=True)
class Tensor:
    """A named tensor of a graph: ONNX element type in NumPy's words, shape with None where it is free."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]

    def __str__(self) -> str:
        return f"{self.name} {self.dtype}[{', '.join('?' if d is None else str(d) for d in self.shape)}]"


@dataclass(frozen=True)
class PictureInput:
    """The graph input that takes the picture.

    A series is a picture of height 1; a volume one of its `depth` slices, each below the one before. `folded` are maps
    that got four axes in the same way, with their depth.
    """

    name: str
    dtype: str
    layout: Layout
    channels: int
    height: int | None
    width: int | None
    free_batch: bool
    form: Form = "picture"
    depth: int = 1
    folded: Mapping[str, int] = field(default_factory=dict)

    def shape(self, batch: int, height: int, width: int) -> tuple[int, int, int, int]:
        if self.layout == "NCHW":
            return batch, self.channels, height, width
        return batch, height, width, self.channels


@dataclass(frozen=True)
class Logits:
    """Where the class scores are read: the tensor before the final softmax, and what follows it.

    Where no softmax was recognised and the tensor holds probabilities all the same, their logarithm is used.
    """

    tensor: str
    output: str
    classes: int
    activation: Activation
    reason: str
    holds: Literal["logits", "probabilities"] = "logits"


@dataclass(frozen=True)
class Value:
    """What a run saw of a tensor at batch 1; `same` are the positions of axis 1 on which two pictures agree exactly."""

    shape: tuple[int, ...]
    dtype: str
    finite: bool = True
    same: tuple[int, ...] = ()
    sums_to_one: bool = False


@dataclass(frozen=True)
class Measured:
    """What a trial run saw: every tensor at batch 1, and the shapes at batch 2 where the batch is really free."""

    values: Mapping[str, Value]
    batch_two: Mapping[str, tuple[int, ...]] | None


@dataclass(frozen=True)
class Candidate:
    """A tensor that every path from the picture to the logits passes through; attention's data has ways around it."""

    tensor: Tensor
    form: Literal["map", "tokens", "attention"]
    unit_axis: int
    grid: tuple[int, int]
    fixed: tuple[int, ...] = ()
    note: str = ""
    depth: int = 1


@dataclass(frozen=True)
class Split:
    """Where the model is cut, what its units are there, and why.

    Patches are squares of the model's input: `patch` is their side in its pixels, `baseline` what a removed one is.
    `slices` are how many slices of a volume lie below each other in the model's input, and in the grid.
    """

    tensor: str
    dtype: str
    shape: tuple[int, ...]
    units: UnitKind
    count: int
    unit_axis: int
    grid: tuple[int, int]
    fixed: tuple[int, ...]
    reason: str
    patch: int | None = None
    baseline: Baseline | None = None
    slices: tuple[int, int] = (1, 1)


@dataclass(frozen=True)
class Preprocessing:
    """How pixels become model input: fit to size, colour order, then `(x * scale - mean) / std`.

    `fit` is "crop" (short side to size / `crop`, then the centre), "stretch" (both sides to size / `crop`,
    then the centre) or "pad" (long side to size, then grey around it); mean and std are in the model's channel order.
    The color "bands" is that of arrays, which go in without a fit.
    """

    name: str
    height: int
    width: int
    fit: Fit
    crop: float
    resample: Literal["nearest", "bilinear", "bicubic", "lanczos"]
    color: Literal["RGB", "BGR", "L", "bands"]
    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    reason: str


@dataclass(frozen=True)
class Picture:
    """A picture as people see it: upright, RGB, 8 bit; `sha256` is that of the file or, without one, of the pixels.

    Of an array there are the `values` too, as the file has them or, once a model told them apart, as `[H, W, C]`.
    """

    pixels: Pixels
    name: str
    sha256: str
    values: NDArray[Any] | None = None


@dataclass(frozen=True)
class Placement:
    """Where the model's input lies in the picture, in picture pixels (floats: edges, not centres).

    A padded input reaches beyond the picture.
    """

    picture_height: int
    picture_width: int
    top: float
    left: float
    bottom: float
    right: float


@dataclass(frozen=True)
class Labels:
    """Class names by index, and where they came from."""

    names: tuple[str, ...]
    reason: str

    def __getitem__(self, index: int) -> str:
        return self.names[index] if index < len(self.names) else f"class {index}"
