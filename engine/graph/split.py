"""Where to cut: every tensor that all data passes through, which of them have units, and which one is best."""

import difflib
import math
from collections.abc import Mapping
from dataclasses import replace

import onnx

from ..errors import SplitError
from ..types import Candidate, Logits, PictureInput, Split, Tensor, UnitKind, UnitWish, Value
from .axes import CHANNEL_LAST, Neighbours
from .forms import AGAIN, AS_MAP
from .interface import written_out_softmax
from .walk import path_nodes, producers, reads, separators

MIXING = frozenset(
    {"Conv", "Gemm", "MatMul", "Einsum", "ConvInteger", "MatMulInteger", "QLinearConv", "QLinearMatMul"}
    | {"QGemm", "FusedConv", "FusedGemm", "FusedMatMul", "DynamicQuantizeMatMul", "MatMulIntegerToFloat"}
    | {"MatMulNBits", "ConvTranspose"}
)
"""Operators that weigh channels or features against each other: layers with weights."""
ATTENTION = frozenset({"Attention", "MultiHeadAttention", "QAttention", "GroupQueryAttention"})
WEIGHING = frozenset({"MatMul", "Einsum", "FusedMatMul", "MatMulInteger", "QLinearMatMul"})
"""Operators by which the softmax of an attention weighs the values."""
SPLITTABLE = frozenset({"float32", "float16", "float64", "bfloat16", "uint8", "int8"})


def find_candidates(
    proto: onnx.ModelProto, picture: PictureInput, logits: Logits, values: Mapping[str, Value]
) -> list[Candidate]:
    """List the tensors to split at, in the model's order.

    A candidate carries all data from the picture to the logits, has layers with weights before and after it,
    and is a map `[1, C, h, w]` / `[1, h, w, C]` of more than one cell or a row of tokens `[1, T, D]`.
    """
    names = separators(proto.graph, picture.name, logits.tensor)
    path = path_nodes(proto.graph, picture.name, logits.tensor)
    made = {name: i for i, node in enumerate(path) for name in node.output}
    layers = [i for i, node in enumerate(path) if node.op_type in MIXING]
    if not layers:
        return []
    inner = [n for n in names if layers[0] <= made.get(n, -1) < layers[-1] and n in values]
    askable = {rank: Neighbours(proto.graph, kinds) for rank, kinds in CHANNEL_LAST.items()}
    found: list[Candidate] = []
    for name in inner:
        value = values[name]
        if value.dtype in SPLITTABLE and value.shape and value.shape[0] == 1:
            found += folded(picture, name, value) or candidate(askable, name, value, found)
    return found if picture.form == "picture" else in_form(picture, found)


def folded(picture: PictureInput, name: str, value: Value) -> list[Candidate]:
    """Describe a map of a series or a volume, which got four axes when the model was read."""
    if name not in picture.folded:
        return []
    tensor, (height, width) = Tensor(name, value.dtype, value.shape), value.shape[2:]
    return [Candidate(tensor, "map", 1, (height, width), depth=picture.folded[name])]


def in_form(picture: PictureInput, found: list[Candidate]) -> list[Candidate]:
    """Lay the tokens of a series in a row, and those of a volume as the map that they were made of."""
    depths = {c.grid: c.depth for c in found if c.form == "map"}
    known = {f"{name.removesuffix(AS_MAP)}{end}" for name in picture.folded for end in ("", AGAIN)}
    maps_and_tokens = [c for c in found if c.tensor.name not in known]
    if picture.form == "series":
        return [c if c.form == "map" else replace(c, grid=(1, math.prod(c.grid))) for c in maps_and_tokens]
    return [replace(c, depth=depths[c.grid]) for c in maps_and_tokens if c.grid in depths]


def candidate(askable: Mapping[int, Neighbours], name: str, value: Value, earlier: list[Candidate]) -> list[Candidate]:
    """Describe one tensor as a candidate, or return nothing where it has no units."""
    tensor, shape = Tensor(name, value.dtype, value.shape), value.shape
    if len(shape) not in askable:
        return []
    axis = askable[len(shape)].channel_axis(name, shape)
    if len(shape) == 4:
        height, width = (size for i, size in enumerate(shape) if i not in (0, axis))
        return [Candidate(tensor, "map", axis, (height, width))] if height * width > 1 and shape[axis] > 1 else []
    if axis == 1 or min(shape[1:]) == 1:
        return []
    fixed = fixed_tokens(value, earlier)
    return [Candidate(tensor, "tokens", 1, token_grid(shape[1] - len(fixed), earlier), fixed)]


def fixed_tokens(value: Value, earlier: list[Candidate]) -> tuple[int, ...]:
    """Return the positions that are no patch: where the first tensor with that many tokens ignores the picture.

    Class and register tokens are parameters, so at that point they are equal for any two pictures.
    """
    for other in earlier:
        if other.form == "tokens" and other.tensor.shape[1] == value.shape[1]:
            return other.fixed
    return value.same if len(value.same) < value.shape[1] else ()


