"""Rules of shapes, indices, Resize and Einsum, run by ONNX Runtime in float32 with a free batch, against PyTorch's."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from ddcam.engine.autodiff.backward import backward
from ddcam.engine.autodiff.forward import joined, prepare_forward
from ddcam.engine.graph.build import Var
from ddcam.engine.runtime.session import Session

torch = pytest.importorskip("torch")
F = torch.nn.functional
pytestmark = pytest.mark.oracle
Array = NDArray[Any]
Case = tuple[str, dict[str, Any], dict[str, Any], Callable[[Any], Any]]
"""Operator, attributes, further inputs in order (names of spaces are inputs left out), and the same in PyTorch."""

FAR = 2**63 - 1
LEFT, RIGHT = np.random.default_rng(1).normal(size=(2, 5, 6)).astype(np.float32)
INDICES = np.random.default_rng(2).integers(0, 6, (2, 4, 6, 6))
SHAPES: list[Case] = [
    ("Reshape", {}, {"s": [0, 2, 2, 36]}, lambda x: x.reshape(-1, 2, 2, 36)),
    ("Reshape", {}, {"s": [-1, 6]}, lambda x: x.reshape(-1, 6)),
    ("Flatten", {}, {}, lambda x: x.flatten(1)),
    ("Unsqueeze", {}, {"a": [1, -1]}, lambda x: x[:, None, ..., None]),
    ("Transpose", {"perm": [0, 2, 3, 1]}, {}, lambda x: x.permute(0, 2, 3, 1)),
    ("Transpose", {"perm": [2, 0, 3, 1]}, {}, lambda x: x.permute(2, 0, 3, 1)),
    ("Expand", {}, {"s": [3, 1, 1, 1, 1]}, lambda x: x.expand(3, *x.shape)),
    ("Tile", {}, {"r": [1, 2, 1, 3]}, lambda x: x.repeat(1, 2, 1, 3)),
    ("Tile", {}, {"r": [2, 2, 1, 1]}, lambda x: x.repeat(2, 2, 1, 1)),
    ("Slice", {}, {"b": [1, 2], "e": [FAR, 5], "a": [1, -1]}, lambda x: x[:, 1:, :, 2:5]),
    ("Slice", {}, {"b": [0, 1], "e": [FAR, FAR], "a": [2, 3], "s": [2, 2]}, lambda x: x[:, :, ::2, 1::2]),
    ("Slice", {}, {"b": [1, 1], "e": [FAR, 5], "a": [1, 3], "s": [2, 3]}, lambda x: x[:, 1::2, :, 1:5:3]),
    ("Slice", {}, {"b": [-1], "e": [-FAR], "a": [2], "s": [-1]}, lambda x: x.flip(2)),
    ("Slice", {}, {"b": [-1], "e": [-FAR], "a": [2], "s": [-2]}, lambda x: x.flip(2)[:, :, ::2]),
    ("Pad", {}, {"p": [0, 0, 1, 2, 0, 0, 3, 0]}, lambda x: F.pad(x, (2, 0, 1, 3))),
    ("Pad", {}, {"p": [0, 0, -1, 2, 0, 0, 3, -2]}, lambda x: F.pad(x, (2, -2, -1, 3))),
    ("Pad", {}, {"p": [0, 0, -1, -2, 0, 0, -3, -2]}, lambda x: F.pad(x, (-2, -2, -1, -3))),
    ("Pad", {"mode": "reflect"}, {"p": [0, 0, 1, 2, 0, 0, 3, 0]}, lambda x: F.pad(x, (2, 0, 1, 3), mode="reflect")),
    ("Pad", {"mode": "edge"}, {"p": [0, 0, 1, 2, 0, 0, 3, 0]}, lambda x: F.pad(x, (2, 0, 1, 3), mode="replicate")),
    ("Pad", {"mode": "wrap"}, {"p": [0, 0, 1, 2, 0, 0, 3, 0]}, lambda x: F.pad(x, (2, 0, 1, 3), mode="circular")),
    ("DepthToSpace", {"blocksize": 2, "mode": "CRD"}, {}, lambda x: F.pixel_shuffle(x, 2)),
    ("Trilu", {"upper": 0}, {"k": -1}, lambda x: x.tril(-1)),
    ("CenterCropPad", {"axes": [2, 3]}, {"s": [8, 3]}, lambda x: F.pad(x, (-1, -2, 1, 1))),
    ("Gather", {"axis": 1}, {"i": 2}, lambda x: x[:, 2]),
    ("Gather", {"axis": 1}, {"i": [3, 1, 2, 0]}, lambda x: x[:, [3, 1, 2, 0]]),
    ("Gather", {"axis": 3}, {"i": [5, 1, 1]}, lambda x: x[..., [5, 1, 1]]),
    ("Gather", {"axis": 2}, {"i": [3] * 50}, lambda x: x[:, :, [3] * 50]),
    ("Gather", {"axis": 2}, {"i": [[0, 1, 2], [1, 2, 3]]}, lambda x: x[:, :, [[0, 1, 2], [1, 2, 3]]]),
    ("Gather", {"axis": 0}, {"i": [1, 0, 1]}, lambda x: x[[1, 0, 1]] if len(x) > 1 else x[[0, 0, 0]]),
    ("Einsum", {"equation": "bchw,wk->bkch"}, {"r": RIGHT.T}, lambda x: torch.einsum("bchw,wk->bkch", x, to(RIGHT.T))),
    ("Einsum", {"equation": "bchw,w->bc"}, {"r": RIGHT[0]}, lambda x: torch.einsum("bchw,w->bc", x, to(RIGHT[0]))),
    ("Einsum", {"equation": "bchw,w->"}, {"r": RIGHT[0]}, lambda x: torch.einsum("bchw,w->", x, to(RIGHT[0]))),
    ("Einsum", {"equation": "bchh->bc"}, {}, lambda x: torch.einsum("bchh->bc", x)),
    ("Einsum", {"equation": "...w,kw->...k"}, {"r": LEFT}, lambda x: torch.einsum("...w,kw->...k", x, to(LEFT))),
]
"""All of a tensor `[2, 4, 6, 6]`."""
SIZES: list[Case] = [
    (
        "Resize",
        {"mode": mode, "coordinate_transformation_mode": transform, "axes": [2, 3], **more},
        {" ": [], "  ": [], "sizes": sizes},
        lambda x, sizes=sizes, options=options: F.interpolate(x, sizes, **options),
    )
    for sizes in ([12, 12], [18, 6], [9, 4], [3, 13], [1, 1])
    for mode, transform, more, options in [
        ("nearest", "asymmetric", {"nearest_mode": "floor"}, {"mode": "nearest"}),
        ("nearest", "half_pixel", {"nearest_mode": "round_prefer_ceil"}, {"mode": "nearest-exact"}),
        ("linear", "half_pixel", {}, {"mode": "bilinear"}),
        ("linear", "align_corners", {}, {"mode": "bilinear", "align_corners": True}),
        ("cubic", "half_pixel", {"cubic_coeff_a": -0.75}, {"mode": "bicubic"}),
        ("cubic", "align_corners", {"cubic_coeff_a": -0.75}, {"mode": "bicubic", "align_corners": True}),
        ("linear", "half_pixel", {"antialias": 1, "exclude_outside": 1}, {"mode": "bilinear", "antialias": True}),
    ]
]


def to(array: Array) -> Any:
    return torch.tensor(np.array(array))


def gradient(nodes: list[onnx.NodeProto], x: Array, weights: dict[str, Array], seed: Array) -> Array:
    """Build the backward graph of a model `x -> y` and run it for a cotangent of y."""
    graph = helper.make_graph(
        nodes,
        "case",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["batch", *x.shape[1:]])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    forward = prepare_forward(model, ["y"], {"x": np.concatenate([x, x])}, {"x": x})
    op = forward.builder("back_")
    given = helper.make_tensor_value_info("seed", onnx.TensorProto.FLOAT, None)
    [found] = backward(forward, "y", ["x"], Var(op, "seed", "float32", forward.known.shapes["y"]))
    whole = joined(forward, op, [*model.graph.input, given], [onnx.ValueInfoProto(name=found.name)])
    session = Session(whole.SerializeToString(), threads=1)
    feeds = {"x": x, "seed": seed}
    return session.run({name: feeds[name] for name in session.inputs})[0]


def named(case: Case) -> str:
    op_type, attributes, further, _ = case
    return " ".join(str(item).replace("\n", "") for item in (op_type, *attributes.values(), *further.values()))[:90]


@pytest.mark.parametrize("case", SHAPES + SIZES, ids=named)
def test_gradient(case: Case) -> None:
    op_type, attributes, further, same = case
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 4, 6, 6)).astype(np.float32)
    tensor = torch.tensor(x, requires_grad=True)
    y = same(tensor)
    seed = rng.normal(size=tuple(y.shape)).astype(np.float32)
    [expected] = torch.autograd.grad(y, tensor, to(seed))
    weights = {name: np.asarray(value) for name, value in further.items() if name.strip()}
    node = helper.make_node(op_type, ["x", *(name.strip() for name in further)], ["y"], **attributes)

    np.testing.assert_allclose(gradient([node], x, weights, seed), expected, rtol=1e-4, atol=1e-5)
