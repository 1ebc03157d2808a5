"""Gradient rules of products: Gemm, MatMul, Einsum."""

from ...graph.build import Var
from ..node import Cotangents, Node
from ..registry import vjp
from ..shaping import reshaped, swapped, unbroadcast


@vjp("Gemm")
def gemm(node: Node, g: Var) -> Cotangents:
    """Multiply, y = alpha A' B' + beta C: dA' = alpha g B'^T, dB' = alpha A'^T g, dC = beta g."""
    op, a, b, alpha = g.op, node.operand(0), node.operand(1), node.number("alpha", 1.0)
    turned_a, turned_b = node.integer("transA", 0), node.integer("transB", 0)
    da = (
        op.Gemm(b, g, alpha=alpha, transA=turned_b, transB=1)
        if turned_a
        else op.Gemm(g, b, alpha=alpha, transB=1 - turned_b)
    )
    db = (
        op.Gemm(g, a, alpha=alpha, transA=1, transB=turned_a)
        if turned_b
        else op.Gemm(a, g, alpha=alpha, transA=1 - turned_a)
    )
    beta = node.number("beta", 1.0)
    dc = unbroadcast(g if beta == 1 else (g * beta).shaped(g.shape), node.operand(2)) if node.has(2) else None
    return da, db, dc


@vjp("MatMul")
def matmul(node: Node, g: Var) -> Cotangents:
    """Multiply, y = A B: dA = g B^T, dB = A^T g, summed over axes that were broadcast; vectors count as matrices."""
    a, b = node.operand(0), node.operand(1)
    left = with_axis(a, 0) if a.rank == 1 else a
    right = with_axis(b, 1) if b.rank == 1 else b
    if b.rank == 1:
        g = with_axis(g, g.rank)
    if a.rank == 1:
        g = with_axis(g, g.rank - 1)
    da = (g @ swapped(right)).shaped((*g.sizes[:-1], right.sizes[-2]))
    db = (swapped(left) @ g).shaped((*g.sizes[:-2], left.sizes[-1], g.sizes[-1]))
    return reshaped(unbroadcast(da, left), a), reshaped(unbroadcast(db, right), b)


def with_axis(x: Var, axis: int) -> Var:
    """Insert an axis of size 1."""
    return x.op.Unsqueeze(x, x.op.ints([axis])).shaped((*x.sizes[:axis], 1, *x.sizes[axis:]))
