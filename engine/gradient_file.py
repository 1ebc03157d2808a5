"""A model's backward graph as a file: gradients for whoever runs ONNX, compared with differences beforehand."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .atomic import whole_file
from .autodiff.backward import refuse_path
from .autodiff.forward import Forward, prepare_forward
from .autodiff.gradient_graph import NUDGE, SEED, gradient_graph, gradient_name, nudged
from .autodiff.registry import Rules
from .autodiff.rules import VJP
from .autodiff.straight_through import straight_through
from .errors import OptionError
from .formulas import differentiable, picture_layer
from .graph.cut import expose
from .graph.load import valid_bytes
from .open_model import Opened, open_model
from .runtime.session import Session
from .slopes import Change, between, change, require_slopes
from .types import Floats, Wishes
from .whole import inputs_at

PICTURES = 2
"""Pictures that the slopes are measured on, together where the batch is free."""


@dataclass(frozen=True)
class Derivative:
    """What is differentiated (by default the class scores), and by what (by default the picture)."""

    of: str | None = None
    wrt: tuple[str, ...] = ()


def write_gradient(
    path: str | Path, out: Path, derivative: Derivative, wishes: Wishes, *, replace: bool = False
) -> tuple[str, tuple[str, ...], float | None]:
    """Write `inputs, seed -> of, gradient_of_<tensor>...` of a model; return of, the tensors and the worst slope error.

    All are tensors of real numbers, `of` depends on the others. Every gradient is compared with differences on
    photographs before the file is written; under other rules than those of gradients there is nothing to compare, and
    the error is None. Raises ModelError, GradientError, OptionError, CheckError, OutputError.
    Cost: four loads, and about ten forwards a tensor.
    """
    rules = straight_through() if wishes.rounding == "straight-through" else VJP
    with whole_file(out, replace=replace) as work:
        opened = open_model(path, wishes)
        of, wrt, source = derivative.of or opened.logits.tensor, derivative.wrt, opened.picture.name
        if not wrt:
            refuse_path(opened.graph.proto.graph, source, of, rules)
            source = picture_layer(opened).tensor.name
            wrt = (source,)
        forward, feeds = forward_to(opened, source, Derivative(of, wrt), rules)
        graph = valid_bytes(gradient_graph(forward, of, wrt, rules), out.name)
        error = worst_slope(forward, graph, of, wrt, feeds) if rules is VJP else None
        work.write_bytes(graph)
    return of, wrt, error


def forward_to(opened: Opened, source: str, asked: Derivative, rules: Rules) -> tuple[Forward, dict[str, NDArray[Any]]]:
    """Return the prepared graph up to what is differentiated, and photographs to feed it."""
    of = str(asked.of)
    for name in (of, *asked.wrt):
        require_real(opened, name)
    for name in asked.wrt:
        refuse_path(opened.graph.proto.graph, name, of, rules)
    graph, most = differentiable(opened, source, of)
    samples = inputs_at(opened, source)
    one, two = {source: samples[:1]}, {source: samples[:PICTURES]}
    keep = [of, *(name for name in asked.wrt if name != source)]
    forward = prepare_forward(graph, list(dict.fromkeys(keep)), one, two if most > 1 else None)
    return forward, two if most > 1 else one


def require_real(opened: Opened, name: str) -> None:
    value = opened.measured.values.get(name)
    if value is None or value.dtype[:5] not in ("float", "bfloa"):
        what = "is not in the model" if value is None else f"holds {value.dtype}"
        raise OptionError(f"expected a tensor of real numbers, {name!r} {what}; ddcam inspect lists tensors to name")


def worst_slope(forward: Forward, graph: bytes, of: str, wrt: Sequence[str], feeds: dict[str, NDArray[Any]]) -> float:
    """Compare each gradient with differences; return the largest error or raise CheckError."""
    session = Session(graph)
    [value] = Session(forward.model.SerializeToString()).run(feeds, [of])
    seed = one_hot(value)
    return max(error_by(forward, of, name, session, {**feeds, SEED: seed}) for name in wrt)


def one_hot(value: Floats) -> Floats:
    """Return the seed of each picture's largest number."""
    rows = value.reshape(len(value), -1)
    seed: Floats = np.eye(rows.shape[1], dtype=np.float32)[rows.argmax(axis=1)].reshape(value.shape)
    return seed


def error_by(forward: Forward, of: str, tensor: str, session: Session, feeds: dict[str, NDArray[Any]]) -> float:
    """Return how far the gradient by one tensor is from differences, raise CheckError where too far."""
    seed, ours = feeds[SEED], {name: value for name, value in feeds.items() if name != SEED}
    nudge, size = Session(nudged(forward, of, tensor).SerializeToString()), expose(forward.model, [tensor])
    value = ours[tensor] if tensor in ours else Session(size.SerializeToString()).run(ours)[0]

    [here] = session.run(feeds, [gradient_name(tensor)])

    def gradient(move: Floats, points: int) -> Floats:
        if points == 1 or tensor not in ours:  # only what is fed can be moved in the backward graph
            return here
        moved = ({**feeds, tensor: (value + t * move).astype(np.float32)} for t in between(points))
        mean: Floats = np.mean([session.run(each, [gradient_name(tensor)])[0] for each in moved], axis=0)
        return mean

    def secant(move: Floats, points: int) -> Change:
        before, after = (nudge.run({**ours, NUDGE: (sign * move).astype(np.float32)})[0] for sign in (-1, 1))
        return change(before, after, seed, 2 * float((gradient(move, points) * move).sum()))

    return require_slopes(secant, here, float(np.abs(value).mean()), f"the gradient of {of!r} by {tensor!r}")
