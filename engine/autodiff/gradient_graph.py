"""The backward graph as a model of its own: what goes in, the cotangent, and one gradient for each tensor asked for."""

from collections.abc import Sequence

import onnx
from onnx import helper

from ..graph.build import Shape, Var
from .backward import backward
from .formula import PREFIX
from .forward import Forward, joined
from .registry import Rules
from .rules import VJP

SEED = "seed"
NUDGE = "ddcam_nudge"


def gradient_name(tensor: str) -> str:
    """Return the name of the output that holds the gradient with respect to a tensor."""
    return f"gradient_of_{tensor}"


def gradient_graph(forward: Forward, of: str, wrt: Sequence[str], rules: Rules = VJP) -> onnx.ModelProto:
    """Return the model `inputs, seed -> of, gradient_of_<tensor>...`: the gradients of sum(seed * of).

    `seed` has the shape of `of`; one-hot rows ask for one class a picture. Raises GradientError.
    """
    op, shape = forward.builder(PREFIX), forward.known.shapes[of]
    seed = Var(op, SEED, "float32", shape)
    names = {tensor: gradient_name(tensor) for tensor in wrt}
    for name, found in zip(names.values(), backward(forward, of, wrt, seed, rules), strict=True):
        op.nodes.append(helper.make_node("Identity", [found.name], [name]))
    outputs = [declared(of, shape), *(declared(name, forward.known.shapes[t]) for t, name in names.items())]
    return joined(forward, op, [*forward.model.graph.input, declared(SEED, shape)], outputs)


def declared(name: str, shape: Shape) -> onnx.ValueInfoProto:
    sizes: list[int | str] = ["N" if size is None else size for size in shape]
    return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, sizes)


def nudged(forward: Forward, of: str, tensor: str) -> onnx.ModelProto:
    """Return the model `inputs, NUDGE -> of` with NUDGE added to a tensor, to see what a change of it does."""
    model = onnx.ModelProto()
    model.CopyFrom(forward.model)
    shape, moved = forward.known.shapes[tensor], f"{tensor}_{NUDGE}"
    for node in model.graph.node:
        node.input[:] = [moved if name == tensor else name for name in node.input]
    made = next((i for i, node in enumerate(model.graph.node) if tensor in node.output), -1)
    model.graph.node.insert(made + 1, helper.make_node("Add", [tensor, NUDGE], [moved]))
    del model.graph.output[:]
    model.graph.input.append(declared(NUDGE, shape))
    model.graph.output.append(declared(moved if of == tensor else of, forward.known.shapes[of]))
    return model
