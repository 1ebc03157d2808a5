"""Which input takes the picture, and where the class scores are before the final softmax."""

import math
from dataclasses import replace

import onnx

from ..errors import GradientError, ModelError, OptionError
from ..types import Activation, Candidate, Layout, Logits, Measured, PictureInput, Tensor
from .walk import consumers, downstream, feeds, initializers, integer, integers, producers

PASSING = frozenset(
    {"Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Cast", "Dropout", "QuantizeLinear"}
    | {"DequantizeLinear", "Transpose"}
)
"""Operators between the softmax and the output that do not change which class wins."""
NUMERIC = frozenset({"float32", "float16", "float64", "bfloat16", "uint8", "int8"})


def tensor_of(info: onnx.ValueInfoProto) -> Tensor:
    """Translate a declared input or output; a batch name, 0 or no dimension at all is a free axis."""
    kind = info.type.tensor_type
    shape = tuple(d.dim_value if d.dim_value > 0 else None for d in kind.shape.dim)
    return Tensor(info.name, dtype_of(kind.elem_type), shape)


def dtype_of(element: int) -> str:
    if element == onnx.TensorProto.UNDEFINED or element not in onnx.TensorProto.DataType.values():
        return "undefined"
    return onnx.helper.tensor_dtype_to_np_dtype(element).name


def find_picture_input(proto: onnx.ModelProto, layout: Layout | None = None, name: str | None = None) -> PictureInput:
    """Find the input that takes the picture: the only one of rank 4 and several places, or the one of that `name`.

    `layout` decides where the file leaves it open. Raises ModelError when there is no such input or when the
    model wants something else besides, OptionError for a name that is no such input.
    """
    tensor = picture_tensor(proto, name)
    found, channels = layout_of(proto, tensor, layout)
    axes = (2, 3) if found == "NCHW" else (1, 2)
    height, width = (tensor.shape[a] for a in axes)
    if tensor.shape[0] not in (None, 1):
        raise ModelError(f"expected a batch of 1 or a free batch; the input is {tensor}; export it with batch 1")
    return PictureInput(tensor.name, tensor.dtype, found, channels, height, width, tensor.shape[0] is None)


def picture_tensor(proto: onnx.ModelProto, name: str | None) -> Tensor:
    inputs = feeds(proto.graph)
    pictures = [i for i in inputs if is_picture(tensor_of(i), i)]
    listed = "; ".join(str(tensor_of(i)) for i in inputs) or "none"
    named = [i for i in pictures if name in (None, i.name)]
    if name is not None and not named:
        raise OptionError(f"no input {name!r} takes a picture; the model's inputs are: {listed}; name one with --input")
    if not pictures:
        rows = any(len(tensor_of(i).shape) == 2 for i in inputs)
        hint = "; say of which pictures its rows are with --size HxW" if rows else ""
        raise ModelError(f"expected one input that takes a picture, [N, C, H, W] or [N, H, W, C]; "
                         f"the model's inputs are: {listed}{hint}")  # fmt: skip
    named = [i for i in named if not is_one_place(tensor_of(i))] or named
    others = [tensor_of(i) for i in inputs if i.name != named[0].name]
    if len(named) > 1:
        raise ModelError(f"expected one input that takes a picture, several could; its inputs are: {listed}; "
                         "name one with --input NAME and hold the others with --hold NAME=VALUE")  # fmt: skip
    if others:
        needed = "; ".join(f"{other}: {how_to_hold(other)}" for other in others)
        raise ModelError(f"besides the picture {named[0].name!r} the model needs {needed}")
    return tensor_of(named[0])


def how_to_hold(tensor: Tensor) -> str:
    """Say which option holds an input at a value."""
    sizes = tensor.shape[1:] if tensor.shape[:1] == (None,) else tensor.shape
    if tensor.dtype in ("object", "undefined"):
        return "ddcam holds numbers only, so export the model without it"
    if None in sizes:
        return f"hold it with --hold {tensor.name}=FILE.npy, an array of that many axes"
    count = math.prod(size or 1 for size in sizes)
    if count == 1:
        return f"hold it with --hold {tensor.name}=NUMBER"
    return f"hold it with --hold {tensor.name}=NUMBER, {count} numbers with commas, or FILE.npy"


