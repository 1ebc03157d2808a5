"""The three demo networks, written as ONNX graphs with untrained weights."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from .digits import LABELS, SIZE

Array = NDArray[Any]

OPSET = 17
IR_VERSION = 8
CLASSES = len(LABELS)
TOKENS_WIDE, WIDTH, HEADS, HIDDEN, BLOCKS = 8, 48, 3, 96, 3


@dataclass(frozen=True)
class Draft:
    """A graph while it is written: nodes in order, constants by name, and where first weights come from."""

    random: np.random.Generator
    nodes: list[NodeProto] = field(default_factory=list)
    constants: dict[str, Array] = field(default_factory=dict)

    def add(self, operator: str, inputs: Sequence[str], name: str, **attributes: Any) -> str:
        """Append one node and return the name of its output, which is the node's own."""
        self.nodes.append(helper.make_node(operator, inputs, [name], name=name, **attributes))
        return name

    def constant(self, name: str, values: Any) -> str:
        self.constants[name] = np.asarray(values)
        return name

    def weight(self, name: str, shape: Sequence[int], scale: float) -> str:
        return self.constant(name, (self.random.standard_normal(shape) * scale).astype(np.float32))

    def filled(self, name: str, shape: Sequence[int], value: float) -> str:
        return self.constant(name, np.full(shape, value, np.float32))


def cnn_additive(seed: int) -> Draft:
    """Four convolutions, mean pooling, one linear layer; `features` is `[N, 64, 8, 8]`."""
    draft = Draft(np.random.default_rng(seed))
    features = _convolutions(draft, (16, 32, 64, 64))
    pooled = draft.add("GlobalAveragePool", [features], "pool")
    _linear(draft, draft.add("Flatten", [pooled], "flat", axis=1), (64, CLASSES), "logits")
    return draft


def cnn_interacting(seed: int) -> Draft:
    """Four convolutions, 2 x 2 pooling, two linear layers, softmax; `features` is `[N, 32, 8, 8]`."""
    draft = Draft(np.random.default_rng(seed))
    features = _convolutions(draft, (16, 32, 32, 32))
    pooled = draft.add("AveragePool", [features], "pool", kernel_shape=[2, 2], strides=[2, 2])
    flat = draft.add("Flatten", [pooled], "flat", axis=1)
    hidden = draft.add("Relu", [_linear(draft, flat, (512, 64), "fc1")], "fc1.relu")
    draft.add("Softmax", [_linear(draft, hidden, (64, CLASSES), "logits")], "probabilities", axis=1)
    return draft


def vit(seed: int) -> Draft:
    """A ViT with a class token and 8 x 8 patch tokens; `features` `[N, 65, 48]` enters the last block."""
    draft = Draft(np.random.default_rng(seed))
    tokens = _embedding(draft)
    for index in range(BLOCKS):
        name = "features" if index == BLOCKS - 2 else f"block{index}"
        tokens = _block(draft, tokens, f"block{index}", name)
    draft.constant("class.index", np.int64(0))
    last = draft.add("Gather", [_norm(draft, tokens, "norm"), "class.index"], "class", axis=1)
    _linear(draft, last, (WIDTH, CLASSES), "logits")
    return draft


GRAPHS = {
    "digits_cnn_additive": cnn_additive,
    "digits_cnn_interacting": cnn_interacting,
    "digits_vit": vit,
}


def to_model(draft: Draft, name: str, metadata: dict[str, str]) -> ModelProto:
    """Return the drafted graph as a model: `input` `[N, 1, 32, 32]` to the last node's `[N, 10]`."""
    graph = helper.make_graph(
        draft.nodes,
        name,
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 1, SIZE, SIZE])],
        [helper.make_tensor_value_info(draft.nodes[-1].name, TensorProto.FLOAT, ["N", CLASSES])],
        [numpy_helper.from_array(values, key) for key, values in draft.constants.items()],
    )
    opsets = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="ddcam")
    helper.set_model_props(model, metadata)
    return model


def _convolutions(draft: Draft, channels: Sequence[int]) -> str:
    """Add 3 x 3 convolutions with ReLU, the first two with stride 2: 32 x 32 becomes 8 x 8."""
    x, before = "input", 1
    for index, after in enumerate(channels):
        weight = draft.weight(f"conv{index}.weight", (after, before, 3, 3), math.sqrt(2 / (9 * before)))
        bias = draft.filled(f"conv{index}.bias", (after,), 0)
        stride = 2 if index < 2 else 1
        size = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [stride, stride]}
        convolved = draft.add("Conv", [x, weight, bias], f"conv{index}", **size)
        x = draft.add("Relu", [convolved], "features" if index == len(channels) - 1 else f"relu{index}")
        before = after
    return x


def _linear(draft: Draft, x: str, shape: tuple[int, int], name: str) -> str:
    """Add `x W^T + b` for `x` `[N, before]`; `shape` is (before, after)."""
    weight = draft.weight(f"{name}.weight", shape[::-1], math.sqrt(1 / shape[0]))
    return draft.add("Gemm", [x, weight, draft.filled(f"{name}.bias", shape[1:], 0)], name, transB=1)


