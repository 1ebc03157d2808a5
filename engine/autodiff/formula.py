"""A method that is a formula: features and gradients of some layers, and a few operators on them, as one graph."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal

import onnx
from onnx import helper

from ..graph.build import Builder, Var
from ..graph.cut import LEAST
from ..types import Candidate, Logits
from .backward import backward
from .biases import Values, added
from .forward import Forward, joined
from .node import Operands
from .registry import Rules
from .rules import VJP
from .shaping import reshaped

Where = Literal["split", "through", "input", "stages", "biases", "attention"]
"""Which layers a formula reads: the split's (fed its tensor, or "through": the picture), the picture itself, the last
map of every size up to the split, the picture and then what each convolution and batch normalisation with a bias puts
out, or the attention probabilities of every block and behind them the last tokens."""
TARGET, RESULT, LOGITS = "ddcam_target", "ddcam_result", "ddcam_logits"
"""Names of the input for the target, and of two outputs, of a formula's graph."""
PREFIX = "ddcam_back_"


@dataclass(frozen=True)
class Layer:
    """A layer as formulas see it: features and their gradient, both `[N, K, h, w]` whatever the model's layout.

    `bias` `[1, K, 1, 1]` is what the layer added to each channel, where biases are asked for. Layers of attention are
    `[N, heads, T, T]`, and the last tokens `[N, T, D]`, with all tokens; `on_grid` makes of numbers `[N, T]` for all of
    them a map `[N, h, w]` of the patches.
    """

    features: Var
    gradient: Var
    bias: Var | None = None
    place: Candidate | None = None

    def on_grid(self, scores: Var) -> Var:
        """Lay numbers for all tokens `[N, T]` on the grid of the patches, `[N, h, w]`."""
        assert self.place is not None
        column = scores.op.Unsqueeze(scores, scores.op.ints([2])).shaped((*scores.sizes, 1))
        return as_map(column, self.place).reshape([-1, *self.place.grid])


def any_path(_: Sequence[onnx.NodeProto]) -> None:
    """Ask nothing of the nodes."""


def one_logit(_: Var, target: Var) -> Var:
    """Take the gradient of the target's logit."""
    return target


@dataclass(frozen=True)
class Formula:
    """What to compute of some layers: `build` gets a Layer for each and returns the result `[N, ...]`.

    `seed` makes the cotangent of the logits out of logits and one-hot target, all `[N, C]`; `rules` are those of the
    backward pass, by default gradients; `require` raises GradientError where the nodes up to the logits do not suit;
    `together` is how many inputs one run must hold, where an answer needs several (a picture and its reference).
    """

    name: str
    build: Callable[..., Var]
    where: Where = "split"
    seed: Callable[[Var, Var], Var] = one_logit
    rules: Rules = field(default_factory=lambda: VJP)
    require: Callable[[Sequence[onnx.NodeProto]], None] = any_path
    together: int | None = None

    def bound(self, options: Mapping[str, Any]) -> "Formula":
        """Return the formula with options of `build` given."""
        if not options:
            return self
        name = ":".join([self.name, *(f"{option}={value}" for option, value in options.items())])
        return replace(self, name=name, build=partial(self.build, **options))


@dataclass(frozen=True)
class Written:
    """A formula written for a model: the graph, its layers' tensors, and the outputs that hold their gradients.

    Attention is not among these layers: since data has ways around it, its gradient alone foretells no change.
    """

    graph: bytes
    layers: tuple[str, ...]
    gradients: tuple[str, ...]


