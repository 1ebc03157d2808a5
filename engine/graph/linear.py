"""Tell an additive head by its graph: nothing but linear operators between the split and the logits."""

import onnx

from .walk import path_nodes, reads

LINEAR = frozenset(
    {
        "Identity",
        "Dropout",
        "Conv",
        "Gemm",
        "MatMul",
        "BatchNormalization",
        "GlobalAveragePool",
        "AveragePool",
    }
    | {
        "ReduceMean",
        "ReduceSum",
        "Reshape",
        "Flatten",
        "Squeeze",
        "Unsqueeze",
        "Transpose",
        "Concat",
        "Slice",
    }
    | {"Split", "Pad", "Expand", "Neg", "Add", "Sub", "Sum", "Mul", "Div", "Cast", "Gather", "Mean"}
    | {"ReorderInput", "ReorderOutput"}  # in and out of the blocked layout, in files that ONNX Runtime saved
)
"""Operators that are affine in their data when their other operands are constant."""
PRODUCTS = frozenset({"Conv", "Gemm", "MatMul", "Mul"})
"""Operators of which only one operand may depend on the data."""


def why_interacting(graph: onnx.GraphProto, split: str, logits: str) -> str | None:
    """Name the first operator that makes units interact, or None where the head is affine by its graph."""
    path = path_nodes(graph, split, logits)
    data = {split} | {name for node in path for name in node.output}
    for node in path:
        moving = [name for name in reads(node) if name in data]
        named = f"{node.op_type} (node {node.name or node.output[0]!r})"
        if node.op_type not in LINEAR:
            return named
        if node.op_type in PRODUCTS and len(moving) > 1:
            return f"{named} multiplying features with features"
        if node.op_type == "Div" and node.input[1] in data:
            return f"{named} dividing by features"
        if node.op_type in ("Reshape", "Slice", "Gather", "Expand") and node.input[0] not in moving:
            return f"{named} taking its shape or index from features"
    return None
