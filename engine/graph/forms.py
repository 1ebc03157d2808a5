"""Models that take no picture of four axes, read as if they did: series, volumes, rows of pixels, encoded files.

In memory the model gets an input of four axes and a Reshape behind it. A series is a picture of height 1, a volume one
of its slices, each below the one before; the features of both get four axes in the same way, so that whatever works on
maps works on them.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import onnx
from onnx import helper

from ..errors import ModelError, OptionError
from ..types import Form, Layout, Logits, PictureInput, Tensor, Wishes
from .axes import CHANNEL_LAST, NORMALISING, STEPS, Neighbours
from .cut import constant
from .interface import NUMERIC, find_picture_input, tensor_of
from .load import Graph
from .skeleton import skeleton
from .walk import consumers, feeds, integers, separators

AS_PICTURE, AS_MAP, AGAIN = "_as_picture", "_as_map", "_again"
"""What the names of new tensors end in: an input of four axes, a map of four axes, and what it was before."""
RANKS: dict[int, Form] = {3: "series", 5: "volume"}
LEAST_SIDE = 4
"""Rows of fewer numbers than a picture of that side are no pictures."""
DECODED = {"RGB": 3, "BGR": 3, "Grayscale": 1}


def read_input(graph: Graph, wishes: Wishes) -> tuple[Graph, PictureInput]:
    """Return a model with an input of four axes, and that input.

    Raises ModelError where no input can be read as a picture, a series or a volume, or another is needed besides;
    OptionError for a size that does not fit.
    """
    graph = past_decoder(past_zipmap(graph))
    inputs = [tensor_of(info) for info in feeds(graph.proto.graph) if info.type.HasField("tensor_type")]
    tensor = inputs[0] if len(inputs) == 1 and wishes.input in (None, inputs[0].name) else None
    if tensor is not None and tensor.dtype in NUMERIC and tensor.shape[:1] in ((None,), (1,)):
        if len(tensor.shape) in RANKS:
            return with_axes(graph, tensor, as_series_or_volume(graph.proto, tensor, wishes))
        if len(tensor.shape) == 2 and (rows := as_rows(tensor, wishes)):
            return with_axes(graph, tensor, rows)
    return graph, find_picture_input(graph.proto, wishes.layout, wishes.input)


def source_name(picture: PictureInput) -> str:
    """Return the name that the picture's input has in the file."""
    return picture.name.removesuffix(AS_PICTURE)


# ----- inputs -----


def as_series_or_volume(proto: onnx.ModelProto, tensor: Tensor, wishes: Wishes) -> PictureInput:
    """Read `[N, C, T]`, `[N, T, C]`, `[N, C, D, H, W]` or `[N, D, H, W, C]` as a picture."""
    form = RANKS[len(tensor.shape)]
    layout = wishes.layout or channels_side(proto, tensor)
    channels = tensor.shape[1] if layout == "NCHW" else tensor.shape[-1]
    sizes = tensor.shape[2:] if layout == "NCHW" else tensor.shape[1:-1]
    if form == "series":
        length = wishes.size[-1] if wishes.size else sizes[0]
        if sizes[0] not in (None, length):
            raise OptionError(f"expected the length {sizes[0]} of {tensor.name}, got {length}; leave out --size")
        sizes = (1, length)
    known = [size for size in sizes if size is not None]
    if channels is None or len(known) < len(sizes):
        how = "give its length with --size T" if form == "series" and channels else "export it with fixed sizes"
        raise ModelError(f"the input {tensor} leaves the sizes of a {form} free; {how}")
    depth, height, width = (1, *known)[-3:]
    free = tensor.shape[0] is None
    name = tensor.name + AS_PICTURE
    return PictureInput(name, tensor.dtype, layout, channels, depth * height, width, free, form, depth)


def channels_side(proto: onnx.ModelProto, tensor: Tensor) -> Layout:
    """Tell whether the channels come first or last: by the operator that reads them, else by the smaller axis."""
    rank = len(tensor.shape)
    for node in consumers(proto.graph).get(tensor.name, []):
        if node.op_type == "Transpose" and integers(node, "perm") == [0, rank - 1, *range(1, rank - 1)]:
            return "NHWC"
        if node.op_type == "Conv":
            return "NCHW"
    first, last = tensor.shape[1], tensor.shape[-1]
    return "NHWC" if last and (first is None or last < first) else "NCHW"