def is_picture(tensor: Tensor, info: onnx.ValueInfoProto) -> bool:
    return info.type.HasField("tensor_type") and len(tensor.shape) == 4 and tensor.dtype in NUMERIC


def is_one_place(tensor: Tensor) -> bool:
    """Whether a tensor of rank 4 is a number a channel, such as the means of a normalisation."""
    return tensor.shape[1:].count(1) > 1


def layout_of(proto: onnx.ModelProto, tensor: Tensor, asked: Layout | None) -> tuple[Layout, int]:
    """Return the layout and the number of channels, from the shape or else from the operator that reads it."""
    axes: dict[Layout, int] = {"NCHW": 1, "NHWC": 3}
    possible = [name for name, axis in axes.items() if tensor.shape[axis] in (1, 3)]
    if asked:
        if asked not in axes or (possible and tensor.shape[axes[asked]] not in (None, 1, 3)):
            raise OptionError(f"layout {asked} does not fit the input {tensor}; use {' or '.join(possible or axes)}")
        return asked, tensor.shape[axes[asked]] or 3
    if len(possible) == 1:
        return possible[0], tensor.shape[axes[possible[0]]] or 3
    return layout_by_reader(proto, tensor)


def layout_by_reader(proto: onnx.ModelProto, tensor: Tensor) -> tuple[Layout, int]:
    weights = initializers(proto.graph)
    for node in consumers(proto.graph).get(tensor.name, []):
        if node.op_type == "Transpose" and integers(node, "perm") == [0, 3, 1, 2]:
            return "NHWC", tensor.shape[3] or 3
        if node.op_type == "Conv" and node.input[1] in weights:
            return "NCHW", weights[node.input[1]].dims[1] * integer(node, "group", 1)
    first, last = tensor.shape[1], tensor.shape[3]
    if first not in (None, 1, 3) and last and last < first:
        return "NHWC", last
    return "NCHW", first or 3


def real_picture(proto: onnx.ModelProto, picture: PictureInput, measured: Measured) -> Candidate:
    """Return the picture as the first tensor of real numbers: the input, or what an integer input is cast to.

    Raises GradientError where an integer input goes elsewhere too, so that no derivative by it can be taken.
    """
    name, readers = picture.name, consumers(proto.graph)
    while measured.values[name].dtype[:5] not in ("float", "bfloa"):
        [first, *others] = readers.get(name, [onnx.NodeProto()])
        if others or first.op_type not in ("Cast", "Identity"):
            raise GradientError(
                f"the model takes whole numbers at {picture.name!r} ({first.op_type} reads them, not Cast), so "
                "there is no gradient by the picture; take a method that reads a feature map, or dd-cam"
            )
        name = first.output[0]
    value, axis = measured.values[name], 1 if picture.layout == "NCHW" else 3
    height, width = (size for i, size in enumerate(value.shape) if i not in (0, axis))
    return Candidate(Tensor(name, value.dtype, value.shape), "map", axis, (height, width))


def find_logits(proto: onnx.ModelProto, picture: str, output: str | None = None) -> Logits:
    """Find the class scores: walk back from the chosen output to the tensor that enters the final softmax.

    The number of classes is not known here (0) where the file does not declare it; the trial run fills it in.
    """
    info = choose_output(proto, picture, output)
    made = producers(proto.graph)
    node = made.get(info.name)
    while node is not None and node.op_type in PASSING:
        node = made.get(node.input[0])
    tensor = tensor_of(info)
    classes = max((d or 0 for d in tensor.shape[1:]), default=0)
    plain = Logits(info.name, info.name, classes, "none", f"output {info.name!r} as it is: no softmax before it")
    if node is None:
        return plain
    end = final_activation(node, made)
    if end is None:
        return plain
    before, activation, word = end
    return replace(plain, tensor=before, activation=activation, reason=f"what enters the final {word}")


def final_activation(node: onnx.NodeProto, made: dict[str, onnx.NodeProto]) -> tuple[str, Activation, str] | None:
    """Return the tensor before a softmax or sigmoid, also where the softmax is written out as exp / sum(exp)."""
    match node.op_type:
        case "Softmax" | "LogSoftmax" | "QLinearSoftmax":
            return node.input[0], "softmax", node.op_type
        case "Sigmoid" | "QLinearSigmoid":
            return node.input[0], "sigmoid", node.op_type
        case "Div":
            before = written_out_softmax(node, made)
            return (before, "softmax", "exp / sum(exp)") if before else None
    return None


