"""Rules of operators that move numbers against finite differences."""

from typing import Any

import numpy as np
import pytest
from finite import model_of, require_gradients
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper


def check(
    op_type: str,
    shape: tuple[int, ...],
    weights: dict[str, Any] | None = None,
    *,
    batched: bool = True,
    **attributes: Any,
) -> None:
    """Check the gradient of one operator of one input, with a free first axis too."""
    held = {name: np.asarray(value) for name, value in (weights or {}).items()}
    x = np.random.default_rng(3).normal(size=shape)
    node = helper.make_node(op_type, ["x", *held], ["y"], **attributes)
    model = model_of([node], {"x": x}, {n: v for n, v in held.items() if n}, ["y"], opset=21)
    require_gradients(model, {"x": x}, ["x"])
    if batched:
        require_gradients(model, {"x": x}, ["x"], batched=True)


@pytest.mark.parametrize("target", [[0, 12], [-1, 3, 4], [0, 2, 6], [0, 3, 2, 2], [0, 0, -1]])
def test_reshape(target: list[int]) -> None:
    check("Reshape", (2, 3, 4), {"shape": target})


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_flatten(axis: int) -> None:
    check("Flatten", (2, 3, 4), axis=axis, batched=axis != 0)


def test_squeeze_and_unsqueeze() -> None:
    check("Squeeze", (2, 1, 4, 1), {"axes": [1, -1]})
    check("Squeeze", (2, 1, 4, 1))
    check("Unsqueeze", (2, 4), {"axes": [1, -1]})


@pytest.mark.parametrize("perm", [[0, 2, 1, 3], [3, 1, 0, 2], [0, 3, 1, 2]])
def test_transpose(perm: list[int]) -> None:
    check("Transpose", (2, 3, 4, 5), perm=perm, batched=perm[0] == 0)


def test_transpose_reverses_by_default() -> None:
    check("Transpose", (2, 3, 4), batched=False)


@pytest.mark.parametrize(
    ("shape", "to"), [((2, 1, 3), [2, 4, 3]), ((3, 1), [2, 3, 4]), ((1,), [1, 2]), ((2, 3), [1, 1])]
)
def test_expand(shape: tuple[int, ...], to: list[int]) -> None:
    check("Expand", shape, {"shape": to}, batched=len(shape) == len(to))


@pytest.mark.parametrize("repeats", [[1, 2, 3], [2, 1, 3], [1, 1, 1], [3, 1, 1], [1, 4, 1]])
def test_tile(repeats: list[int]) -> None:
    check("Tile", (2, 1, 3), {"repeats": repeats})


@pytest.mark.parametrize("axis", [1, 2, -1])
@pytest.mark.parametrize("wrt", [["a", "b", "c"], ["b"], ["a", "c"]])
def test_concat(axis: int, wrt: list[str]) -> None:
    rng = np.random.default_rng(4)
    shapes = [[2, 3, 4] for _ in range(3)]
    for shape, size in zip(shapes, (1, 3, 2), strict=True):
        shape[axis] = size
    inputs = {name: rng.normal(size=shape) for name, shape in zip("abc", shapes, strict=True)}
    model = model_of([helper.make_node("Concat", list("abc"), ["y"], axis=axis)], inputs, {}, ["y"])

    require_gradients(model, inputs, wrt)
    require_gradients(model, inputs, wrt, batched=True)


@pytest.mark.parametrize("read", ["pqr", "p", "q", "r", "pr", "qr"])
@pytest.mark.parametrize("axis", [1, -1])
def test_split(read: str, axis: int) -> None:
    inputs = {"x": np.random.default_rng(5).normal(size=(2, 6, 6))}
    sizes = {"sizes": np.array([1, 3, 2])}
    nodes = [
        helper.make_node("Split", ["x", "sizes"], list("pqr"), axis=axis),
        *(helper.make_node("Mul", [name, name], [name * 2]) for name in read),
        helper.make_node("Concat", [name * 2 for name in read], ["y"], axis=axis),
    ]
    model = model_of(nodes, inputs, sizes, ["y"])

    require_gradients(model, inputs, ["x"])
    require_gradients(model, inputs, ["x"], batched=True)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_slice(data: st.DataObject) -> None:
    bound = st.one_of(st.integers(-8, 8), st.sampled_from([2**63 - 1, -(2**63), 2**31 - 1]))
    axes = data.draw(st.sampled_from([[1], [-1], [2, 1], [1, -1]]))
    starts, ends, steps = (
        [data.draw(numbers) for _ in axes] for numbers in (bound, bound, st.sampled_from([1, 2, 3, 7, -1, -2, -3]))
    )

    check("Slice", (2, 6, 5), {"starts": starts, "ends": ends, "axes": axes, "steps": steps})


def test_slice_of_the_whole_batch() -> None:
    check("Slice", (2, 6), {"starts": [0, 1], "ends": [2**63 - 1, 4]})


MODES = ["constant", "reflect", "edge", "wrap"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("pads", [[0, 1, 2, 0, 0, 3], [0, 0, 0, 0, 2, 0], [0, 0, 0, 0, 0, 0]])
def test_pad(mode: str, pads: list[int]) -> None:
    check("Pad", (2, 4, 5), {"pads": pads}, mode=mode)


@pytest.mark.parametrize("mode", MODES)
def test_pad_along_some_axes(mode: str) -> None:
    check("Pad", (2, 4, 5), {"pads": [1, 2, 3, 0], "": np.array(0.0), "axes": [-1, 1]}, mode=mode)


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
def test_depth_to_space(mode: str) -> None:
    check("DepthToSpace", (2, 12, 3, 2), mode=mode, blocksize=2)


def test_space_to_depth() -> None:
    check("SpaceToDepth", (2, 3, 4, 6), blocksize=2)


@pytest.mark.parametrize("upper", [0, 1])
@pytest.mark.parametrize("k", [-1, 0, 2])
def test_trilu(upper: int, k: int) -> None:
    check("Trilu", (2, 4, 5), {"k": np.array(k)}, upper=upper)


def test_reverse_sequence() -> None:
    check("ReverseSequence", (2, 4, 3), {"lens": [3, 2]}, batch_axis=0, time_axis=1, batched=False)


@pytest.mark.parametrize("shape", [[7, 3], [4, 9], [5, 6]])
def test_center_crop_pad(shape: list[int]) -> None:
    check("CenterCropPad", (2, 5, 6), {"shape": shape}, axes=[1, 2])
