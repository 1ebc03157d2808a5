"""A head with its non-linearities left out: good enough to guess which units are useful, and never more than that."""

from collections.abc import Mapping
from math import prod

import onnx
from onnx import helper

from ..types import Value
from .linear import why_interacting
from .walk import initializers, path_nodes, reads

BENDING = frozenset(
    {"Relu", "LeakyRelu", "PRelu", "Clip", "HardSwish", "HardSigmoid", "Sigmoid", "Tanh", "Erf", "Gelu", "Elu", "Selu"}
    | {"Celu", "Softplus", "Mish", "Swish", "Min", "Max", "QuantizeLinear", "DequantizeLinear"}
)
"""Operators that are left out: activations, and rounding to integers."""


def linearised(proto: onnx.ModelProto, source: str, logits: str) -> onnx.ModelProto | None:
    """Return the model with every activation between two tensors replaced by nothing; None where more bends there.

    Of a value multiplied by a gate that was made of it (x * sigmoid(x)) the value is kept.
    """
    linear = onnx.ModelProto()
    linear.CopyFrom(proto)
    path = path_nodes(linear.graph, source, logits)
    made_of: dict[str, set[str]] = {source: set()}
    for node in path:
        inputs = [name for name in dict.fromkeys(reads(node)) if name in made_of]
        made_of.update((name, set(inputs).union(*(made_of[i] for i in inputs))) for name in node.output)
        gated = [name for name in inputs if any(name in made_of[other] for other in inputs)]
        if node.op_type in BENDING and len(inputs) == 1:
            replace(node, inputs[0])
        elif node.op_type == "Mul" and len(inputs) == 2 and gated:
            replace(node, gated[0])
    return None if why_interacting(linear.graph, source, logits) else linear


def replace(node: onnx.NodeProto, name: str) -> None:
    node.CopyFrom(helper.make_node("Identity", [name], list(node.output[:1]), name=node.name))


def multiplications(graph: onnx.GraphProto, nodes: list[onnx.NodeProto], values: Mapping[str, Value]) -> int:
    """Count the multiplications of the products among some nodes, at batch 1, as measured shapes tell."""
    weights = {name: tuple(tensor.dims) for name, tensor in initializers(graph).items()}
    total = 0
    for node in nodes:
        kind = node.op_type.removeprefix("QLinear").removeprefix("Q").removesuffix("Integer")
        output = values.get(node.output[0])
        if kind not in ("Conv", "Gemm", "MatMul", "ConvTranspose") or output is None:
            continue
        weight = next((weights[name] for name in node.input[1:] if len(weights.get(name, ())) > 1), None)
        before = values.get(node.input[0])
        if weight is not None and kind.startswith("Conv"):
            total += prod(output.shape) * prod(weight[1:])
        elif before is not None:
            total += prod(output.shape) * before.shape[-1]
    return total