def _embedding(draft: Draft) -> str:
    """Add patches as tokens, the class token before them, and positions: `[N, 65, 48]`."""
    side = SIZE // TOKENS_WIDE
    kernel = draft.weight("patches.weight", (WIDTH, 1, side, side), 1 / side)
    size = {"kernel_shape": [side, side], "strides": [side, side]}
    patches = draft.add("Conv", ["input", kernel, draft.filled("patches.bias", (WIDTH,), 0)], "patches", **size)
    draft.constant("patches.shape", np.array([0, WIDTH, TOKENS_WIDE**2]))
    flat = draft.add("Reshape", [patches, "patches.shape"], "patches.flat")
    tokens = draft.add("Transpose", [flat], "patches.tokens", perm=[0, 2, 1])
    joined = draft.add("Concat", [_class_token(draft), tokens], "tokens", axis=1)
    positions = draft.weight("positions", (1, 1 + TOKENS_WIDE**2, WIDTH), 0.02)
    return draft.add("Add", [joined, positions], "embedding")


def _class_token(draft: Draft) -> str:
    """Add the class token, repeated for as many pictures as the input has: `[N, 1, 48]`."""
    token = draft.weight("class.token", (1, 1, WIDTH), 0.02)
    shape = draft.add("Shape", ["input"], "input.shape")
    first = [draft.constant("class.from", np.array([0])), draft.constant("class.to", np.array([1]))]
    batch = draft.add("Slice", [shape, *first], "batch")
    rest = draft.constant("class.rest", np.array([1, WIDTH]))
    target = draft.add("Concat", [batch, rest], "class.shape", axis=0)
    return draft.add("Expand", [token, target], "class.tokens")


def _block(draft: Draft, x: str, name: str, output: str) -> str:
    """Add one pre-norm transformer block: attention and a two-layer perceptron, each added to its input."""
    attended = _attention(draft, _norm(draft, x, f"{name}.norm1"), f"{name}.attention")
    x = draft.add("Add", [x, attended], f"{name}.attended")
    hidden = _project(draft, _norm(draft, x, f"{name}.norm2"), (WIDTH, HIDDEN), f"{name}.fc1")
    hidden = _gelu(draft, hidden, f"{name}.gelu")
    return draft.add("Add", [x, _project(draft, hidden, (HIDDEN, WIDTH), f"{name}.fc2")], output)


def _attention(draft: Draft, x: str, name: str) -> str:
    """Add softmax(q k^T / sqrt(d)) v over `HEADS` heads, and the projection after it."""
    per_head = WIDTH // HEADS
    draft.constant(f"{name}.split", np.array([0, 0, HEADS, per_head]))
    turned = {"query": [0, 2, 1, 3], "key": [0, 2, 3, 1], "value": [0, 2, 1, 3]}
    for part, axes in turned.items():
        projected = _project(draft, x, (WIDTH, WIDTH), f"{name}.{part}")
        split = draft.add("Reshape", [projected, f"{name}.split"], f"{name}.{part}.heads")
        draft.add("Transpose", [split], f"{name}.{part}.turned", perm=axes)
    similar = draft.add("MatMul", [f"{name}.query.turned", f"{name}.key.turned"], f"{name}.similarity")
    draft.constant(f"{name}.root", np.float32(math.sqrt(per_head)))
    scaled = draft.add("Div", [similar, f"{name}.root"], f"{name}.scaled")
    weights = draft.add("Softmax", [scaled], f"{name}.weights", axis=-1)
    mixed = draft.add("MatMul", [weights, f"{name}.value.turned"], f"{name}.mixed")
    turned_back = draft.add("Transpose", [mixed], f"{name}.mixed.turned", perm=[0, 2, 1, 3])
    draft.constant(f"{name}.join", np.array([0, 0, WIDTH]))
    joined = draft.add("Reshape", [turned_back, f"{name}.join"], f"{name}.joined")
    return _project(draft, joined, (WIDTH, WIDTH), f"{name}.out")


def _project(draft: Draft, x: str, shape: tuple[int, int], name: str) -> str:
    """Add `x W + b` for tokens `[N, T, before]`; `shape` is (before, after)."""
    weight = draft.weight(f"{name}.weight", shape, math.sqrt(1 / shape[0]))
    product = draft.add("MatMul", [x, weight], f"{name}.product")
    return draft.add("Add", [product, draft.filled(f"{name}.bias", shape[1:], 0)], name)


def _norm(draft: Draft, x: str, name: str) -> str:
    parameters = [draft.filled(f"{name}.scale", (WIDTH,), 1), draft.filled(f"{name}.bias", (WIDTH,), 0)]
    return draft.add("LayerNormalization", [x, *parameters], name, axis=-1, epsilon=1e-5)


def _gelu(draft: Draft, x: str, name: str) -> str:
    """Add x/2 (1 + erf(x / sqrt 2)) in five nodes; opset 17 has no Gelu."""
    for key, value in {"root2": math.sqrt(2), "one": 1, "half": 0.5}.items():
        draft.constant(f"{name}.{key}", np.float32(value))
    error = draft.add("Erf", [draft.add("Div", [x, f"{name}.root2"], f"{name}.scaled")], f"{name}.erf")
    gate = draft.add("Mul", [draft.add("Add", [error, f"{name}.one"], f"{name}.plus"), f"{name}.half"], f"{name}.gate")
    return draft.add("Mul", [x, gate], name)