def written_out_softmax(div: onnx.NodeProto, made: dict[str, onnx.NodeProto]) -> str | None:
    """Return the tensor that enters exp(x) / sum(exp(x)), with or without its maximum taken off first."""
    over, under = (made.get(name) for name in div.input)
    if over is None or under is None or (over.op_type, under.op_type) != ("Exp", "ReduceSum"):
        return None
    if under.input[0] != over.output[0]:
        return None
    entering: str = over.input[0]
    before = made.get(entering)
    if before is not None and before.op_type == "Sub" and is_max(before, made):
        return str(before.input[0])
    return entering


def is_max(sub: onnx.NodeProto, made: dict[str, onnx.NodeProto]) -> bool:
    subtracted = made.get(sub.input[1])
    return subtracted is not None and subtracted.op_type == "ReduceMax" and subtracted.input[0] == sub.input[0]


def choose_output(proto: onnx.ModelProto, picture: str, asked: str | None) -> onnx.ValueInfoProto:
    """Choose the output with the class scores: `[N, classes]`, or with further axes of size 1.

    Among several: those of more than one score go first, of these the ones that no other is computed from, of
    these the ones that end in a softmax or sigmoid; then the file's order decides.
    """
    below = downstream(proto.graph, [picture])
    outputs: dict[str, onnx.ValueInfoProto] = {o.name: o for o in proto.graph.output}
    listed = "; ".join(describe_output(o) for o in outputs.values())
    if asked is not None:
        if asked not in outputs:
            raise OptionError(f"the model has no output {asked!r}; its outputs are: {listed}")
        return outputs[asked]
    boxes = has_boxes([tensor_of(o) for o in outputs.values() if o.type.HasField("tensor_type")])
    fit = [o for o in outputs.values() if o.name in below and is_class_scores(o) and not boxes]
    if not fit and not boxes and any(is_class_scores(o) for o in outputs.values()):
        raise ModelError(f"no class scores are computed from the input {picture!r}; the model's outputs are: {listed}")
    if not fit:
        raise ModelError(
            f"expected an output of class scores, [N, classes]; the model's outputs are: {listed or 'none'}; "
            "of a detector choose a box with --box (ddcam detect lists them), of a segmenter a region with --region"
        )
    fit = [o for o in fit if not is_one_score(tensor_of(o))] or fit
    made = producers(proto.graph)
    inner = {i for o in fit for i in above(proto.graph, o.name)}
    last = [o for o in fit if o.name not in inner] or fit
    ending = [o for o in last if o.name in made and final_activation(made[o.name], made)]
    return (ending or last)[0]


def has_boxes(outputs: list[Tensor]) -> bool:
    """Tell a detector's boxes, [n, 4] or [1, n, 4], by their name or by scores [1, n, C] beside them."""
    for boxes in (o for o in outputs if o.shape[-1:] == (4,) and len(o.shape) in (2, 3)):
        others = [o for o in outputs if o != boxes]
        if "box" in boxes.name.lower() and others:
            return True
        if len(boxes.shape) == 3 and any(len(o.shape) == 3 and o.shape[1] == boxes.shape[1] for o in others):
            return True
    return False


def describe_output(info: onnx.ValueInfoProto) -> str:
    kind = info.type.WhichOneof("value") or "untyped"
    return str(tensor_of(info)) if kind == "tensor_type" else f"{info.name} {kind.removesuffix('_type')}"


def is_class_scores(info: onnx.ValueInfoProto) -> bool:
    if not info.type.HasField("tensor_type"):
        return False
    tensor = tensor_of(info)
    if tensor.dtype not in NUMERIC:
        return False
    if not info.type.tensor_type.HasField("shape"):
        return True
    wide = [d for d in tensor.shape[1:] if d != 1]
    return len(wide) <= 1 and tensor.shape != ()


def is_one_score(tensor: Tensor) -> bool:
    """Tell `[N, 1]`, `[N, 1, 1]`, `[1]` and `[N]`, where N is a batch."""
    return bool(tensor.shape) and all(d == 1 for d in tensor.shape[1:]) and tensor.shape[0] in (None, 1)


def above(graph: onnx.GraphProto, name: str) -> set[str]:
    """Return every tensor that `name` is computed from."""
    needed: set[str] = {name}
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
    return needed - {name}
