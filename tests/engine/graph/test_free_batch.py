"""A batch of three through the freed graph gives what three single runs of the fixed graph give."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.capi.onnxruntime_pybind11_state import Fail, RuntimeException

from ddcam.engine.errors import ModelError
from ddcam.engine.graph.free_batch import BatchError, free_batch

Array = NDArray[Any]
DATA = Path(os.environ.get("DDCAM_DATA", "/nowhere"))


def ints(*values: int) -> Array:
    return np.array(values, np.int64)


def noise(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


@dataclass(frozen=True)
class Case:
    """A small graph from `x` to `y` with a fixed batch of 1; nodes in the notation of onnx.parser."""

    name: str
    shape: tuple[int, ...]
    nodes: str
    constants: Mapping[str, Array] = field(default_factory=dict)
    opset: int = 17


def build(case: Case) -> onnx.ModelProto:
    """Make the model of a case; up to opset 8 in the oldest form, with the weights among the inputs."""
    picture = f"float[{','.join(map(str, case.shape))}] x"
    graph = onnx.parser.parse_graph(f"{case.name} ({picture}) => (float[] y) {{ {case.nodes.replace(';', ' ')} }}")
    graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in case.constants.items())
    for i, node in enumerate(graph.node):
        node.name = f"{node.op_type}_{i}"
    if case.opset <= 8:
        graph.input.extend(helper.make_tensor_value_info(i.name, i.data_type, i.dims) for i in graph.initializer)
    opsets = [helper.make_opsetid("", case.opset), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=3 if case.opset <= 8 else 10)


def session(model: onnx.ModelProto, optimised: bool = True) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    if not optimised:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model.SerializeToString(), options)


def measure(model: onnx.ModelProto, name: str, sample: Array) -> dict[str, tuple[int, ...]]:
    """Run a model once with every tensor as an output."""
    exposed = onnx.ModelProto()
    exposed.CopyFrom(model)
    had = {output.name for output in model.graph.output}
    made = [name for node in model.graph.node for name in node.output if name and name not in had]
    exposed.graph.output.extend(onnx.ValueInfoProto(name=name) for name in made)
    runner = session(exposed, optimised=False)
    names = [output.name for output in runner.get_outputs()]
    shapes = {n: np.shape(value) for n, value in zip(names, runner.run(names, {name: sample}), strict=True)}
    return shapes | {name: sample.shape} | {i.name: tuple(i.dims) for i in model.graph.initializer}


def freed(model: onnx.ModelProto, x: Array, name: str = "x") -> onnx.ModelProto:
    return free_batch(model, name, measure(model, name, x[:1]))


def worst_difference(model: onnx.ModelProto, batched: onnx.ModelProto, x: Array, name: str = "x") -> float:
    """Return the largest relative difference between one run of a batch and single runs, over all outputs."""
    one, many = session(model), session(batched)
    alone = zip(*(one.run(None, {name: x[i : i + 1]}) for i in range(len(x))), strict=True)
    differences = []
    for parts, got in zip(alone, many.run(None, {name: x}), strict=True):
        expected = np.concatenate(parts).astype(np.float64)
        assert got.shape == expected.shape
        differences.append(float(np.abs(got - expected).max() / max(np.abs(expected).max(), 1e-6)))
    return max(differences)


def three(shape: tuple[int, ...]) -> Array:
    return np.random.default_rng(7).standard_normal((3, *shape[1:])).astype(np.float32)


TO_ROWS = "r = Reshape(x, rows)"
ROWS = {"rows": ints(1, 24)}
CLASS_TOKEN = {"token": noise(1, 1, 4)}
# [1, 4, 4, 3] to four windows [4, 4, 3] and back, as in Swin
INTO_WINDOWS = "a = Reshape(x, six); b = Transpose<perm=[0, 1, 3, 2, 4, 5]>(a); w = Reshape(b, windows)"
OUT_OF_WINDOWS = "c = Reshape(v, six); d = Transpose<perm=[0, 1, 3, 2, 4, 5]>(c); y = Reshape(d, whole)"
WINDOWS = {"six": ints(1, 2, 2, 2, 2, 3), "windows": ints(4, 4, 3), "whole": ints(1, 4, 4, 3)}
# Tokens first, the batch on axis 1, the heads joined to it, as in torch.nn.MultiheadAttention
JOINED_HEADS = """
    a = Transpose<perm=[1, 0, 2]>(x); b = Reshape(a, joined); q = Transpose<perm=[1, 0, 2]>(b)
    k = Transpose<perm=[0, 2, 1]>(q); s = MatMul(q, k); p = Softmax<axis=-1>(s); o = MatMul(p, q)
    c = Transpose<perm=[1, 0, 2]>(o); d = Reshape(c, flat); e = Gemm(d, weight)
    f = Reshape(e, back); y = Transpose<perm=[1, 0, 2]>(f)
