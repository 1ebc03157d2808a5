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
UnitKind = Literal["channel", "token", "cell"]
Activation = Literal["softmax", "sigmoid", "none"]
HeadClass = Literal["additive", "interacting"]
Device = Literal["cpu", "cuda"]


@dataclass(frozen=True)
class Wishes:
    """What a user may ask for when a model is loaded; None leaves the choice to ddcam.

    `size` is height and width of the model input, `mean` and `std` per channel, `labels` the path of a file,
    `threads` 0 all cores, `batch` the most masks a run, `memory` bytes that the trial run may use.
    """

    units: "UnitKind | None" = None
    split: str | None = None
    output: str | None = None
    layout: "Layout | None" = None
    preprocessing: str | None = None
    size: tuple[int, int] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    labels: Path | None = None
    device: str = "auto"
    threads: int = 0
    batch: int | None = None
    memory: int | None = None


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
    """The graph input that takes the picture."""

    name: str
    dtype: str
    layout: Layout
    channels: int
    height: int | None
    width: int | None
    free_batch: bool

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
    """A tensor that every path from the picture to the logits passes through."""

    tensor: Tensor
    form: Literal["map", "tokens"]
    unit_axis: int
    grid: tuple[int, int]
    fixed: tuple[int, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Split:
    """Where the model is cut, what its units are there, and why."""

    tensor: str
    dtype: str
    shape: tuple[int, ...]
    units: UnitKind
    count: int
    unit_axis: int
    grid: tuple[int, int]
    fixed: tuple[int, ...]
    reason: str


@dataclass(frozen=True)
class Preprocessing:
    """How pixels become model input: fit to size, colour order, then `(x * scale - mean) / std`.

    `fit` is "crop" (short side to size / `crop`, then the centre) or "stretch" (both sides to size / `crop`,
    then the centre); mean and std are in the model's channel order.
    """

    name: str
    height: int
    width: int
    fit: Literal["crop", "stretch"]
    crop: float
    resample: Literal["nearest", "bilinear", "bicubic", "lanczos"]
    color: Literal["RGB", "BGR", "L"]
    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    reason: str


@dataclass(frozen=True)
class Picture:
    """A picture as people see it: upright, RGB, 8 bit; `sha256` is that of the file or, without one, of the pixels."""

    pixels: Pixels
    name: str
    sha256: str


@dataclass(frozen=True)
class Placement:
    """Where the model's input lies in the picture, in picture pixels (floats: edges, not centres)."""

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


@dataclass(frozen=True)
class Prediction:
    """One class of a decision."""

    index: int
    label: str
    logit: float
    probability: float


@dataclass(frozen=True)
class Certificate:
    """What the unfolded head says of a subset S, asked one mask at a time.

    Margins are in logit units: the predicate holds where they are positive (for a confidence, or 0).
    """

    sufficient: bool
    minimal: bool
    empty_keeps: bool
    margin: float
    margin_without: tuple[float, ...]
    margin_empty: float
    margin_full: float
    logit: float
    logit_without: tuple[float, ...]
    runs: int

    @property
    def holds(self) -> bool:
        return self.sufficient and self.minimal


@dataclass(frozen=True)
class Cost:
    """What a search took."""

    probes: int
    batches: int
    canonical_runs: int
    seconds: float


@dataclass(frozen=True)
class Attribution:
    """What a method says: signed scores of the units, the same as a map over the grid, and for a search its subset."""

    method: str
    scores: NDArray[np.float32]
    grid_map: NDArray[np.float32]
    weighting: str
    subset: tuple[int, ...] | None = None
    outcome: str = ""
    search: str = ""
    certificate: Certificate | None = None
    cost: Cost | None = None


@dataclass(frozen=True)
class Explanation:
    """Everything that is known about one decision on one picture."""

    model: dict[str, Any]
    picture: Picture
    preprocessing: Preprocessing
    placement: Placement
    split: Split
    head: dict[str, str]
    predicate: str
    target: Prediction
    top: tuple[Prediction, ...]
    attribution: Attribution
    saliency: NDArray[np.float32]
    device: Device
    warnings: tuple[str, ...] = ()
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)

    def __str__(self) -> str:
        """Say it in a sentence: what was decided, how much of the model suffices, whether that is certain."""
        found, units = self.attribution, self.split.units
        decided = f"{self.target.label} ({self.target.index}), probability {self.target.probability:.3f}"
        if found.subset is None or found.certificate is None or found.cost is None:
            return f"{decided}: {found.method} map"
        certain = {True: "certified 1-minimal", False: "NOT 1-minimal"}[found.certificate.holds]
        return (
            f"{decided}: {len(found.subset)} of {self.split.count} {units}s suffice for {self.predicate} "
            f"({certain}; {found.cost.probes} probes, {found.cost.seconds:.2f} s)"
        )
