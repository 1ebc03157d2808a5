"""What attends to what, block by block: attention rollout, and attention weighed by its gradient."""

import numpy as np

from ..graph.build import Var, relu
from .registry import Facts, Layer, formula


@formula(
    "attention-relevance",
    Facts("propagation", "attention", "1 forward, 1 backward", "arXiv:2103.15679"),
    where="attention",
)
def attention_relevance(*layers: Layer) -> Var:
    """Follow attention weighed by its gradient: R = I; block by block R := R + A' R, A' = mean_heads(max(A dY/dA, 0)).

    A is a block's attention `[heads, T, T]`. The map is the row of R of the token that the head reads (the class token,
    or the mean of the rows where it pools several), without class and register tokens. Refused: windows, and operators
    that keep their attention to themselves.

    Cost: one forward and one backward pass.
    Source: arXiv:2103.15679.
    """
    *blocks, last = layers
    relevance = read_rows(last)
    for block in reversed(blocks):
        weighed = relu(block.features * block.gradient).mean(1, keep=False)
        relevance = relevance + relevance @ weighed
    return last.on_grid(over_tokens(relevance, last))


@formula(
    "attention-rollout",
    Facts("propagation", "attention", "1 forward", "arXiv:2005.00928", "no"),
    where="attention",
)
def attention_rollout(*layers: Layer) -> Var:
    """Follow attention through all blocks: the product of (mean_heads(A) + I) / 2, whose rows sum to 1.

    A is a block's attention `[heads, T, T]`. The map is the row of the token that the head reads (the class token, or
    the mean of the rows where it pools several), without class and register tokens: the same whatever the class.
    Nothing is discarded (some discard nine tenths of every row). Refused as attention-relevance is.

    Cost: one forward pass.
    Source: arXiv:2005.00928.
    """
    *blocks, last = layers
    row = read_rows(last)
    for block in reversed(blocks):
        row = (row + row @ block.features.mean(1, keep=False)) * 0.5
    return last.on_grid(over_tokens(row, last))


def read_rows(last: Layer) -> Var:
    """Return the weights `[N, 1, T]` of the tokens that the head reads: even over those that its gradient reaches.

    A row times the matrices from the last block on is what the product of all matrices has in that row.
    """
    op, count = last.gradient.op, last.gradient.sizes[1]
    reached = op.Greater(op.Abs(last.gradient).max(2, keep=False), 0.0).cast("float32")
    share = reached / op.Max(reached.sum(1), np.ones(1))
    return share.reshape([-1, 1, count or 1])


def over_tokens(row: Var, last: Layer) -> Var:
    """Return a row `[N, 1, T]` as `[N, T]`."""
    shape = last.gradient.sizes[:2]
    return row.reshape([-1, shape[1] or 1]).shaped(shape)
