"""A batch of three through the freed graph gives what three single runs of the fixed graph give."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from ddcam.engine.errors import ModelError
from ddcam.engine.graph.free_batch import BatchError, free_batch

Array = NDArray[Any]
Spec = tuple[str, str, str, dict[str, Any]]
DATA = Path(os.environ.get("DDCAM_DATA", "/nowhere"))
MICROSOFT = "com.microsoft"


def spec(op_type: str, inputs: str, output: str = "y", **attributes: Any) -> Spec:
    return op_type, inputs, output, attributes


def ints(*values: int) -> Array:
    return np.array(values, np.int64)


def noise(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


@dataclass(frozen=True)
class Case:
    """A small graph from `x` to `y` with a fixed batch of 1."""

    name: str
    shape: tuple[int, ...]
    nodes: Sequence[Spec]
    constants: Mapping[str, Array] = field(default_factory=dict)
    opset: int = 17


def build(case: Case) -> onnx.ModelProto:
    """Make the model of a case; up to opset 8 in the oldest form, with the weights among the inputs."""
    initializers = [numpy_helper.from_array(value, name) for name, value in case.constants.items()]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, case.shape)]
    if case.opset <= 8:
        inputs += [helper.make_tensor_value_info(i.name, i.data_type, i.dims) for i in initializers]
    nodes = [
        helper.make_node(op_type, [i.strip("_") for i in read.split()], made.split(), name=f"{op_type}_{n}", **more)
        for n, (op_type, read, made, more) in enumerate(case.nodes)
    ]
    graph = helper.make_graph(nodes, case.name, inputs, [onnx.ValueInfoProto(name="y")], initializers)
    opsets = [helper.make_opsetid("", case.opset), helper.make_opsetid(MICROSOFT, 1)]
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


TO_ROWS = spec("Reshape", "x rows", "r")
ROWS = {"rows": ints(1, 24)}
CLASS_TOKEN = {"token": noise(1, 1, 4)}
WINDOWS = {  # [1, 4, 4, 3] to four windows [4, 4, 3] and back, as in Swin
    "six": ints(1, 2, 2, 2, 2, 3),
    "windows": ints(4, 4, 3),
    "grouped": ints(1, 4, 4, 3),
    "whole": ints(1, 4, 4, 3),
}
INTO_WINDOWS = [
    spec("Reshape", "x six", "a"),
    spec("Transpose", "a", "b", perm=[0, 1, 3, 2, 4, 5]),
    spec("Reshape", "b windows", "w"),
]
OUT_OF_WINDOWS = [
    spec("Reshape", "v six", "c"),
    spec("Transpose", "c", "d", perm=[0, 1, 3, 2, 4, 5]),
    spec("Reshape", "d whole"),
]
HEADS = [  # tokens first, the batch on axis 1, heads joined to it: torch.nn.MultiheadAttention
    spec("Transpose", "x", "a", perm=[1, 0, 2]),
    spec("Reshape", "a joined", "b"),
    spec("Transpose", "b", "q", perm=[1, 0, 2]),
    spec("Transpose", "q", "k", perm=[0, 2, 1]),
    spec("MatMul", "q k", "s"),
    spec("Softmax", "s", "p", axis=-1),
    spec("MatMul", "p q", "o"),
    spec("Transpose", "o", "c", perm=[1, 0, 2]),
    spec("Reshape", "c flat", "d"),
    spec("Gemm", "d weight", "e"),
    spec("Reshape", "e back", "f"),
    spec("Transpose", "f", "y", perm=[1, 0, 2]),
]
QUANTISED = {
    "scale": np.float32(0.05),
    "zero": np.uint8(128),
    "kernel": np.random.default_rng(3).integers(0, 255, (4, 3, 3, 3)).astype(np.uint8),
    "matrix": np.random.default_rng(4).integers(0, 255, (6, 5)).astype(np.uint8),
    "bytes": np.random.default_rng(5).integers(0, 255, (1, 2, 5, 5)).astype(np.uint8),
}
QUANTISE = spec("QuantizeLinear", "x scale zero", "q")
DEQUANTISE = spec("DequantizeLinear", "z scale zero")

CASES = [
    Case("elementwise", (1, 4), [spec("Relu", "x", "a"), spec("Mul", "a x", "b"), spec("Clip", "b low", "y")], {"low": np.float32(-0.5)}),
    Case("broadcast", (1, 3, 4), [spec("Add", "x bias")], {"bias": noise(4)}),
    Case("where", (1, 4), [spec("Greater", "x zero", "m"), spec("Where", "m x zero")], {"zero": np.float32(0)}),
    Case("convolution", (1, 3, 6, 6), [spec("Conv", "x w", "a"), spec("MaxPool", "a", "b", kernel_shape=[2, 2]), spec("GlobalAveragePool", "b", "c"), spec("Flatten", "c", "y")], {"w": noise(2, 3, 3, 3)}),
    Case("oldest", (1, 3, 4), [TO_ROWS, spec("MatMul", "r w", "m"), spec("Softmax", "m", "y", axis=1)], {"rows": ints(1, 12), "w": noise(12, 5)}, opset=7),
    Case("normalised", (1, 4, 6), [spec("LayerNormalization", "x gain", "a"), spec("InstanceNormalization", "a one one", "y")], {"gain": noise(6), "one": noise(4)}),
    Case("reshape", (1, 4, 6), [TO_ROWS, spec("Gemm", "r w")], {**ROWS, "w": noise(24, 5)}),
    Case("reshape_minus_one", (1, 4, 6), [spec("Reshape", "x rows")], {"rows": ints(1, -1)}),
    Case("reshape_zero", (1, 4, 6), [spec("Reshape", "x rows")], {"rows": ints(0, 24)}),
    Case("reshape_computed", (1, 4, 6), [spec("Shape", "x", "s"), spec("Gather", "s zero", "n"), spec("Concat", "n rest", "t", axis=0), spec("Reshape", "x t")], {"zero": ints(0), "rest": ints(2, 12)}),
    Case("reshape_past_ones", (1, 1, 1, 6), [spec("Transpose", "x", "a", perm=[1, 0, 2, 3]), spec("Reshape", "a t", "b"), spec("Transpose", "b", "y", perm=[1, 0, 2, 3])], {"t": ints(1, 1, 2, 3)}),
    Case("flatten", (1, 4, 2, 3), [spec("Flatten", "x", "y", axis=1)]),
    Case("transpose", (1, 4, 6), [spec("Transpose", "x", "a"), spec("Relu", "a", "b"), spec("Transpose", "b", "y")]),
    Case("windows", (1, 4, 4, 3), [*INTO_WINDOWS, spec("Relu", "w", "v"), *OUT_OF_WINDOWS], WINDOWS),
    Case("windows_with_mask", (1, 4, 4, 3), [*INTO_WINDOWS, spec("Add", "w mask", "v"), *OUT_OF_WINDOWS], {**WINDOWS, "mask": noise(4, 4, 3)}),
    Case("windows_times_matrices", (1, 4, 4, 3), [*INTO_WINDOWS, spec("MatMul", "w m", "v"), *OUT_OF_WINDOWS], {**WINDOWS, "m": noise(4, 3, 3)}),
    Case("windows_mask_apart", (1, 4, 4, 3), [*INTO_WINDOWS, spec("Unsqueeze", "w zero", "u"), spec("Reshape", "u grouped", "g"), spec("Add", "g mask", "h"), spec("Reshape", "h windows", "v"), *OUT_OF_WINDOWS], {**WINDOWS, "mask": noise(4, 4, 3), "zero": ints(0)}),
    Case("joined_heads", (1, 5, 8), HEADS, {"joined": ints(5, 2, 4), "flat": ints(5, 8), "weight": noise(8, 8), "back": ints(5, 1, 8)}),
    Case("squeeze_axes", (1, 4, 1, 1), [spec("Squeeze", "x axes")], {"axes": ints(2, 3)}),
    Case("squeeze_attribute", (1, 4, 1, 1), [spec("Squeeze", "x", "y", axes=[-1, -2])], opset=11),
    Case("squeeze_everything", (1, 4, 1, 1), [spec("Squeeze", "x", "a"), spec("Unsqueeze", "a zero")], {"zero": ints(0)}),
    Case("unsqueeze_axes", (1, 4), [spec("Unsqueeze", "x axes", "a"), spec("Transpose", "a", "y", perm=[1, 0, 2])], {"axes": ints(0)}),
    Case("unsqueeze_attribute", (1, 4), [spec("Unsqueeze", "x", "y", axes=[1, 3])], opset=12),
    Case("concat_class_token", (1, 3, 4), [spec("Concat", "token x", "y", axis=1)], CLASS_TOKEN),
    Case("concat_class_token_opset_7", (1, 3, 4), [spec("Concat", "token x", "y", axis=1)], CLASS_TOKEN, opset=7),
    Case("concat_expanded_token", (1, 3, 4), [spec("Shape", "x", "s", start=0, end=1), spec("Concat", "s rest", "t", axis=0), spec("Expand", "token t", "e"), spec("Concat", "e x", "y", axis=1)], {**CLASS_TOKEN, "rest": ints(-1, -1)}),
    Case("concat_zeros_like", (1, 3, 4), [spec("Shape", "x", "s"), spec("ConstantOfShape", "s", "z"), spec("Concat", "z x", "y", axis=2)]),
    Case("expand", (1, 1, 4), [spec("Expand", "x t")], {"t": ints(1, 3, 4)}),
    Case("expand_from_lower_rank", (1, 4), [spec("Expand", "x t", "a"), spec("ReduceMax", "a", "y", axes=[0], keepdims=0)], {"t": ints(2, 1, 4)}),
    Case("tile", (1, 4), [spec("Tile", "x t")], {"t": ints(1, 3)}),
    Case("pad", (1, 4), [spec("Pad", "x p")], {"p": ints(0, 1, 0, 2)}),
    Case("resize_sizes", (1, 2, 3, 3), [spec("Resize", "x _ _ t", mode="nearest")], {"t": ints(1, 2, 7, 5)}),
    Case("resize_sizes_opset_11", (1, 2, 3, 3), [spec("Resize", "x none none t", "y", mode="linear")], {"none": np.zeros(0, np.float32), "t": ints(1, 2, 7, 5)}, opset=11),
    Case("resize_axes", (1, 2, 3, 3), [spec("Resize", "x _ _ t", axes=[2, 3])], {"t": ints(7, 5)}, opset=18),
    Case("resize_scales", (1, 2, 3, 3), [spec("Resize", "x s")], {"s": np.array([1, 1, 2, 2], np.float32)}, opset=10),
    Case("upsample", (1, 2, 3, 3), [spec("Upsample", "x s", "y", mode="nearest")], {"s": np.array([1, 1, 2, 2], np.float32)}, opset=9),
    Case("slice_other_axis", (1, 5, 4), [spec("Slice", "x a b c")], {"a": ints(1), "b": ints(3), "c": ints(1)}),
    Case("slice_with_batch", (1, 5, 4), [spec("Slice", "x a b c d")], {"a": ints(0, 1), "b": ints(1, 4), "c": ints(0, 1), "d": ints(1, 2)}),
    Case("slice_with_batch_int32", (1, 5), [spec("Slice", "x a b")], {"a": np.int32([0, 1]), "b": np.int32([1, 4])}),
    Case("slice_only_batch", (1, 5), [spec("Slice", "x a b c")], {"a": ints(0), "b": ints(1), "c": ints(0)}),
    Case("slice_computed_end", (1, 5, 4), [spec("Shape", "x", "s"), spec("Slice", "x a s")], {"a": ints(0, 1, 2)}),
    Case("slice_attributes", (1, 5), [spec("Slice", "x", "y", starts=[0, 1], ends=[1, 4], axes=[0, 1])], opset=9),
    Case("split", (1, 6), [spec("Split", "x", "a b", axis=1), spec("Sub", "a b")], opset=12),
    Case("gather", (1, 5, 4), [spec("Gather", "x zero", "y", axis=1)], {"zero": np.int64(0)}),
    Case("gather_table", (1, 5, 4), [spec("Transpose", "x", "a", perm=[1, 0, 2]), spec("Gather", "a table", "b", axis=0), spec("Transpose", "b", "y", perm=[2, 0, 1, 3])], {"table": ints(4, 0, 2, 1).reshape(2, 2)}),
    Case("gather_strided", (1, 3, 4), [spec("Reshape", "x all", "f"), spec("Gather", "f table", "y", axis=0)], {"all": ints(-1), "table": np.arange(12).reshape(1, 4, 3)}),
    Case("gather_elements", (1, 5), [spec("GatherElements", "x i", "y", axis=1)], {"i": ints(4, 0).reshape(1, 2)}),
    Case("embedding", (1, 3), [spec("Cast", "x", "a", to=TensorProto.INT64), spec("Mul", "a zero", "i"), spec("Gather", "table i")], {"zero": ints(0), "table": noise(4, 5)}),
    Case("reduce_attribute", (1, 4, 3), [spec("ReduceMean", "x", "y", axes=[-1, 1], keepdims=0)]),
    Case("reduce_input", (1, 4, 3), [spec("ReduceMean", "x axes", "y", keepdims=0)], {"axes": ints(1, 2)}, opset=18),
    Case("reduce_before_batch", (1, 4, 3), [spec("Transpose", "x", "a", perm=[1, 0, 2]), spec("ReduceSum", "a axes", "y", keepdims=0)], {"axes": ints(0)}),
    Case("reduce_nothing", (1, 4), [spec("ReduceSum", "x", "y", noop_with_empty_axes=1)]),
    Case("arg_max", (1, 4, 3), [spec("ArgMax", "x", "a", axis=1, keepdims=0), spec("Cast", "a", "y", to=TensorProto.FLOAT)]),
    Case("top_k", (1, 6), [spec("TopK", "x k", "y i")], {"k": ints(2)}),
    Case("softmax_flattening", (1, 2, 3), [spec("Softmax", "x")], opset=11),
    Case("matmul_rows", (1, 6), [spec("MatMul", "x w")], {"w": noise(6, 5)}),
    Case("matmul_columns", (1, 6), [spec("Transpose", "x", "a"), spec("MatMul", "w a", "b"), spec("Transpose", "b", "y")], {"w": noise(5, 6)}),
    Case("matmul_mixer", (1, 6, 3), [spec("MatMul", "w x")], {"w": noise(5, 6)}),
    Case("matmul_vector", (1, 2, 6), [spec("MatMul", "x w")], {"w": noise(6)}),
    Case("matmul_vector_left", (1, 6, 3), [spec("MatMul", "w x")], {"w": noise(6)}),
    Case("gemm_transposed", (1, 6), [spec("Transpose", "x", "a"), spec("Gemm", "a w c", "y", transA=1, transB=1)], {"w": noise(5, 6), "c": noise(1, 5)}),
    Case("gemm_columns", (1, 6), [spec("Gemm", "w x c", "a", transB=1), spec("Transpose", "a", "y")], {"w": noise(5, 6), "c": noise(5, 1)}),
    Case("einsum", (1, 2, 4), [spec("Einsum", "x x", "s", equation="bid, bjd -> ijb"), spec("Einsum", "s w", "y", equation="ijb,jk->bik")], {"w": noise(2, 3)}),
    Case("attention", (1, 5, 8), [spec("Attention", "x x x", "y", q_num_heads=2, kv_num_heads=2)], opset=23),
    Case("newest", (1, 4, 6), [TO_ROWS, spec("Swish", "r")], ROWS, opset=24),
    Case("qlinear_conv", (1, 3, 6, 6), [QUANTISE, spec("QLinearConv", "q scale zero kernel scale zero scale zero", "z"), DEQUANTISE], QUANTISED),
    Case("qlinear_matmul", (1, 6), [QUANTISE, spec("QLinearMatMul", "q scale zero matrix scale zero scale zero", "z"), DEQUANTISE], QUANTISED),
    Case("integer_conv", (1, 3, 6, 6), [QUANTISE, spec("ConvInteger", "q kernel zero zero", "i"), spec("Cast", "i", "y", to=TensorProto.FLOAT)], QUANTISED),
    Case("integer_matmul", (1, 6), [QUANTISE, spec("MatMulInteger", "q matrix zero zero", "i"), spec("Cast", "i", "y", to=TensorProto.FLOAT)], QUANTISED),
    Case("qlinear_add", (1, 6), [QUANTISE, spec("QLinearAdd", "q scale zero q scale zero scale zero", "z", domain=MICROSOFT), DEQUANTISE], QUANTISED),
    Case("qlinear_concat", (1, 3, 5, 5), [QUANTISE, spec("QLinearConcat", "scale zero q scale zero bytes scale zero", "z", axis=1, domain=MICROSOFT), DEQUANTISE], QUANTISED),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_batch_gives_what_single_runs_give(case: Case) -> None:
    model, x = build(case), three(case.shape)
    batched = freed(model, x)
    onnx.checker.check_model(batched)
    assert worst_difference(model, batched, x) < 1e-4


REFUSED = [
    Case("slice", (1, 4, 6), [TO_ROWS, spec("Reshape", "r long", "l"), spec("Slice", "l a b")], {**ROWS, "long": ints(24), "a": ints(1), "b": ints(5)}),
    Case("reduce", (1, 4), [spec("ReduceSum", "x")]),
    Case("argmax", (1, 4), [spec("ArgMax", "x", "y", axis=0)]),
    Case("softmax", (1, 4), [spec("Softmax", "x", "y", axis=0)]),
    Case("concat", (1, 4), [spec("Concat", "x x", "y", axis=0)]),
    Case("expand", (1, 4), [spec("Expand", "x t")], {"t": ints(2, 4)}),
    Case("resize", (1, 4), [spec("Resize", "x _ _ t", mode="nearest")], {"t": ints(2, 4)}),
    Case("tile", (1, 4), [spec("Tile", "x t")], {"t": ints(2, 1)}),
    Case("conv", (1, 3, 4, 4), [spec("Transpose", "x", "a", perm=[1, 0, 2, 3]), spec("Conv", "a w")], {"w": noise(2, 1, 3, 3)}),
    Case("dynamic_weight", (1, 3, 4, 4), [spec("Conv", "c x")], {"c": noise(1, 3, 6, 6)}),
    Case("matmul", (1, 4), [spec("MatMul", "w x")], {"w": noise(2, 1)}),
    Case("gemm", (1, 4), [spec("Gemm", "x w", "y", transA=1)], {"w": noise(1, 3)}),
    Case("einsum", (1, 4), [spec("Einsum", "x", "y", equation="bi->i")]),
    Case("two_axes", (1, 1, 4), [spec("Transpose", "x", "a", perm=[1, 0, 2]), spec("Add", "a x")]),
    Case("gather", (1, 4), [spec("Cast", "x", "i", to=TensorProto.INT64), spec("Mul", "i zero", "j"), spec("Gather", "x j", "y", axis=1)], {"zero": ints(0)}),
    Case("no_rule", (1, 4), [spec("NonZero", "x")]),
    Case("constant_longer_than_a_sample", (1, 4), [spec("Add", "x c")], {"c": noise(3, 4)}),
]  # fmt: skip


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_what_cannot_be_rewritten_is_refused_by_name(case: Case) -> None:
    model = build(case)
    with pytest.raises(BatchError) as caught:
        freed(model, three(case.shape))
    assert repr(model.graph.node[-1].name) in str(caught.value)
    assert isinstance(caught.value, ModelError)


def test_subgraphs_that_read_the_batch_are_refused() -> None:
    branch = helper.make_graph([helper.make_node("Relu", ["x"], ["b"])], "branch", [], [onnx.ValueInfoProto(name="b")])
    branch.output[0].type.CopyFrom(helper.make_tensor_type_proto(TensorProto.FLOAT, [1, 4]))
    model = build(Case("if", (1, 4), [spec("If", "yes", "y", then_branch=branch, else_branch=branch)], {"yes": np.array(True)}))
    with pytest.raises(BatchError, match="If_0"):
        freed(model, three((1, 4)))


def test_the_argument_stays_as_it_is() -> None:
    model = build(CASES[4])
    before = model.SerializeToString()
    freed(model, three(CASES[4].shape))
    assert model.SerializeToString() == before


def test_input_and_outputs_declare_a_free_batch_and_stale_shapes_go() -> None:
    model = build(Case("declared", (1, 4, 6), [TO_ROWS, spec("Relu", "r")], ROWS))
    model.graph.output[0].type.CopyFrom(helper.make_tensor_type_proto(TensorProto.FLOAT, [1, 24]))
    model.graph.value_info.append(helper.make_tensor_value_info("r", TensorProto.FLOAT, [1, 24]))
    graph = freed(model, three((1, 4, 6))).graph
    ends = [[d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in (*graph.input, *graph.output)]
    assert ends == [["batch", 4, 6], ["batch", 24]]
    assert not graph.value_info


def test_a_baked_reshape_behind_a_symbolic_input_is_freed() -> None:
    model = build(Case("symbolic", (1, 4, 6), [TO_ROWS, spec("Relu", "r")], ROWS))
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "N"
    x = three((1, 4, 6))
    with pytest.raises(onnxruntime.capi.onnxruntime_pybind11_state.RuntimeException):
        session(model).run(None, {"x": x})
    assert worst_difference(model, freed(model, x), x) < 1e-4


def test_a_freed_model_can_be_freed_again() -> None:
    case = next(case for case in CASES if case.name == "concat_expanded_token")
    model, x = build(case), three(case.shape)
    again = freed(freed(model, x), x)
    onnx.checker.check_model(again)
    assert worst_difference(model, again, x) < 1e-4


def test_dynamic_quantisation_is_left_to_the_comparison() -> None:
    nodes = [
        spec("DynamicQuantizeLinear", "x", "q s z"),
        spec("MatMulInteger", "q matrix z zero", "i"),
        spec("Cast", "i", "f", to=TensorProto.FLOAT),
        spec("Mul", "f s"),
    ]
    model, x = build(Case("dynamic", (1, 6), nodes, QUANTISED)), three((1, 6)) * np.float32([[1], [4], [9]])
    assert 1e-4 < worst_difference(model, freed(model, x), x) < 0.1


@pytest.mark.parametrize("shapes", [{"x": (2, 4), "y": (2, 4)}, {"x": ()}, {}], ids=["batch_2", "scalar", "missing"])
def test_shapes_that_are_not_those_of_one_sample_are_refused(shapes: dict[str, tuple[int, ...]]) -> None:
    with pytest.raises(BatchError, match="'x'"):
        free_batch(build(Case("relu", (1, 4), [spec("Relu", "x")])), "x", shapes)


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
