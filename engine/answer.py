"""What comes out: of a search, of a method, of an explanation."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .chosen import Chosen, ChosenBox
from .types import Device, Form, Picture, Pixels, Placement, Preprocessing, Seek, Split, UnitKind


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