def write_formula(forward: Forward, formula: Formula, layers: Sequence[Candidate], logits: Logits) -> Written:
    """Serialise `source [N, ...], TARGET [N, C] -> RESULT, LOGITS [N, C]`, and the layers' tensors and gradients.

    Raises GradientError where there is no gradient. Cost: nothing is run.
    """
    op = forward.builder(PREFIX)
    batch = (*forward.known.shapes[logits.tensor], 1)[0]  # one score may have no axis at all
    target = Var(op, TARGET, "float32", (batch, logits.classes))
    scores, seed = seeded(forward, op, formula, target, logits)
    names = [layer.tensor.name for layer in layers]
    biases = biases_behind(forward, op, names[0], logits.tensor) if formula.where == "biases" else {}
    found = backward(forward, logits.tensor, [*names, *biases], seed, formula.rules)
    features = [Var(op, name, "float32", forward.known.shapes[name]) for name in (*names, *biases)]
    view = as_tokens if formula.where == "attention" else as_map
    seen = [Layer(view(x, c), view(g, c), place=c) for x, g, c in zip(features, found, layers, strict=False)]
    more = zip(features[len(names) :], found[len(names) :], biases.values(), strict=True)
    result = op.node("Identity", [formula.build(*seen, *(Layer(x, g, op.constant(b)) for x, g, b in more))])
    rename(op, {result.name: RESULT, scores.name: LOGITS})
    checked = {c.tensor.name: g.name for g, c in zip(found, layers, strict=False) if c.form != "attention"}
    inputs = inputs_of(forward, target)
    fed = {item.name for item in inputs}
    outputs = [RESULT, LOGITS, *(name for name in checked if name not in fed), *checked.values()]
    model = joined(forward, op, inputs, [onnx.ValueInfoProto(name=name) for name in dict.fromkeys(outputs)])
    return Written(model.SerializeToString(), tuple(checked), tuple(checked.values()))


def biases_behind(forward: Forward, op: Builder, source: str, of: str) -> dict[str, Values]:
    return added(forward, Operands(op, forward.model.graph, forward.known), source, of)


def seeded(forward: Forward, op: Builder, formula: Formula, target: Var, logits: Logits) -> tuple[Var, Var]:
    """Return the logits `[N, C]` and the cotangent of the tensor that holds them (or holds their probabilities)."""
    tensor = Var(op, logits.tensor, "float32", forward.known.shapes[logits.tensor])
    scores = op.Reshape(tensor, op.ints([-1, logits.classes])).shaped(target.shape)
    if logits.holds == "probabilities":
        share = scores + LEAST
        scores = op.Log(share).shaped(target.shape)
        return op.Identity(scores), reshaped((formula.seed(scores, target) / share).shaped(target.shape), tensor)
    return op.Identity(scores), reshaped(formula.seed(scores, target).shaped(target.shape), tensor)


def as_map(x: Var, layer: Candidate) -> Var:
    """Bring a layer's tensor to `[N, K, h, w]`: channels first, tokens without class and register tokens on a grid."""
    if layer.form == "tokens":
        tokens = layer.tensor.shape[1] or 0
        kept = [i for i in range(tokens) if i not in layer.fixed]
        patches = x.op.Gather(x, x.op.ints(kept), axis=1) if layer.fixed else x
        width = x.sizes[2] or -1
        return patches.transpose([0, 2, 1]).reshape([-1, width, *layer.grid]).shaped((x.sizes[0], width, *layer.grid))
    order = [0, layer.unit_axis, *(i for i in (1, 2, 3) if i != layer.unit_axis)]
    if order == [0, 1, 2, 3]:
        return x
    return x.transpose(order).shaped(tuple(x.sizes[i] for i in order))


def as_tokens(x: Var, layer: Candidate) -> Var:
    """Leave tokens as they are, and give attention an axis for the heads, which may be one with that of the batch."""
    if layer.form == "attention" and x.rank == 3:
        heads, count, _ = (size or 1 for size in layer.tensor.shape)
        return x.reshape([-1, heads, count, count]).shaped((None, heads, count, count))
    return x


def rename(op: Builder, names: dict[str, str]) -> None:
    """Give outputs their public names, in place."""
    for node in op.nodes:
        for field_ in (node.input, node.output):
            field_[:] = [names.get(name, name) for name in field_]


def inputs_of(forward: Forward, target: Var) -> list[onnx.ValueInfoProto]:
    sizes: list[int | str] = ["N" if size is None else size for size in target.sizes]
    return [*forward.model.graph.input, helper.make_tensor_value_info(TARGET, onnx.TensorProto.FLOAT, sizes)]
