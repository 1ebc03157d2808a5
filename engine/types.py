"""The records that travel along the straight line; they hold data and know nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .chosen import Chosen, ChosenBox

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


@dataclass(frozen=True)
class Prediction:
    """One class of a decision, or the one score of a model that has no more; a plain score has no probability."""

    index: int
    label: str
    logit: float
    probability: float | None

    @property
    def brief(self) -> str:
        """The class and its probability as a title has them."""
        return str(self) if self.probability is None else f"{self.label} {self.probability:.1%}"

    def __str__(self) -> str:
        if self.probability is None:
            return f"{self.label} {self.logit:.5g}"
        return f"{self.label} ({self.index}), probability {self.probability:.3f}"


@dataclass(frozen=True)
class Certificate:
    """What the unfolded head says of a subset S, asked one mask at a time.

    Margins are in logit units: the predicate holds where they are positive (for a confidence, or 0). `decided` is the
    class decided for with S, `decided_without` that with S without each of its units.
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
    decided: int | None = None
    decided_without: tuple[int, ...] = ()

    @property
    def holds(self) -> bool:
        return self.sufficient and self.minimal


@dataclass(frozen=True)
class Cost:
    """What a search took: probes asked, runs of them, canonical runs; the search's seconds include folding."""

    probes: int
    batches: int
    canonical_runs: int
    seconds: float
    search_seconds: float
    certificate_seconds: float


@dataclass(frozen=True)
class Bound:
    """What is proven about size: no set of fewer than `least` units satisfies the predicate."""

    least: int
    seconds: float


@dataclass(frozen=True)
class Answer:
    """One more subset that answers the question, and its proof."""

    subset: tuple[int, ...]
    certificate: Certificate


@dataclass(frozen=True)
class Part:
    """One of the things that a map is made of: what it is called, its map `[h, w]`, and pieces of other pictures.

    `examples` `[n, side, side, 3]` show what it stands for.
    """

    caption: str
    grid_map: NDArray[np.float32]
    examples: Pixels


@dataclass(frozen=True)
class Attribution:
    """What a method says: signed scores of the units, the same as a map over the grid, and for a search its subset.

    `others` are further answers, `bound` what is proven about the fewest units, `warnings` what to know of the map,
    `parts` what it is made of (concepts, prototypes), most important first.
    """

    method: str
    scores: NDArray[np.float32]
    grid_map: NDArray[np.float32]
    weighting: str
    subset: tuple[int, ...] | None = None
    outcome: str = ""
    search: str = ""
    certificate: Certificate | None = None
    cost: Cost | None = None
    seek: Seek = "sufficient"
    others: tuple[Answer, ...] = ()
    bound: Bound | None = None
    warnings: tuple[str, ...] = ()
    parts: tuple[Part, ...] = ()

    @property
    def certain(self) -> str:
        """Say what is guaranteed about the subset."""
        if self.outcome == "full-fails":
            return "not even without all of them"
        if self.certificate is None or not self.certificate.sufficient:
            return "NOT certified"
        if self.certificate.minimal and self.bound is not None and self.subset is not None:
            least = self.bound.least
            proven = "minimum, proven" if least == len(self.subset) else f"at least {least} needed, proven"
            return f"certified 1-minimal; {proven}"
        if self.certificate.minimal:
            return "certified 1-minimal"
        return "certified, not minimal: the budget was spent" if self.outcome == "out-of-budget" else "NOT 1-minimal"


@dataclass(frozen=True)
class Explanation:
    """Everything that is known about one decision on one picture.

    `rivals` are the other classes that units of the subset hold off, as the whole picture scores them; `text` says it
    all in a few sentences; `held` are the model's other inputs and the values they had.
    """

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
    rivals: tuple[Prediction, ...] = ()
    text: str = ""
    chosen: Chosen | None = None
    held: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    def __str__(self) -> str:
        """Say it in a sentence: what was decided, how much of the model suffices, whether that is certain."""
        found, units = self.attribution, plural(self.split.units)
        if found.subset is None or found.cost is None:
            return f"{self.what}: {found.method} map"
        amount = f"{len(found.subset)} of {self.split.count} {units}"
        said = {
            "sufficient": f"{amount} suffice for {self.kept}",
            "necessary": f"without {amount}, {self.kept} is lost",
        }[found.seek]
        more = f"; {len(found.others)} further answers" if found.others else ""
        return f"{self.what}: {said} ({found.certain}{more}; {found.cost.probes} probes, {found.cost.seconds:.2f} s)"

    @property
    def form(self) -> Form:
        """Whether a picture, a series or a volume is explained."""
        found: Form = self.model.get("form", "picture")
        return found

    @property
    def depth(self) -> int:
        """Slices of a volume, which lie below each other in picture and map."""
        return int(self.model.get("depth", 1))

    @property
    def what(self) -> str:
        """What is explained: the target, or the chosen box, or the class of the chosen region."""
        if isinstance(self.chosen, ChosenBox):
            return str(self.chosen)
        return f"{self.target} in {self.chosen}" if self.chosen else str(self.target)

    @property
    def kept(self) -> str:
        """What is preserved; of a box the predicate says how high its score stays, the overlap goes without saying."""
        if isinstance(self.chosen, ChosenBox):
            return f"{self.chosen.found.label} with IoU >= {self.chosen.iou:g} there ({self.predicate})"
        return self.predicate


def plural(units: UnitKind) -> str:
    return "patches" if units == "patch" else f"{units}s"