def token_grid(count: int, earlier: list[Candidate]) -> tuple[int, int]:
    """Return the rows and columns of the patches: those of the last map, else a square, else one row."""
    for other in reversed(earlier):
        if other.form == "map" and math.prod(other.grid) == count:
            return other.grid
    side = math.isqrt(count)
    return (side, side) if side * side == count else (1, count)


def choose_split(
    proto: onnx.ModelProto,
    candidates: list[Candidate],
    ends: tuple[str, str],
    *,
    units: UnitWish | None = None,
    tensor: str | None = None,
) -> Split:
    """Choose where to cut; `ends` are the picture input and the logits.

    The last map before the classifier layer; where attention follows the last map, the tokens that enter the
    last attention block. Raises SplitError when nothing fits.
    """
    if not candidates:
        raise SplitError(
            "no tensor to split at: none between the picture and the class scores carries all data, has layers "
            "before and after it and is a map [N, C, h, w] or tokens [N, T, D]; use --units patch"
        )
    if tensor is not None:
        chosen = named(candidates, tensor)
        return split_at(chosen, units, "asked for")
    maps = [c for c in candidates if c.form == "map"]
    tokens = entering_attention(proto, candidates, ends)
    if units == "token" or (units in (None, "place") and tokens and (not maps or after(candidates, tokens, maps[-1]))):
        if not tokens:
            raise SplitError("units token were asked for, but the model has no row of tokens; use --units channel")
        return split_at(tokens, units, token_reason(tokens))
    if not maps:
        raise SplitError("units channel or cell need a feature map and the model has only tokens; use --units token")
    return split_at(maps[-1], units, "the last feature map before the classifier layer")


def after(candidates: list[Candidate], one: Candidate, other: Candidate) -> bool:
    return candidates.index(one) > candidates.index(other)


def token_reason(chosen: Candidate) -> str:
    fixed = f"; positions {list(chosen.fixed)} (class or register tokens) always stay" if chosen.fixed else ""
    return f"the last tokens that attention, or another later layer, still mixes{fixed}"


def named(candidates: list[Candidate], tensor: str) -> Candidate:
    names = [c.tensor.name for c in candidates]
    if tensor in names:
        return candidates[names.index(tensor)]
    close = difflib.get_close_matches(tensor, names, 3) or names[-3:]
    raise SplitError(
        f"cannot split at {tensor!r}: not all data passes through it, or it has no units; "
        f"try {', '.join(map(repr, close))} (ddcam inspect lists all {len(names)})"
    )


def entering_attention(proto: onnx.ModelProto, candidates: list[Candidate], ends: tuple[str, str]) -> Candidate | None:
    """Return the last tokens before the last attention; without attention after them, the last tokens."""
    path = path_nodes(proto.graph, *ends)
    made = {name: i for i, node in enumerate(path) for name in node.output}
    maps, tokens = ([c for c in candidates if c.form == form] for form in ("map", "tokens"))
    nodes = producers(proto.graph)
    attention = [i for i, node in enumerate(path) if is_attention(node, path, nodes)]
    before = [c for c in tokens if attention and made[c.tensor.name] < attention[-1]]
    # A map that is pooled one side at a time is [N, C, h] in between: only a layer makes tokens of it.
    first = made[maps[-1].tensor.name] if maps else 0
    layers = [i for i, node in enumerate(path) if node.op_type in MIXING and i > first]
    found = before or [c for c in tokens if not maps or (layers and layers[0] <= made[c.tensor.name])]
    return found[-1] if found else None


def is_attention(node: onnx.NodeProto, path: list[onnx.NodeProto], made: dict[str, onnx.NodeProto]) -> bool:
    """Tell an attention: the operator itself, or a softmax whose result weighs something else in a product."""
    if node.op_type in ATTENTION:
        return True
    written_out = node.op_type == "Div" and written_out_softmax(node, made)
    if node.op_type not in ("Softmax", "QLinearSoftmax") and not written_out:
        return False
    reached = {node.output[0]}
    for later in path[path.index(node) + 1 :]:
        if reached.intersection(reads(later)):
            if later.op_type in WEIGHING:
                return True
            reached.update(later.output)
            if len(reached) > 6:
                return False
    return False


def split_at(chosen: Candidate, units: UnitWish | None, reason: str) -> Split:
    allowed: tuple[UnitKind, ...] = ("channel", "cell") if chosen.form == "map" else ("token",)
    kind = {None: allowed[0], "place": allowed[-1]}.get(units) or units
    if kind not in allowed:
        raise SplitError(f"{chosen.tensor} has the units {' and '.join(allowed)}, not {kind}; use one of them")
    shape = tuple(d or 1 for d in chosen.tensor.shape)
    channels = shape[chosen.unit_axis]
    count = {"channel": channels, "cell": math.prod(chosen.grid), "token": channels - len(chosen.fixed)}[kind]
    return Split(
        tensor=chosen.tensor.name,
        dtype=chosen.tensor.dtype,
        shape=shape,
        units=kind,
        count=count,
        unit_axis=chosen.unit_axis,
        grid=chosen.grid,
        fixed=chosen.fixed,
        reason=reason,
        slices=(1, chosen.depth),
    )
