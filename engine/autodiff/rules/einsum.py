"""Gradient rule of Einsum: another Einsum, in which the cotangent takes the place of the operand."""

from collections.abc import Sequence
from string import ascii_letters

import numpy as np

from ...errors import GradientError
from ...graph.build import Var
from ..node import Cotangents, Node
from ..registry import ELSE, vjp
from ..shaping import swapped

Term = tuple[Var, str]
"""A tensor and one letter for each of its axes."""


@vjp("Einsum")
def einsum(node: Node, g: Var) -> Cotangents:
    """Sum of products, y = sum a b ... over letters: da = sum g b ... over the letters that a has not."""
    operands = [node.operand(i) for i in range(len(node.x))]
    *letters, made = spelled(node.text("equation", ""), [x.rank for x in operands])
    terms = list(zip(operands, letters, strict=True))
    found: list[Var | None] = []
    for i, term in enumerate(terms):
        others = [(g, made), *terms[:i], *terms[i + 1 :]]
        found.append(swapped_in(node, term, others) if i in node.needs else None)
    return found


def spelled(equation: str, ranks: Sequence[int]) -> list[str]:
    """Return one letter for each axis of every operand and of the result; those of an ellipsis are new ones."""
    given, arrow, result = equation.replace(" ", "").partition("->")
    terms = given.split(",")
    unsaid = [rank - len(term.replace("...", "")) for term, rank in zip(terms, ranks, strict=True) if "..." in term]
    most = max(unsaid, default=0)
    spare = "".join([letter for letter in ascii_letters if letter not in equation][:most])
    if not arrow:
        once = sorted(letter for letter in set(given) - set(",.") if given.count(letter) == 1)
        result = "..." * ("..." in given) + "".join(once)
    inside = (rank - len(term.replace("...", "")) for term, rank in zip(terms, ranks, strict=True))
    spoken = [term.replace("...", spare[most - count :]) for term, count in zip(terms, inside, strict=True)]
    return [*spoken, result.replace("...", spare)]


def swapped_in(node: Node, term: Term, others: Sequence[Term]) -> Var:
    """Return the cotangent of one operand, from that of the result and the other operands.

    An axis that only this operand has was summed: its cotangent is repeated along it. One that was repeated, being of
    size 1, is summed. One that the operand has twice, as its diagonal, gets its cotangent on the diagonal.
    """
    x, letters = term
    own, diagonals = apart(node, x, letters, "".join(names for _, names in (*others, term)))
    terms = [*others, *diagonals]
    full = sizes_of(terms)
    here = dict(zip(own, x.sizes, strict=True))
    kept = "".join(letter for letter in own if letter in full and (here[letter] != 1 or full[letter] == 1))
    found = product(terms, kept).shaped(tuple(full[letter] for letter in kept))
    inserted = [axis for axis, letter in enumerate(own) if letter not in kept]
    if inserted:
        found = x.op.Unsqueeze(found, x.op.ints(inserted))
    if tuple(full[letter] if letter in kept else 1 for letter in own) == x.sizes:
        return found.shaped(x.shape)
    return x.op.Expand(found, x.op.Shape(x)).shaped(x.shape)


def apart(node: Node, x: Var, letters: str, taken: str) -> tuple[str, list[Term]]:
    """Give every axis a letter of its own, and tie those that had one in common by identity matrices."""
    own, ties = "", []
    for axis, letter in enumerate(letters):
        if letter not in own:
            own += letter
            continue
        size = x.sizes[axis]
        if size is None:
            raise GradientError(f"no gradient through {node.label}: it takes a diagonal of the batch{ELSE}")
        fresh = next(spare for spare in ascii_letters if spare not in taken + own)
        ties.append((x.op.constant(np.eye(size, dtype=x.dtype)), letter + fresh))
        own += fresh
    return own, ties


def sizes_of(terms: Sequence[Term]) -> dict[str, int | None]:
    """Return the size of what each letter runs over; axes of size 1 are repeated."""
    sizes: dict[str, int | None] = {}
    for var, letters in terms:
        for letter, size in zip(letters, var.sizes, strict=True):
            if sizes.get(letter, 1) == 1:
                sizes[letter] = size
    return sizes


def product(terms: Sequence[Term], result: str) -> Var:
    """Append an Einsum; none where it would change nothing, and a MatMul where it is one, which takes half the time."""
    first, letters = terms[0]
    if len(terms) == 1 and letters == result:
        return first
    if len(terms) == 2 and (factors := matrices(terms, result)):
        return factors[0] @ factors[1]
    equation = ",".join(letters for _, letters in terms) + "->" + result
    return first.op.Einsum(*(var for var, _ in terms), equation=equation)


def matrices(terms: Sequence[Term], result: str) -> tuple[Var, Var] | None:
    """Return the factors of a product of matrices, `...ik, ...kj -> ...ij`, each the other way round where need be."""
    lead, ends = result[:-2], result[-2:]
    for (left, a), (right, b) in (terms, terms[::-1]):
        inner = "".join(set(a) & set(b) - set(lead))
        if len(ends) < 2 or len(inner) != 1 or left.sizes[a.index(inner)] != right.sizes[b.index(inner)]:
            continue
        wanted = (lead + ends[0] + inner, lead + inner + ends[1])
        straight = [w == t for w, t in zip(wanted, (a, b), strict=True)]
        turned = [w == t[:-2] + t[:-3:-1] for w, t in zip(wanted, (a, b), strict=True)]
        if all(one or other for one, other in zip(straight, turned, strict=True)):
            return left if straight[0] else swapped(left), right if straight[1] else swapped(right)
    return None