"""
QUANTISED = {
    "scale": np.float32(0.05),
    "zero": np.uint8(128),
    "kernel": np.random.default_rng(3).integers(0, 255, (4, 3, 3, 3)).astype(np.uint8),
    "matrix": np.random.default_rng(4).integers(0, 255, (6, 5)).astype(np.uint8),
    "bytes": np.random.default_rng(5).integers(0, 255, (1, 2, 5, 5)).astype(np.uint8),
}
QUANTISE = "q = QuantizeLinear(x, scale, zero)"
DEQUANTISE = "y = DequantizeLinear(z, scale, zero)"

CASES = [
    Case("elementwise", (1, 4), "a = Relu(x); b = Mul(a, x); y = Clip(b, low)", {"low": np.float32(-0.5)}),
    Case("broadcast", (1, 3, 4), "y = Add(x, bias)", {"bias": noise(4)}),
    Case("where", (1, 4), "m = Greater(x, zero); y = Where(m, x, zero)", {"zero": np.float32(0)}),
    Case(
        "convolution",
        (1, 3, 6, 6),
        "a = Conv(x, w); b = MaxPool<kernel_shape=[2, 2]>(a); c = GlobalAveragePool(b); y = Flatten(c)",
        {"w": noise(2, 3, 3, 3)},
    ),
    Case(
        "oldest",
        (1, 3, 4),
        f"{TO_ROWS}; m = MatMul(r, w); y = Softmax<axis=1>(m)",
        {"rows": ints(1, 12), "w": noise(12, 5)},
        opset=7,
    ),
    Case(
        "normalised",
        (1, 4, 6),
        "a = LayerNormalization(x, gain); y = InstanceNormalization(a, one, one)",
        {"gain": noise(6), "one": noise(4)},
    ),
    Case("reshape", (1, 4, 6), f"{TO_ROWS}; y = Gemm(r, w)", {**ROWS, "w": noise(24, 5)}),
    Case("reshape_minus_one", (1, 4, 6), "y = Reshape(x, rows)", {"rows": ints(1, -1)}),
    Case("reshape_zero", (1, 4, 6), "y = Reshape(x, rows)", {"rows": ints(0, 24)}),
    Case(
        "reshape_computed",
        (1, 4, 6),
        "s = Shape(x); n = Gather(s, zero); t = Concat<axis=0>(n, rest); y = Reshape(x, t)",
        {"zero": ints(0), "rest": ints(2, 12)},
    ),
    Case(
        "reshape_past_ones",
        (1, 1, 1, 6),
        "a = Transpose<perm=[1, 0, 2, 3]>(x); b = Reshape(a, t); y = Transpose<perm=[1, 0, 2, 3]>(b)",
        {"t": ints(1, 1, 2, 3)},
    ),
    Case("flatten", (1, 4, 2, 3), "y = Flatten<axis=1>(x)"),
    Case("transpose", (1, 4, 6), "a = Transpose(x); b = Relu(a); y = Transpose(b)"),
    Case("windows", (1, 4, 4, 3), f"{INTO_WINDOWS}; v = Relu(w); {OUT_OF_WINDOWS}", WINDOWS),
    Case(
        "windows_with_mask",
        (1, 4, 4, 3),
        f"{INTO_WINDOWS}; v = Add(w, mask); {OUT_OF_WINDOWS}",
        {**WINDOWS, "mask": noise(4, 4, 3)},
    ),
    Case(
        "windows_times_matrices",
        (1, 4, 4, 3),
        f"{INTO_WINDOWS}; v = MatMul(w, m); {OUT_OF_WINDOWS}",
        {**WINDOWS, "m": noise(4, 3, 3)},
    ),
    Case(
        "windows_mask_apart",
        (1, 4, 4, 3),
        f"{INTO_WINDOWS}; u = Unsqueeze(w, zero); g = Reshape(u, grouped); h = Add(g, mask); "
        f"v = Reshape(h, windows); {OUT_OF_WINDOWS}",
        {**WINDOWS, "mask": noise(4, 4, 3), "zero": ints(0), "grouped": ints(1, 4, 4, 3)},
    ),
    Case(
        "joined_heads",
        (1, 5, 8),
        JOINED_HEADS,
        {"joined": ints(5, 2, 4), "flat": ints(5, 8), "weight": noise(8, 8), "back": ints(5, 1, 8)},
    ),
    Case("squeeze_axes", (1, 4, 1, 1), "y = Squeeze(x, axes)", {"axes": ints(2, 3)}),
    Case("squeeze_constant_node", (1, 1, 4), "a = Constant<value_ints=[1]>(); y = Squeeze(x, a)"),
    Case("squeeze_attribute", (1, 4, 1, 1), "y = Squeeze<axes=[-1, -2]>(x)", opset=11),
    Case("squeeze_everything", (1, 4, 1, 1), "a = Squeeze(x); y = Unsqueeze(a, zero)", {"zero": ints(0)}),
    Case("unsqueeze_axes", (1, 4), "a = Unsqueeze(x, axes); y = Transpose<perm=[1, 0, 2]>(a)", {"axes": ints(0)}),
    Case("unsqueeze_attribute", (1, 4), "y = Unsqueeze<axes=[1, 3]>(x)", opset=12),
    Case("concat_class_token", (1, 3, 4), "y = Concat<axis=1>(token, x)", CLASS_TOKEN),
    Case("concat_class_token_opset_7", (1, 3, 4), "y = Concat<axis=1>(token, x)", CLASS_TOKEN, opset=7),
    Case(
        "concat_expanded_token",
        (1, 3, 4),
        "s = Shape<start=0, end=1>(x); t = Concat<axis=0>(s, rest); e = Expand(token, t); y = Concat<axis=1>(e, x)",
        {**CLASS_TOKEN, "rest": ints(1, 4)},
    ),
    Case("concat_zeros_like", (1, 3, 4), "s = Shape(x); z = ConstantOfShape(s); y = Concat<axis=2>(z, x)"),
    Case("expand", (1, 1, 4), "y = Expand(x, t)", {"t": ints(1, 3, 4)}),
    Case(
        "expand_from_lower_rank",
        (1, 4),
        "a = Expand(x, t); y = ReduceMax<axes=[0], keepdims=0>(a)",
        {"t": ints(2, 1, 4)},
    ),
    Case("tile", (1, 4), "y = Tile(x, t)", {"t": ints(1, 3)}),
    Case("pad", (1, 4), "y = Pad(x, p)", {"p": ints(0, 1, 0, 2)}),
    Case("resize_sizes", (1, 2, 3, 3), 'y = Resize<mode="nearest">(x, , , t)', {"t": ints(1, 2, 7, 5)}),
    Case(
        "resize_sizes_opset_11",
        (1, 2, 3, 3),
        'y = Resize<mode="linear">(x, none, none, t)',
        {"none": np.zeros(0, np.float32), "t": ints(1, 2, 7, 5)},
        opset=11,
    ),
    Case("resize_axes", (1, 2, 3, 3), "y = Resize<axes=[2, 3]>(x, , , t)", {"t": ints(7, 5)}, opset=18),
    Case("resize_scales", (1, 2, 3, 3), "y = Resize(x, s)", {"s": np.array([1, 1, 2, 2], np.float32)}, opset=10),
    Case(
        "upsample",
        (1, 2, 3, 3),
        'y = Upsample<mode="nearest">(x, s)',
        {"s": np.array([1, 1, 2, 2], np.float32)},
        opset=9,
    ),
    Case("slice_other_axis", (1, 5, 4), "y = Slice(x, a, b, c)", {"a": ints(1), "b": ints(3), "c": ints(1)}),
    Case(
        "slice_with_batch",
        (1, 5, 4),
        "y = Slice(x, a, b, c, d)",
        {"a": ints(0, 1), "b": ints(1, 4), "c": ints(0, 1), "d": ints(1, 2)},
    ),
    Case("slice_with_batch_int32", (1, 5), "y = Slice(x, a, b)", {"a": np.int32([0, 1]), "b": np.int32([1, 4])}),
    Case("slice_only_batch", (1, 5), "y = Slice(x, a, b, c)", {"a": ints(0), "b": ints(1), "c": ints(0)}),
    Case("slice_computed_end", (1, 5, 4), "s = Shape(x); y = Slice(x, a, s)", {"a": ints(0, 1, 2)}),
    Case("slice_attributes", (1, 5), "y = Slice<starts=[0, 1], ends=[1, 4], axes=[0, 1]>(x)", opset=9),
    Case("split", (1, 6), "a, b = Split<axis=1>(x); y = Sub(a, b)", opset=12),
    Case("gather", (1, 5, 4), "y = Gather<axis=1>(x, zero)", {"zero": np.int64(0)}),
    Case(
        "gather_table",
        (1, 5, 4),
        "a = Transpose<perm=[1, 0, 2]>(x); b = Gather<axis=0>(a, table); y = Transpose<perm=[2, 0, 1, 3]>(b)",
        {"table": ints(4, 0, 2, 1).reshape(2, 2)},
    ),
    Case(
        "gather_strided",
        (1, 3, 4),
        "f = Reshape(x, all); y = Gather<axis=0>(f, table)",
        {"all": ints(-1), "table": np.arange(12).reshape(1, 4, 3)},
    ),
    Case("gather_elements", (1, 5), "y = GatherElements<axis=1>(x, i)", {"i": ints(4, 0).reshape(1, 2)}),
    Case(
        "embedding",
        (1, 3),
        "a = Cast<to=7>(x); i = Mul(a, zero); y = Gather(table, i)",
        {"zero": ints(0), "table": noise(4, 5)},
    ),
    Case("reduce_attribute", (1, 4, 3), "y = ReduceMean<axes=[-1, 1], keepdims=0>(x)"),
    Case("reduce_input", (1, 4, 3), "y = ReduceMean<keepdims=0>(x, axes)", {"axes": ints(1, 2)}, opset=18),
    Case(
        "reduce_before_batch",
        (1, 4, 3),
        "a = Transpose<perm=[1, 0, 2]>(x); y = ReduceSum<keepdims=0>(a, axes)",
        {"axes": ints(0)},
    ),
    Case("reduce_nothing", (1, 4), "y = ReduceSum<noop_with_empty_axes=1>(x)"),
    Case("arg_max", (1, 4, 3), "a = ArgMax<axis=1, keepdims=0>(x); y = Cast<to=1>(a)"),
    Case("top_k", (1, 6), "y, i = TopK(x, k)", {"k": ints(2)}),
    Case("softmax_flattening", (1, 2, 3), "y = Softmax(x)", opset=11),
    Case("matmul_rows", (1, 6), "y = MatMul(x, w)", {"w": noise(6, 5)}),
    Case("matmul_columns", (1, 6), "a = Transpose(x); b = MatMul(w, a); y = Transpose(b)", {"w": noise(5, 6)}),
    Case("matmul_mixer", (1, 6, 3), "y = MatMul(w, x)", {"w": noise(5, 6)}),
    Case("matmul_vector", (1, 2, 6), "y = MatMul(x, w)", {"w": noise(6)}),
    Case("matmul_vector_left", (1, 6, 3), "y = MatMul(w, x)", {"w": noise(6)}),
    Case(
        "gemm_transposed",
        (1, 6),
        "a = Transpose(x); y = Gemm<transA=1, transB=1>(a, w, c)",
        {"w": noise(5, 6), "c": noise(1, 5)},
    ),
    Case("gemm_columns", (1, 6), "a = Gemm<transB=1>(w, x, c); y = Transpose(a)", {"w": noise(5, 6), "c": noise(5, 1)}),
    Case(
        "einsum",
        (1, 2, 4),
        's = Einsum<equation="bid, bjd -> ijb">(x, x); y = Einsum<equation="ijb,jk->bik">(s, w)',
        {"w": noise(2, 3)},
    ),
    Case("attention", (1, 5, 8), "y = Attention<q_num_heads=2, kv_num_heads=2>(x, x, x)", opset=23),
    Case("newest", (1, 4, 6), f"{TO_ROWS}; y = Swish(r)", ROWS, opset=24),
    Case(
        "qlinear_conv",
        (1, 3, 6, 6),
        f"{QUANTISE}; z = QLinearConv(q, scale, zero, kernel, scale, zero, scale, zero); {DEQUANTISE}",
        QUANTISED,
    ),
    Case(
        "qlinear_matmul",
        (1, 6),
        f"{QUANTISE}; z = QLinearMatMul(q, scale, zero, matrix, scale, zero, scale, zero); {DEQUANTISE}",
        QUANTISED,
    ),
    Case(
        "integer_conv",
        (1, 3, 6, 6),
        f"{QUANTISE}; i = ConvInteger(q, kernel, zero, zero); y = Cast<to=1>(i)",
        QUANTISED,
    ),
    Case(
        "integer_matmul", (1, 6), f"{QUANTISE}; i = MatMulInteger(q, matrix, zero, zero); y = Cast<to=1>(i)", QUANTISED
    ),
    Case(
        "qlinear_add",
        (1, 6),
        f"{QUANTISE}; z = com.microsoft.QLinearAdd(q, scale, zero, q, scale, zero, scale, zero); {DEQUANTISE}",
        QUANTISED,
    ),
    Case(
        "qlinear_concat",
        (1, 3, 5, 5),
        f"{QUANTISE}; z = com.microsoft.QLinearConcat<axis=1>(scale, zero, q, scale, zero, bytes, scale, zero); "
        f"{DEQUANTISE}",
        QUANTISED,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_batch_gives_what_single_runs_give(case: Case) -> None:
    model, x = build(case), three(case.shape)
    batched = freed(model, x)
    onnx.checker.check_model(batched)
    assert worst_difference(model, batched, x) < 1e-4


REFUSED = [  # each named after the operator that is refused
    Case(
        "Slice",
        (1, 4, 6),
        f"{TO_ROWS}; l = Reshape(r, long); y = Slice(l, a, b)",
        {**ROWS, "long": ints(24), "a": ints(1), "b": ints(5)},
    ),
    Case("ReduceSum", (1, 4), "y = ReduceSum(x)"),
    Case("ArgMax", (1, 4), "a = ArgMax<axis=0>(x); y = Cast<to=1>(a)"),
    Case("Softmax", (1, 4), "y = Softmax<axis=0>(x)"),
    Case("Concat", (1, 4), "y = Concat<axis=0>(x, x)"),
    Case("Expand", (1, 4), "y = Expand(x, t)", {"t": ints(2, 4)}),
    Case("Resize", (1, 4), 'y = Resize<mode="nearest">(x, , , t)', {"t": ints(2, 4)}),
    Case("Tile", (1, 4), "y = Tile(x, t)", {"t": ints(2, 1)}),
    Case("Conv", (1, 3, 4, 4), "a = Transpose<perm=[1, 0, 2, 3]>(x); y = Conv(a, w)", {"w": noise(2, 1, 3, 3)}),
    Case("Conv", (1, 3, 4, 4), "y = Conv(c, x)", {"c": noise(1, 3, 6, 6)}),
    Case("MatMul", (1, 4), "y = MatMul(w, x)", {"w": noise(2, 1)}),
    Case("Gemm", (1, 4), "y = Gemm<transA=1>(x, w)", {"w": noise(1, 3)}),
    Case("Einsum", (1, 4), 'y = Einsum<equation="bi->i">(x)'),
    Case("Add", (1, 1, 4), "a = Transpose<perm=[1, 0, 2]>(x); y = Add(a, x)"),
    Case("Gather", (1, 4), "i = Cast<to=7>(x); j = Mul(i, zero); y = Gather<axis=1>(x, j)", {"zero": ints(0)}),
    Case("Einsum", (1, 4), 'y = Einsum<equation="...i->...i">(x)'),
    Case("Reshape", (1, 4, 6), "a = Transpose<perm=[1, 0, 2]>(x); y = Reshape(a, t)", {"t": ints(3, 8)}),
    Case("Squeeze", (1, 1, 4), "a = Abs(one); y = Squeeze(x, a)", {"one": ints(1)}),
    Case("NonZero", (1, 4), "a = NonZero(x); y = Cast<to=1>(a)"),
    Case("Add", (1, 4), "y = Add(x, c)", {"c": noise(3, 4)}),
]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_what_cannot_be_rewritten_is_refused_by_name(case: Case) -> None:
    model = build(case)
    with pytest.raises(BatchError) as caught:
        freed(model, three(case.shape))
    culprit = next(node.name for node in reversed(model.graph.node) if node.op_type == case.name)
    assert f"{case.name} (node {culprit!r})" in str(caught.value)
    assert isinstance(caught.value, ModelError)


def test_subgraphs_that_read_the_batch_are_refused() -> None:
    branch = "branch () => (float[1, 4] b) { b = Relu(x) }"
    nodes = f"y = If<then_branch={branch}, else_branch={branch}>(yes)"
    with pytest.raises(BatchError, match="If_0"):
        freed(build(Case("if", (1, 4), nodes, {"yes": np.array(True)})), three((1, 4)))


def test_the_argument_stays_as_it_is() -> None:
    model = build(CASES[4])
    before = model.SerializeToString()
    freed(model, three(CASES[4].shape))
    assert model.SerializeToString() == before


def test_input_and_outputs_declare_a_free_batch_and_stale_shapes_go() -> None:
    model = build(Case("declared", (1, 4, 6), f"{TO_ROWS}; y = Relu(r)", ROWS))
    model.graph.output[0].type.CopyFrom(helper.make_tensor_type_proto(TensorProto.FLOAT, [1, 24]))
    model.graph.value_info.append(helper.make_tensor_value_info("r", TensorProto.FLOAT, [1, 24]))
    graph = freed(model, three((1, 4, 6))).graph
    ends = [[d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in (*graph.input, *graph.output)]
    assert ends == [["batch", 4, 6], ["batch", 24]]
    assert not graph.value_info


def test_a_baked_reshape_behind_a_symbolic_input_is_freed() -> None:
    model = build(Case("symbolic", (1, 4, 6), f"{TO_ROWS}; y = Relu(r)", ROWS))
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "N"
    x = three((1, 4, 6))
    with pytest.raises((Fail, RuntimeException)):
        session(model).run(None, {"x": x})
    assert worst_difference(model, freed(model, x), x) < 1e-4


def test_a_freed_model_can_be_freed_again() -> None:
    case = next(case for case in CASES if case.name == "concat_expanded_token")
    model, x = build(case), three(case.shape)
    again = freed(freed(model, x), x)
    onnx.checker.check_model(again)
    assert worst_difference(model, again, x) < 1e-4


def test_dynamic_quantisation_is_left_to_the_comparison() -> None:
    nodes = "q, s, z = DynamicQuantizeLinear(x); i = MatMulInteger(q, matrix, z); f = Cast<to=1>(i); y = Mul(f, s)"
    model, x = build(Case("dynamic", (1, 6), nodes, QUANTISED)), three((1, 6)) * np.float32([[1], [4], [9]])
    assert 1e-4 < worst_difference(model, freed(model, x), x) < 0.1


@pytest.mark.parametrize("shapes", [{"x": (2, 4), "y": (2, 4)}, {"x": ()}, {}], ids=["batch_2", "scalar", "missing"])
def test_shapes_that_are_not_those_of_one_sample_are_refused(shapes: dict[str, tuple[int, ...]]) -> None:
    with pytest.raises(BatchError, match="'x'"):
        free_batch(build(Case("relu", (1, 4), "y = Relu(x)")), "x", shapes)


TOLERANCES = {"fp16io": 2e-2, "dynquant": 0.1, "flowers": 1e-2}
"""Half precision has three digits, dynamic quantisation mixes the samples; all others differ by rounding."""
FILES = sorted(str(path.relative_to(DATA)) for path in DATA.glob("models/*/*.onnx")) or ["none"]


@pytest.mark.data
@pytest.mark.skipif(FILES == ["none"], reason="DDCAM_DATA names no folder with models")
@pytest.mark.parametrize("file", FILES)
def test_real_models(file: str) -> None:
    model = onnx.load(DATA / file)
    info = session(model).get_inputs()[0]
    shape = [3, *info.shape[1:]]
    random = np.random.default_rng(0)
    if info.type == "tensor(uint8)":
        x = random.integers(0, 256, shape).astype(np.uint8)
    else:
        x = random.standard_normal(shape).astype({"tensor(float16)": np.float16}.get(info.type, np.float32))
    allowed = next((t for part, t in TOLERANCES.items() if part in file), 1e-4)
    assert worst_difference(model, freed(model, x, info.name), x, info.name) < allowed
