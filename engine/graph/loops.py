"""Loops in a graph under construction: a body is a graph of its own that sees what lies around it."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import onnx
from onnx import helper

from .build import Builder, Var


class Turn(NamedTuple):
    """What one turn of a loop leaves: whether there is another one, the states, and values that are collected."""

    going: Var
    states: Sequence[Var] = ()
    collected: Sequence[Var] = ()


Step = Callable[[Var, list[Var]], Turn]
"""Writes the body: from the number of the turn (int64, from 0) and the states; both belong to the body's builder."""


def loop(
    op: Builder, states: Sequence[Var], step: Step, *, times: Var | None = None, going: Var | None = None
) -> list[Var]:
    """Append a loop of at most `times` turns while `going` holds; return the last states and what was collected.

    States keep their type, their shape may change. What is collected gets a new first axis, a row a turn. Values of
    enclosing graphs are used through `inside`. Constants of the body are kept in `op`, where every turn finds them.
    """
    body = Builder(f"{op.name('loop')}_", op.opset)
    index, before = Var(body, body.name("turn"), "int64", ()), Var(body, body.name("going"), "bool", ())
    held = [Var(body, body.name("state"), state.dtype) for state in states]
    turn = step(index, held)
    # A body hands on nothing but what it made.
    left = [body.Identity(inside(body, value)) for value in (turn.going, *turn.states, *turn.collected)]
    inputs = [info(value) for value in (index, before, *held)]
    graph = helper.make_graph(body.nodes, body.prefix, inputs, [info(value) for value in left])
    op.tensors.update(body.tensors)
    results = op.several("Loop", [times, going, *states], len(left) - 1, body=graph)
    return [Var(op, result.name, made.dtype) for result, made in zip(results, left[1:], strict=True)]


def inside(op: Builder, value: Var) -> Var:
    """Return a value of an enclosing graph for nodes of this one."""
    return value if value.op is op else Var(op, value.name, value.dtype, value.shape)


def info(value: Var) -> onnx.ValueInfoProto:
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(value.dtype))
    return helper.make_tensor_value_info(value.name, kind, value.shape)


# ----- vectors whose length is known at run time only -----


def number(op: Builder, value: int) -> Var:
    """Return an int64 scalar."""
    return op.constant(np.array(value, np.int64))


def column(value: Var) -> Var:
    """Make `[k]` a column `[k, 1]`."""
    return value.op.Unsqueeze(value, value.op.ints([1]))


def row(value: Var) -> Var:
    """Make `[k]` a row `[1, k]`, a scalar `[1]`."""
    return value.op.Unsqueeze(value, value.op.ints([0]))


def scalar(value: Var) -> Var:
    """Make `[1]` a scalar."""
    return value.op.Squeeze(value, value.op.ints([0]))


def cut(value: Var, start: Var, stop: Var) -> Var:
    """Return what lies from one scalar place to another along the first axis."""
    return value.op.Slice(value, row(start), row(stop), value.op.ints([0]))


def length(value: Var) -> Var:
    """Return the length of a vector, an int64 scalar."""
    return value.op.Size(value)


def scattered(count: int, places: Var, values: Var | float) -> Var:
    """Return `[count]` float32, 0 but for values at some places `[k]`."""
    op = places.op
    values = (
        values if isinstance(values, Var) else op.Expand(op.constant(np.array([values], np.float32)), op.Shape(places))
    )
    return op.ScatterElements(op.constant(np.zeros(count, np.float32)), places, values, axis=0)
