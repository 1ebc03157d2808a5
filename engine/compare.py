"""Several methods on one picture: their maps on one sheet, and a table of what each is worth and takes."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .answer import Attribution, Prediction
from .errors import DdcamError
from .explain import as_drawn, at_input, in_picture, warnings_of
from .methods import Method
from .methods.forms import require_picture
from .metrics import METRICS, Case, case_of
from .model import Model
from .preprocess import arranged, prepare
from .problem import Problem
from .render.sheet import Tile, sheet, tile_size
from .saliency import is_blank
from .search.kinds import Scores
from .trials import warm_up
from .types import Floats, Picture, Pixels, Placement
from .whereabouts import LEAST, whereabouts, without_place


@dataclass(frozen=True)
class Contest:
    """What is asked of every picture: methods by the names they were asked for, target and predicate as for `explain`.

    `warm` are the methods that have written what they need once a model.
    """

    model: Model
    methods: Mapping[str, Method]
    target: str | None = None
    preserve: str | None = None
    warm: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Row:
    """What came of one method: where its map lies, how faithful it is, what it took; None where that is not defined.

    `coverage` is the share of the map in `place`, and `area` that of the place in what the model saw; the place is
    the one with most more than its share. `half` is the least area that holds half of the map. `probes` are those of
    a search, `usual_cost` what the catalogue says of the method with its own options. `note` is why there is no map,
    or what to know of it.
    """

    method: str
    outcome: Literal["map", "blank", "refused"]
    place: str | None = None
    coverage: float | None = None
    area: float | None = None
    half: float | None = None
    insertion: float | None = None
    deletion: float | None = None
    seconds: float | None = None
    probes: int | None = None
    usual_cost: str = ""
    note: str = ""

    @property
    def where(self) -> str:
        """Say where the map lies: the share of it in a place, and of what the model saw; or why there is nothing."""
        if self.place is None or self.coverage is None or self.area is None or self.half is None:
            return self.outcome
        spread = f"{without_place(self.half)}: " if self.coverage - self.area < LEAST else ""
        return f"{spread}{self.coverage:.0%} in {self.place} ({self.area:.0%})"


@dataclass(frozen=True)
class Comparison:
    """The maps of several methods of one decision, and how alike they are.

    `agreement` `[n, n]` is Spearman's rank correlation between the maps of the methods `mapped`.
    """

    picture: str
    target: Prediction
    predicate: str
    rows: tuple[Row, ...]
    mapped: tuple[str, ...]
    agreement: NDArray[np.float64]
    sheet: Pixels


def compare(contest: Contest, picture: Picture, tell: Callable[[str], None] = lambda _: None) -> Comparison:
    """Run the methods on one decision about a picture; `tell` is called with the name of each before it runs.

    A method that refuses has a row with its reason, and an empty tile. Insertion, deletion and rank correlation are
    of the maps at the size of the model input. Raises OptionError, PictureError where no method can be asked.
    Cost: that of the methods, 58 forwards a map; on a model's first picture methods run twice that do not perturb it.
    """
    opened = contest.model.opened
    require_picture("a comparison", opened.picture)
    picture = arranged(picture, opened.preprocessing, opened.picture)
    inputs, placement = prepare(picture, opened.preprocessing, opened.picture)
    problem = pose(contest, inputs)
    plain = Scores(len(problem.logits), problem.activation).plain
    case = None if plain else case_of(problem, inputs)
    tried = []
    for name, method in contest.methods.items():
        tell(name)
        tried.append(placed(attempt(contest, name, method, inputs), contest.model, placement, case))
    decided = problem.prediction(problem.target)
    tiles = [tile_of(one, contest.model, placement) for one in tried]
    mapped = {one.row.method: one.map for one in tried if one.map is not None}
    return Comparison(
        picture=picture.name,
        target=decided,
        predicate=problem.preserve,
        rows=tuple(one.row for one in tried),
        mapped=tuple(mapped),
        agreement=rank_correlations(list(mapped.values())),
        sheet=sheet(picture.pixels, tiles, f"{decided.brief}, {picture.name}"),
    )


@dataclass(frozen=True)
class Tried:
    """A method that was run: what it said, if anything, its row so far, and its map at the size of the model input."""

    row: Row
    attribution: Attribution | None = None
    map: Floats | None = None


def pose(contest: Contest, inputs: NDArray[Any]) -> Problem:
    return Problem(contest.model, inputs, target=contest.target, preserve=contest.preserve)


def attempt(contest: Contest, name: str, method: Method, inputs: NDArray[Any]) -> Tried:
    """Run a method on a problem of its own, so that none profits from what another has computed."""
    cost = method.facts.cost
    try:
        if name not in contest.warm:
            warm_up(method, pose(contest, inputs))
            contest.warm.add(name)
        problem = pose(contest, inputs)
        started = time.perf_counter()
        found = method(problem)
        seconds = time.perf_counter() - started
    except DdcamError as error:
        return Tried(Row(name, "refused", usual_cost=cost, note=str(error)))
    note = "; ".join(warnings_of(found, contest.model))
    outcome: Literal["map", "blank"] = "blank" if is_blank(found.grid_map) else "map"
    probes = found.cost.probes if found.cost else None
    return Tried(Row(name, outcome, seconds=seconds, probes=probes, usual_cost=cost, note=note), found)


def placed(tried: Tried, model: Model, placement: Placement, case: Case | None) -> Tried:
    """Add where a map lies and how faithful it is; there is nothing to add to one that is blank or was refused."""
    found = tried.attribution
    if found is None or tried.row.outcome != "map":
        return tried
    row = tried.row
    if where := whereabouts(in_picture(found.grid_map, model.split, placement), placement):
        best = where.best
        row = replace(row, place=best.name, coverage=best.coverage, area=best.area, half=where.half)
    saliency = at_input(found.grid_map, model.split, model.opened.preprocessing)
    if case is not None:
        inserted, deleted = (METRICS[name](saliency, case) for name in ("insertion", "deletion"))
        row = replace(row, insertion=inserted, deletion=deleted)
    return replace(tried, row=row, map=saliency)


def tile_of(tried: Tried, model: Model, placement: Placement) -> Tile:
    """Draw a map at the size of a tile, as `explain` draws it: brightened where it was made pixel by pixel."""
    row, found = tried.row, tried.attribution
    if found is None:
        return Tile(row.method, f"refused: {row.note}", None)
    saliency = in_picture(found.grid_map, model.split, small(placement))
    return Tile(row.method, said_of(row), as_drawn(saliency, found.grid_map, model.opened.preprocessing))


def small(placement: Placement) -> Placement:
    """Return where the model's input lies in the picture when that is as small as a tile."""
    height, width = tile_size(placement.picture_height, placement.picture_width)
    down, across = height / placement.picture_height, width / placement.picture_width
    edges = (placement.top * down, placement.left * across, placement.bottom * down, placement.right * across)
    return Placement(height, width, *edges)


def said_of(row: Row) -> str:
    """Say below a tile what the table says of its map."""
    seconds = "under 0.01 s" if (row.seconds or 0) < 0.01 else f"{row.seconds:.2f} s"
    if row.outcome == "blank":
        return f"blank; {seconds}"
    metrics = (("insertion", row.insertion), ("deletion", row.deletion))
    values = [f"{name} {value:.2f}" for name, value in metrics if value is not None]
    half = [] if row.half is None else [f"half on {row.half:.0%}"]
    return ", ".join([*half, *values, seconds])


def rank_correlations(maps: Sequence[Floats]) -> NDArray[np.float64]:
    """Return Spearman's rank correlation of every two maps `[H, W]`, equal values at their mean rank."""
    from scipy.stats import rankdata  # noqa: PLC0415  (slow to import, and only this needs it)

    if not maps:
        return np.zeros((0, 0))
    ranks = np.stack([rankdata(values) for values in maps])
    ranks -= ranks.mean(axis=1, keepdims=True)
    products = ranks @ ranks.T
    lengths = np.sqrt(np.diag(products))
    return np.asarray((products / np.outer(lengths, lengths)).clip(-1, 1))