def as_rows(tensor: Tensor, wishes: Wishes) -> PictureInput | None:
    """Read rows of pixels `[N, F]` as grey or colour pictures of the size asked for, or else as squares."""
    count = tensor.shape[1]
    if count is None:
        return None
    if wishes.size is not None:
        height, width = wishes.size
        fitting = [channels for channels in (1, 3) if channels * height * width == count]
        if not fitting:
            raise OptionError(
                f"expected a size of {count} numbers, in grey or colour, for {tensor}, got {height}x{width}; "
                "give another --size"
            )
    else:
        fitting = [channels for channels in (1, 3) if math.isqrt(count // channels) ** 2 * channels == count]
        height = width = math.isqrt(count // fitting[0]) if fitting else 0
    if not fitting or height * width < LEAST_SIDE**2:
        return None
    free, layout = tensor.shape[0] is None, wishes.layout or "NHWC"
    return PictureInput(tensor.name + AS_PICTURE, tensor.dtype, layout, fitting[0], height, width, free)


def with_axes(graph: Graph, tensor: Tensor, picture: PictureInput) -> tuple[Graph, PictureInput]:
    """Put an input of four axes before the input of a model."""
    proto = onnx.ModelProto()
    proto.CopyFrom(graph.proto)
    height, width, channels = picture.height or 0, picture.width or 0, picture.channels
    spatial = {"series": [width], "volume": [picture.depth, height // picture.depth, width]}.get(picture.form)
    if spatial is None:
        inner = [channels * height * width]
    else:
        inner = [channels, *spatial] if picture.layout == "NCHW" else [*spatial, channels]
    own = next(info for info in proto.graph.input if info.name == tensor.name)
    sizes: list[int | str] = ["N" if picture.free_batch else 1, *picture.shape(1, height, width)[1:]]
    kind = own.type.tensor_type.elem_type
    own.CopyFrom(helper.make_tensor_value_info(picture.name, kind, sizes))
    into = constant(f"{picture.name}_axes", np.array([0, *inner], np.int64))
    node = helper.make_node("Reshape", [picture.name, into.name], [tensor.name])
    add(proto, {0: [node]}, [into])
    return replace(graph, proto=proto), picture


def add(proto: onnx.ModelProto, before: dict[int, list[onnx.NodeProto]], tensors: Sequence[onnx.TensorProto]) -> None:
    """Insert nodes before those of an index, in place; weights are listed as inputs too where an old IR wants it."""
    graph = proto.graph
    nodes = [new for i, node in enumerate(graph.node) for new in (*before.get(i, []), node)]
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)
    graph.initializer.extend(tensors)
    if proto.ir_version < 4:
        graph.input.extend(helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in tensors)


# ----- maps -----


def with_maps(graph: Graph, picture: PictureInput, logits: Logits) -> tuple[Graph, PictureInput]:
    """Give the features of a series or a volume four axes, wherever all data passes through them."""
    if picture.form == "picture":
        return graph, picture
    sizes = features(graph.proto, picture, logits)
    if not sizes:
        return graph, picture
    proto, before, tensors = onnx.ModelProto(), dict[int, list[onnx.NodeProto]](), list[onnx.TensorProto]()
    proto.CopyFrom(graph.proto)
    renamed = dict[str, str]()
    for i, node in enumerate(proto.graph.node):
        node.input[:] = [renamed.get(name, name) for name in node.input]
        for name in (name for name in node.output if name in sizes):
            depth, height, width = (1, 1, *sizes[name])[-3:]
            shapes = {AS_MAP: [0, 0, depth * height, width], AGAIN: [0, 0, *sizes[name]]}
            tensors += [constant(f"{name}{end}_axes", np.array(axes, np.int64)) for end, axes in shapes.items()]
            ways = ((name, AS_MAP), (name + AS_MAP, AGAIN))
            nodes = [helper.make_node("Reshape", [x, f"{name}{end}_axes"], [f"{name}{end}"]) for x, end in ways]
            before[i + 1] = before.get(i + 1, []) + nodes
            renamed[name] = name + AGAIN
    add(proto, before, tensors)
    folded = {name + AS_MAP: (1, 1, *found)[-3] for name, found in sizes.items()}
    return replace(graph, proto=proto), replace(picture, folded=folded)


def features(proto: onnx.ModelProto, picture: PictureInput, logits: Logits) -> dict[str, tuple[int, ...]]:
    """Return the sizes of the places of each tensor `[N, C, T]` or `[N, C, D, H, W]` that all data passes through."""
    rank = 3 if picture.form == "series" else 5
    try:
        inferred = onnx.shape_inference.infer_shapes(skeleton(proto), data_prop=True).graph
    except Exception:  # what inference cannot do leaves the model without maps, as the split then says
        return {}
    shapes = {value.name: tensor_of(value).shape for value in [*inferred.value_info, *inferred.output]}
    neighbours = Neighbours(proto.graph, CHANNEL_LAST.get(rank, NORMALISING))
    found, last = {}, proto.graph.node[-1].output
    outside = (picture.name, source_name(picture), logits.tensor, *last)
    for name in separators(proto.graph, picture.name, logits.tensor):
        shape = shapes.get(name, ())
        if len(shape) != rank or None in shape[2:] or name in outside:
            continue
        sizes = tuple(size or 0 for size in shape[2:])
        if neighbours.axis_of(name, STEPS) == 1 and math.prod(sizes) > 1:
            found[name] = sizes
    return found


# ----- what is read past -----


def past_zipmap(graph: Graph) -> Graph:
    """Take the tensor of probabilities where a ZipMap makes dictionaries of it, and its names where they are texts."""
    found = [node for node in graph.proto.graph.node if node.op_type == "ZipMap" and node.domain == "ai.onnx.ml"]
    if not found:
        return graph
    proto = onnx.ModelProto()
    proto.CopyFrom(graph.proto)
    for node in found:
        labels = {item.name: helper.get_attribute_value(item) for item in node.attribute}
        texts, whole = labels.get("classlabels_strings"), labels.get("classlabels_int64s")
        names = [text.decode(errors="replace") for text in texts] if texts else [str(one) for one in whole or []]
        for output in proto.graph.output:
            if output.name == node.output[0]:
                shape: list[str | int | None] = ["N", len(names)]
                output.CopyFrom(helper.make_tensor_value_info(node.input[0], onnx.TensorProto.FLOAT, shape))
        proto.graph.node.remove(node)
        if texts and not any(item.key == "labels" for item in proto.metadata_props):
            proto.metadata_props.add(key="labels", value=repr(names))
    return replace(graph, proto=proto)


def past_decoder(graph: Graph) -> Graph:
    """Let the picture come in behind an ImageDecoder, for which ONNX Runtime has no kernel: ddcam decodes itself."""
    readers, inputs = consumers(graph.proto.graph), [info.name for info in feeds(graph.proto.graph)]
    decoders = [node for node in graph.proto.graph.node if node.op_type == "ImageDecoder"]
    if not decoders:
        return graph
    node = decoders[0]
    if len(decoders) > 1 or node.input[0] not in inputs or len(readers[node.input[0]]) > 1:
        raise ModelError(
            "the model decodes files (ImageDecoder), for which ONNX Runtime has no kernel, and not as its first step; "
            "export it from the decoded pixels on"
        )
    attributes = {item.name: helper.get_attribute_value(item).decode() for item in node.attribute}
    order = attributes.get("pixel_format", "RGB")
    proto = onnx.ModelProto()
    proto.CopyFrom(graph.proto)
    own = next(info for info in proto.graph.input if info.name == node.input[0])
    own.CopyFrom(helper.make_tensor_value_info(own.name, onnx.TensorProto.UINT8, [1, "H", "W", DECODED[order]]))
    axes, last = (
        constant(f"{own.name}_batch", np.array([0], np.int64)),
        constant(f"{own.name}_order", np.array([2, 1, 0] if order == "BGR" else range(DECODED[order]), np.int64)),
    )
    first = helper.make_node("Squeeze", [own.name, axes.name], [f"{own.name}_pixels"])
    turned = helper.make_node("Gather", [f"{own.name}_pixels", last.name], [node.output[0]], axis=2)
    at = next(i for i, other in enumerate(proto.graph.node) if other.op_type == "ImageDecoder")
    del proto.graph.node[at]
    add(proto, {at: [first, turned]}, [axes, last])
    return replace(graph, proto=proto, notes=(*graph.notes, "the file decoder of the model is left out: ddcam decodes"))
