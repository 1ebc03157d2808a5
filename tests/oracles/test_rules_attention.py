"""The gradient of Attention, by its own definition out of older operators, against PyTorch's."""

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from ddcam.engine.autodiff.forward import prepare_forward
from ddcam.engine.autodiff.gradient_graph import gradient_graph, gradient_name
from ddcam.engine.graph.opset import HIGHEST
from ddcam.engine.runtime.session import Session

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.oracle
HEADS: list[tuple[dict[str, Any], tuple[int, ...]]] = [
    ({}, (2, 2, 5, 4)),
    ({"is_causal": 1, "scale": 0.3}, (2, 2, 5, 4)),
    ({"q_num_heads": 2, "kv_num_heads": 2}, (2, 5, 8)),
]


@pytest.mark.parametrize(("attributes", "shape"), HEADS)
def test_attention(attributes: dict[str, Any], shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    feeds = {name: rng.normal(size=shape).astype(np.float32) for name in "qkv"}
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", *shape[1:]]) for name in feeds]
    node = helper.make_node("Attention", list(feeds), ["y"], **attributes)
    graph = helper.make_graph([node], "case", inputs, [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)], ir_version=10)
    forward = prepare_forward(model, ["y"], {name: value[:1] for name, value in feeds.items()}, feeds)
    whole: onnx.ModelProto = gradient_graph(forward, "y", list(feeds))
    assert whole.opset_import[0].version == HIGHEST
    seed = rng.normal(size=shape).astype(np.float32)
    found = Session(whole.SerializeToString()).run(feeds | {"seed": seed}, [gradient_name(name) for name in feeds])

    tensors = [torch.tensor(value, requires_grad=True) for value in feeds.values()]
    for got, expected in zip(
        found, torch.autograd.grad(same(tensors, attributes), tensors, torch.tensor(seed)), strict=True
    ):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def same(tensors: list[Any], attributes: dict[str, Any]) -> Any:
    heads = attributes.get("q_num_heads")
    apart = [t.unflatten(-1, (heads, -1)).transpose(1, 2) for t in tensors] if heads else tensors
    options = {"is_causal": bool(attributes.get("is_causal")), "scale": attributes.get("scale")}
    y = torch.nn.functional.scaled_dot_product_attention(*apart, **options)
    return y.transpose(1, 2).flatten(2) if heads else y
