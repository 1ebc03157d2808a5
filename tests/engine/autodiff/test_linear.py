"""Rules of products against finite differences."""

import numpy as np
import pytest
from finite import model_of, require_gradients
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper


@settings(max_examples=25, deadline=None)
@given(
    st.booleans(),
    st.booleans(),
    st.sampled_from([1.0, 0.5]),
    st.sampled_from([1.0, 2.0]),
    st.sampled_from([(5,), (1, 5), (3, 5), (3, 1), ()]),
)
def test_gemm(turn_a: bool, turn_b: bool, alpha: float, beta: float, bias: tuple[int, ...]) -> None:
    rng = np.random.default_rng(1)
    a = rng.normal(size=(4, 3) if turn_a else (3, 4))
    b = rng.normal(size=(5, 4) if turn_b else (4, 5))
    node = helper.make_node("Gemm", ["a", "b", "c"], ["y"], transA=turn_a, transB=turn_b, alpha=alpha, beta=beta)
    inputs = {"a": a, "b": b, "c": rng.normal(size=bias)}

    require_gradients(model_of([node], inputs, {}, ["y"]), inputs, ["a", "b", "c"])


SHAPES = [
    ((3, 4), (4, 5)),
    ((2, 3, 4), (4, 5)),
    ((2, 3, 4), (2, 4, 5)),
    ((2, 1, 3, 4), (5, 4, 2)),
    ((4,), (4, 5)),
    ((3, 4), (4,)),
    ((4,), (4,)),
]


@pytest.mark.parametrize(("left", "right"), SHAPES)
def test_matmul(left: tuple[int, ...], right: tuple[int, ...]) -> None:
    rng = np.random.default_rng(2)
    inputs = {"a": rng.normal(size=left), "b": rng.normal(size=right)}
    node = helper.make_node("MatMul", ["a", "b"], ["y"])

    require_gradients(model_of([node], inputs, {}, ["y"]), inputs, ["a", "b"])
