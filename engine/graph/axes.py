"""Which axis of a map or of a row of tokens holds the channels: told by its neighbours, else by its shape."""

from functools import cache

import onnx

from .walk import axes_given, consumers, initializers, integers, producers

CHANNEL_FIRST = frozenset(
    {"Conv", "ConvInteger", "QLinearConv", "FusedConv", "ConvTranspose", "MaxPool", "AveragePool", "LpPool"}
    | {"GlobalAveragePool", "GlobalMaxPool", "QLinearGlobalAveragePool", "QLinearAveragePool"}
    | {"BatchNormalization", "InstanceNormalization", "GroupNormalization", "LRN"}
)
"""Operators whose data is `[N, C, ...]` by definition."""
NORMALISING = frozenset({"LayerNormalization", "RMSNormalization"})
"""Operators that work along the last axis when they have a constant second operand."""
CHANNEL_LAST = {3: NORMALISING, 4: NORMALISING | {"MatMul"}}
"""By the rank of what is asked for: in MLP-Mixers a product also works along the tokens."""
REDUCTIONS = frozenset({"ReduceMean", "ReduceSum", "ReduceMax"})
RANKING = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Gather", "Shape", "Einsum", "FusedMatMul"})
"""Operators behind which axes are counted anew."""
STEPS = 12
"""How many neighbours to ask before the shape decides."""


def axis_by_shape(shape: tuple[int, ...]) -> int:
    """Guess from two equal sides, else from the larger of the two possible axes."""
    if shape[2] == shape[3] != shape[1]:
        return 1
    if shape[1] == shape[2] != shape[3]:
        return 3
    return 1 if shape[1] >= shape[3] else 3


class Neighbours:
    """Asks the operators around a tensor, upwards first and then downwards; -1 is the last axis at any rank."""

    def __init__(self, graph: onnx.GraphProto, channel_last: frozenset[str]) -> None:
        self.channel_last = channel_last
        self.made = producers(graph)
        self.read = consumers(graph)
        self.weights = initializers(graph)
        # Without a memory, 12 sums of 8 operands each would be asked 8^12 times.
        self.upwards, self.downwards = cache(self.look_up), cache(self.look_down)

    def channel_axis(self, name: str, shape: tuple[int, ...]) -> int:
        """Return the axis of the channels of a map, or of tokens (the last one unless shown otherwise)."""
        axis = self.axis_of(name, STEPS)
        if axis is not None:
            return axis % len(shape)
        return axis_by_shape(shape) if len(shape) == 4 else 2

    def axis_of(self, name: str, steps: int) -> int | None:
        above = self.upwards(name, steps)
        return above if above is not None else self.downwards(name, steps)

    def look_up(self, name: str, steps: int) -> int | None:
        node = self.made.get(name)
        if node is None or steps == 0:
            return None
        if node.op_type in CHANNEL_FIRST:
            return 1
        if node.op_type in self.channel_last:
            return -1 if self.has_weight(node) else None
        if node.op_type == "Transpose":
            axis = self.upwards(node.input[0], steps - 1)
            return None if axis is None else permutation(node).index(axis % len(permutation(node)))
        if node.op_type in RANKING:
            return None
        answers = (self.upwards(source, steps - 1) for source in node.input if source not in self.weights)
        return next((a for a in answers if a is not None), None)

    def look_down(self, name: str, steps: int) -> int | None:
        if steps == 0:
            return None
        answers = (self.through(node, name, steps) for node in self.read.get(name, []))
        return next((a for a in answers if a is not None), None)

    def through(self, node: onnx.NodeProto, name: str, steps: int) -> int | None:
        if node.op_type in CHANNEL_FIRST:
            return 1 if node.input[0] == name else None
        if node.op_type in self.channel_last:
            return -1 if self.has_weight(node) else None
        if node.op_type in REDUCTIONS:
            return self.kept_by(node)
        if node.op_type == "Transpose":
            axis = self.downwards(node.output[0], steps - 1)
            return None if axis is None else permutation(node)[axis]
        if node.op_type in RANKING:
            return None
        return self.downwards(node.output[0], steps - 1)

    def has_weight(self, node: onnx.NodeProto) -> bool:
        return len(node.input) > 1 and node.input[1] in self.weights

    def kept_by(self, node: onnx.NodeProto) -> int | None:
        """Return the one axis besides the batch that a reduction keeps."""
        reduced = {axis % 4 for axis in axes_given(node, self.weights)}
        kept = {1, 2, 3} - reduced
        return kept.pop() if len(kept) == 1 and len(reduced) == 2 else None


def permutation(node: onnx.NodeProto) -> list[int]:
    return integers(node, "perm") or [3, 2, 1, 0]
