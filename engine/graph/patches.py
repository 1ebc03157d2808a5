"""Patches: squares of the model's input as units, and the whole model with an input that masks put together."""

import math
from collections.abc import Mapping
from typing import get_args

import numpy as np
import onnx
from onnx import helper

from ..errors import OptionError, SplitError
from ..types import Baseline, Content, Logits, Measured, PictureInput, Split, Value, Wishes
from .content import content_of
from .cut import FEATURES, LOGITS, MASK, Built, assemble, constant, logit_nodes, value_info
from .load import opset
from .quantization import Quantization

ACROSS = 14
"""Patches on a side where their size is left open: about as many cells as the maps of usual networks have, squared."""
NOTHING_ELSE = "no tensor behind the input has units to switch off"
"""Why a model is explained by patches where nobody asked for them."""
SELECTING = 9
"""The first operator set with Where."""
Nodes = list[onnx.NodeProto]


def patch_split(picture: PictureInput, measured: Measured, wishes: Wishes) -> Split:
    """Lay squares of `wishes.patch` pixels over the model's input, by default about 14 x 14 of them.

    Where the side does not divide the input, the last row and column are cut off. Raises SplitError for a tensor
    to cut at, OptionError for a size or baseline that does not exist.
    """
    if wishes.split not in (None, picture.name):
        raise SplitError(f"patches are squares of the model's input and nothing is cut; leave out {wishes.split!r}, or "
                         "ask for other units")  # fmt: skip
    value = measured.values[picture.name]
    axis = 1 if picture.layout == "NCHW" else 3
    height, width = (size for i, size in enumerate(value.shape) if i not in (0, axis))
    side, baseline = side_of(height, width, wishes.patch), baseline_of(wishes.baseline)
    grid = math.ceil(height / side), math.ceil(width / side)
    why = "asked for" if wishes.units == "patch" else NOTHING_ELSE
    return Split(
        tensor=picture.name,
        dtype=value.dtype,
        shape=value.shape,
        units="patch",
        count=math.prod(grid),
        unit_axis=axis,
        grid=grid,
        fixed=(),
        reason=f"{why}; {grid[0]} x {grid[1]} squares of {side} pixels, a removed one is the baseline {baseline!r}",
        patch=side,
        baseline=baseline,
    )


def without_map(split: Split) -> str:
    """Say why there is no feature map, and what works without one."""
    if split.reason.startswith(NOTHING_ELSE):
        return (
            "the model has none that all of it passes through (trees, layers on flat rows, two streams); take dd-cam "
            "or a method that perturbs the picture: occlusion, rise, lime, kernel-shap, sobol, hsic, sis or rex"
        )
    return "patch units have none; leave out --units patch, or take another method"


def side_of(height: int, width: int, asked: int | None) -> int:
    if asked is None:
        # A series is one row: as many pieces as a picture has squares, of a short series fewer.
        return max(1, round(min(math.sqrt(height * width) / ACROSS, height * width / ACROSS**2)))
    if not 1 <= asked <= max(height, width):
        raise OptionError(f"expected patches of 1 to {max(height, width)} pixels for an input of {height}x{width}, got "
                          f"{asked}; choose another --patch")  # fmt: skip
    return asked


def baseline_of(asked: Baseline | None) -> Baseline:
    names: tuple[Baseline, ...] = get_args(Baseline)
    if asked is None:
        return names[0]
    if asked not in names:
        raise OptionError(f"expected a baseline {', '.join(names)}, got {asked!r}; take one of them")
    return asked


def refuse_patch_wishes(wishes: Wishes, split: Split) -> None:
    """Raise OptionError where patches are described and other units are chosen."""
    if wishes.patch is not None or wishes.baseline is not None:
        raise OptionError(f"--patch and --baseline are for patches, the units are {split.units}s; add --units patch")


def refuse_patches_of(picture: PictureInput, *, asked: bool) -> None:
    """Raise SplitError for a volume, whose patches would have to be cubes."""
    if picture.form == "volume":
        more = "leave out --units patch" if asked else "and no tensor behind the input is a map [N, C, D, H, W]"
        raise SplitError(f"patches are squares of pictures or pieces of series, the model takes a volume; {more}")


def input_as_features(proto: onnx.ModelProto, split: Split) -> Content:
    """Serialise the backbone of patches, which does nothing: the features are the model's input."""
    value = Value(split.shape, split.dtype)
    ends = [[value_info(name, value, free=True)] for name in (split.tensor, FEATURES)]
    passing = helper.make_node("Identity", [split.tensor], [FEATURES])
    return content_of(assemble(proto, [passing], *ends))


