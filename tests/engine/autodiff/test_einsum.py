"""The rule of Einsum against finite differences."""

import numpy as np
import pytest
from finite import model_of, require_gradients, with_backward
from onnx import helper

SIZES = {"b": 2, "i": 3, "j": 4, "k": 5, "h": 2, "q": 3, "a": 4}
EQUATIONS = [
    "bij,bjk->bik",
    "bij,jk->bik",
    "bki,bkj->bij",
    "bki,bjk->bij",
    "bjk,bik->bij",
    "bkj,bik->bij",
    "bhqi,bhki->bhqk",
    "bhqk,bkhi->bqhi",
    "ij,kj->ik",
    "bij,kj",
    "bij->bji",
    "ij->ij",
    "bij->b",
    "ij->",
    "i,i->",
    "i,j->ij",
    "ij,j->",
    "ij,jk,kb->ib",
    "ij,ij,j->i",
    "bii->bi",
    "ii->",
    "ii->i",
    "iij,ik->jk",
    "iii,j->ij",
    "iib,ia->ba",
    "bij , bjk -> bki",
]


def check(equation: str, shapes: list[tuple[int, ...]], *, batched: bool = False) -> None:
    rng = np.random.default_rng(13)
    inputs = {f"x{i}": rng.normal(size=shape) for i, shape in enumerate(shapes)}
    model = model_of([helper.make_node("Einsum", list(inputs), ["y"], equation=equation)], inputs, {}, ["y"])
    require_gradients(model, inputs, list(inputs), batched=batched)


@pytest.mark.parametrize("equation", EQUATIONS)
def test_einsum(equation: str) -> None:
    terms = equation.replace(" ", "").split("->")[0].split(",")
    shapes = [tuple(SIZES[letter] for letter in term) for term in terms]

    check(equation, shapes)
    if equation.replace(" ", "").split("->")[-1].startswith("b") and all(term.startswith("b") for term in terms):
        check(equation, shapes, batched=True)


@pytest.mark.parametrize(
    ("equation", "shapes"),
    [
        ("...ij,...jk->...ik", [(2, 3, 3, 4), (2, 3, 4, 5)]),
        ("...ij,...jk->...ik", [(2, 3, 3, 4), (3, 4, 5)]),
        ("...ij,...jk->...ik", [(2, 1, 3, 4), (3, 4, 5)]),
        ("...ij,jk->...ik", [(2, 3, 3, 4), (4, 5)]),
        ("...i,...i", [(2, 3), (2, 3)]),
        ("b...i,ij->bj...", [(2, 3, 4, 5), (5, 2)]),
        ("i...->...i", [(2, 3, 4)]),
        ("...->...", [(2, 3)]),
        ("bij,bjk->bik", [(1, 3, 4), (2, 4, 5)]),
        ("bij,bjk->bik", [(2, 3, 1), (2, 4, 5)]),
        ("ij,ij->ij", [(3, 1), (3, 4)]),
        ("ij,j->i", [(3, 4), (1,)]),
        ("ij,jk->ik", [(1, 4), (4, 5)]),
    ],
)
def test_ellipsis_and_axes_of_size_1(equation: str, shapes: list[tuple[int, ...]]) -> None:
    check(equation, shapes)


def test_a_product_of_matrices_is_no_einsum() -> None:
    inputs = {"x0": np.ones((2, 3, 4)), "x1": np.ones((2, 5, 4))}
    model = model_of([helper.make_node("Einsum", list(inputs), ["y"], equation="bij,bkj->bik")], inputs, {}, ["y"])

    whole = with_backward(model, inputs, list(inputs), np.ones((2, 3, 5)), of="y", batched=False)
    made = [node.op_type for node in whole.graph.node]

    assert made.count("Einsum") == 1
    assert made.count("MatMul") == 2
