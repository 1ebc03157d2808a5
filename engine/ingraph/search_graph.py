"""DD-CAM as part of a model: a loop over the pictures of a batch, in each the search, its certificate and its map."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from ..graph.build import Builder, Var, relu
from ..graph.cut import LEAST
from ..graph.loops import Turn, inside, loop, number, row, scalar, scattered
from ..graph.quantization import Quantization
from ..graph.splice import Host, content_of
from ..types import Floats, Logits, Split
from .heads import Fixed, Head
from .margins import ask
from .scorers import Run, Runs, Scorer, Table
from .sweeping import Search, Subset, swept
from .useful import Worth, by_class, by_removal, by_rows, first, worth

Splice = Callable[[Builder, Fixed, Var], Var]
"""Writes the head into a graph: what a picture fixes and masks `[B, n]` to logits `[B, C]`."""


@dataclass(frozen=True)
class Asked:
    """A predicate as it is asked of every picture: kind and number, and of which class (None: the one decided for)."""

    kind: str
    value: float
    weighs: Literal["logit", "margin"]
    target: int | None


@dataclass(frozen=True)
class Plan:
    """What the search is made of: where features and logits are, and what the engine knows of the head.

    `nothing` `[C]` are the logits without any unit.
    `effects` `[C, n]`: what one more of a unit adds to each class, and in the `mean`, or a guess at it, which serves
    the order alone; where units are `additive`, effects are no guess. `tried` of them are removed once to order them,
    where nothing else tells. `ahead` probes go through the head at once.
    """

    split: Split
    logits: Logits
    head: Head
    nothing: Floats
    effects: Floats | None
    mean: Floats | None
    additive: bool
    tried: int
    ahead: int
    features_as: Quantization | None
    logits_as: Quantization | None


@dataclass(frozen=True)
class Answer:
    """What comes out for `[N]` pictures: masks `[N, n]`, two flags `[N]`, and maps `[N, h, w]` over the grid."""

    units: Var
    sufficient: Var
    minimal: Var
    maps: Var


def search_graph(op: Builder, always: Builder, plan: Plan, asked: Asked, splice: Splice, into: Host) -> Answer:
    """Write the search into a model whose tensors `plan` names; `always` takes what depends on no picture."""
    rows = logit_rows(op, plan)
    shared = Shared(
        op.constant(np.asarray(plan.nothing[None], np.float32)),
        None if plan.effects is None else effects_of(always, plan.effects, into),
        None if plan.mean is None else op.constant(plan.mean),
    )

    def picture(index: Var, _: list[Var]) -> Turn:
        body = index.op
        full = row(body.Gather(inside(body, rows), index)).shaped((1, plan.logits.classes))
        search, nothing = posed(index, full, plan, asked, shared, splice)
        found = swept(search, nothing)
        scores = scattered(plan.split.count, found.units, found.weights)
        mask = scattered(plan.split.count, found.units, 1.0)
        drawn = grid_map(index, plan, found, scores)
        always = body.constant(np.array(True))
        return Turn(always, [], [mask, found.sufficient, found.minimal, drawn])

    times = scalar(op.Shape(rows).slice(0, 0, 1))
    return Answer(*loop(op, [], picture, times=times))


@dataclass(frozen=True)
class Shared:
    """Constants that all pictures share."""

    nothing: Var
    effects: Var | None
    mean: Var | None


def effects_of(op: Builder, values: Floats, into: Host) -> Var:
    """Return effects `[n, C]` from `[C, n]`: as a weight of the model, where it holds them, else as a constant.

    A weight that lies the other way is turned by a node that reads no picture: runtimes do that once, when the model
    is loaded, and the file need not hold it twice.
    """
    turned = np.ascontiguousarray(values.T)
    if (name := into.weights.get(content_of(turned))) is not None:
        return Var(op, name, "float32", turned.shape)
    for shape in (values.shape, (*values.shape, 1, 1)):
        if (name := into.weights.get(content_of(values.reshape(shape)))) is not None:
            return Var(op, name, "float32").reshape(values.shape).transpose([1, 0])
    return op.constant(turned)


def logit_rows(op: Builder, plan: Plan) -> Var:
    """Return the logits `[N, C]` of the model itself as float32."""
    logits = real(Var(op, plan.logits.tensor, "unknown"), plan.logits_as)
    if plan.logits.holds == "probabilities":
        logits = op.Log(logits + LEAST)
    return logits.reshape([-1, plan.logits.classes])


def real(value: Var, quantization: Quantization | None) -> Var:
    """Return a tensor of a model as float32, dequantised where it holds integers."""
    if quantization is None:
        return value.cast("float32")
    op = value.op
    scale, zero = np.array(quantization.scale, np.float32), np.array(quantization.zero, quantization.dtype)
    return op.node("DequantizeLinear", [value, op.constant(scale), op.constant(zero)], dtype="float32")


def posed(index: Var, full: Var, plan: Plan, asked: Asked, shared: Shared, splice: Splice) -> tuple[Search, Var]:
    """Pose the search for one picture, and return the logits `[1, C]` without any unit."""
    op = index.op
    target = scalar(op.ArgMax(full, axis=1, keepdims=0)) if asked.target is None else number(op, asked.target)
    question = ask(asked.kind, asked.value, plan.logits.activation == "sigmoid", target, full)
    fixed = plan.head.prepare(op.Gather(Var(op, plan.head.source, plan.head.dtype), row(index)))
    nothing = inside(op, shared.nothing)
    if plan.split.fixed:  # tokens that stay make of nothing something of the picture's own
        nothing = splice(op, fixed, op.constant(np.zeros((1, plan.split.count), np.float32)))
    nothing = nothing.shaped((1, plan.logits.classes))
    one = One(
        plan,
        replace(shared, nothing=nothing),
        plan.head.strengths(fixed),
        lambda inner, masks: splice(inner, fixed, masks),
    )
    scorer = one.scorer()
    order = one.order(scorer, worth(question, nothing), full)
    return Search(scorer, question, order, plan.split.count, asked.weighs), nothing


@dataclass(frozen=True)
class One:
    """A picture at hand: how strong its units are `[n]`, and the head for masks of them."""

    plan: Plan
    shared: Shared
    strengths: Var
    head: Run

    def scorer(self) -> Scorer:
        """Return what probes go through: sums where units add up, else runs of the head."""
        plan, units, nothing = self.plan, self.plan.split.count, self.shared.nothing
        if not plan.additive:
            return Runs(self.head, units, plan.ahead)
        if self.shared.effects is not None:
            return Table(self.strengths, self.shared.effects, nothing)
        op = self.strengths.op
        alone = self.head(op, op.constant(np.eye(units, dtype=np.float32))) - nothing
        return Table(op.constant(np.ones(units, np.float32)), alone, nothing)

    def order(self, scorer: Scorer, weighed: Worth, full: Var) -> Var:
        """Return the units `[n]`, the most useful first, as `Problem.order` does."""
        plan, units, effects, mean = self.plan, self.plan.split.count, self.shared.effects, self.shared.mean
        if effects is not None and mean is not None:
            return by_class(weighed, effects, mean, self.strengths, units)
        if isinstance(scorer, Table):
            return first(by_rows(weighed, scorer.effects), units)

        def costs(each: Var) -> Var:
            return by_rows(weighed, full - scorer.without(each.op.ints(range(units)), each))

        return by_removal(self.strengths, plan.tried, units, costs)


def grid_map(index: Var, plan: Plan, found: Subset, scores: Var) -> Var:
    """Return the map `[h, w]`: ReLU(sum_u w_u F_u) of channels, of others their weights at their places."""
    op, split = index.op, plan.split
    if split.units != "channel":
        return relu(scores).reshape(split.grid)
    features = op.Gather(Var(op, split.tensor, split.dtype), index)
    order = [split.unit_axis - 1, *(axis for axis in range(len(split.shape) - 1) if axis != split.unit_axis - 1)]
    maps = real(features, plan.features_as).transpose(order).reshape([split.count, -1])
    drawn = relu(row(found.weights) @ op.Gather(maps, found.units)).reshape(split.grid)
    none = op.Equal(op.Size(found.units), number(op, 0))
    return none.where(0.0, drawn)