def masked_model(
    model: onnx.ModelProto, split: Split, logits: Logits, quantized: Mapping[str, Quantization]
) -> Content:
    """Serialise the graph `ddcam_features [2, ...], ddcam_mask [B, n] -> ddcam_logits [B, classes]` of a whole model.

    The features are a picture and its baseline; every pixel is that of the one or the other, bit for bit.
    """
    masking, tensors = patch_nodes(split, opset(model))
    reading, more = logit_nodes(logits, quantized.get(logits.tensor))
    inputs = [
        value_info(FEATURES, Value((2, *split.shape[1:]), split.dtype), free=False),
        helper.make_tensor_value_info(MASK, onnx.TensorProto.FLOAT, ["N", split.count]),
    ]
    outputs = [helper.make_tensor_value_info(LOGITS, onnx.TensorProto.FLOAT, ["N", logits.classes])]
    nodes = [*masking, *model.graph.node, *reading]
    return content_of(assemble(model, nodes, inputs, outputs, [*tensors, *more]))


def patch_nodes(split: Split, version: int) -> Built:
    """Return the nodes that make the model's input: each pixel looks up its patch in the mask, `[B, 1, H, W]`."""
    tensors = [
        constant("ddcam_patch_of_pixel", patch_of_pixel(split)),
        *(constant(name, np.array([i])) for i, name in enumerate(("ddcam_first", "ddcam_second"))),
    ]
    nodes = [
        helper.make_node("Gather", [MASK, "ddcam_patch_of_pixel"], ["ddcam_mask_pixels"], axis=1),
        helper.make_node("Gather", [FEATURES, "ddcam_first"], ["ddcam_picture"], axis=0),
        helper.make_node("Gather", [FEATURES, "ddcam_second"], ["ddcam_baseline"], axis=0),
    ]
    if version < SELECTING:
        return nodes + weighing_nodes(split), [*tensors, constant("ddcam_one", np.ones((), accurate(split)))]
    kept, ends = "ddcam_kept_pixels", ["ddcam_picture", "ddcam_baseline"]
    nodes.append(helper.make_node("Cast", ["ddcam_mask_pixels"], [kept], to=onnx.TensorProto.BOOL))
    nodes.append(helper.make_node("Where", [kept, *ends], [split.tensor]))
    return nodes, tensors


def weighing_nodes(split: Split) -> Nodes:
    """Do without Where: `picture * mask + baseline * (1 - mask)`, exact as the mask is 0 or 1 and nothing infinite."""
    wide = helper.np_dtype_to_tensor_dtype(np.dtype(accurate(split)))
    own = helper.np_dtype_to_tensor_dtype(np.dtype(split.dtype))
    names = ("ddcam_mask_pixels", "ddcam_picture", "ddcam_baseline")
    return [
        *(helper.make_node("Cast", [name], [f"{name}_wide"], to=wide) for name in names),
        helper.make_node("Sub", ["ddcam_one", "ddcam_mask_pixels_wide"], ["ddcam_removed_pixels"]),
        helper.make_node("Mul", ["ddcam_picture_wide", "ddcam_mask_pixels_wide"], ["ddcam_kept_part"]),
        helper.make_node("Mul", ["ddcam_baseline_wide", "ddcam_removed_pixels"], ["ddcam_removed_part"]),
        helper.make_node("Add", ["ddcam_kept_part", "ddcam_removed_part"], ["ddcam_both_parts"]),
        helper.make_node("Cast", ["ddcam_both_parts"], [split.tensor], to=own),
    ]


def accurate(split: Split) -> str:
    """Name a type that holds every value of the input and that ONNX Runtime multiplies in any operator set."""
    return "float64" if split.dtype == "float64" else "float32"


def patch_of_pixel(split: Split) -> np.ndarray:
    """Return the patch of each pixel, `[1, H, W]` or `[H, W, 1]`; row by row as cells are numbered."""
    assert split.patch is not None
    height, width = (size for i, size in enumerate(split.shape) if i not in (0, split.unit_axis))
    rows, columns = (np.arange(size) // split.patch for size in (height, width))
    return np.expand_dims(rows[:, None] * split.grid[1] + columns, split.unit_axis - 1).astype(np.int64)
