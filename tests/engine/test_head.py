"""Many masks go through a head at once only where that is proved to change nothing."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from ddcam.engine.graph.cut import FEATURES, LOGITS, MASK
from ddcam.engine.graph.quantization import Quantization
from ddcam.engine.head import batch_problem, bind_head, bytes_per_mask, logits_of, random_masks
from ddcam.engine.probes import additivity_error
from ddcam.engine.runtime.session import Session
from ddcam.engine.types import Logits, Split

SPLIT = Split("f", "float32", (1, 4), "channel", 4, 1, (1, 1), (), "")
ROW = np.float32([[1, -2, 3, 4]])


def opened(text: str) -> Session:
    """Open a masked head of four units in the notation of onnx.parser, from `a` (masked features) to `ddcam_logits`."""
    graph = onnx.parser.parse_graph(
        f"g (float[1,4] {FEATURES}, float[N,4] {MASK}) => (float[N,4] {LOGITS}) "
        f"{{ a = Mul({FEATURES}, {MASK}) {text} }}"
    )
    opsets = [helper.make_opsetid("", 17)]
    return Session(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString(), threads=1)


def test_batch_that_changes_nothing_is_no_problem():
    assert batch_problem(opened(f"{LOGITS} = Relu(a)"), SPLIT, ROW) is None


@pytest.mark.parametrize(
    "text",
    [
        f"m = ReduceMean <axes = [0], keepdims = 1> (a) {LOGITS} = Sub(a, m)",
        f"q, s, z = DynamicQuantizeLinear(a) {LOGITS} = DequantizeLinear(q, s, z)",
        f"{LOGITS} = ReduceMean <axes = [0], keepdims = 1> (a)",
    ],
)
def test_masks_that_influence_each_other_are_noticed(text):
    assert batch_problem(opened(text), SPLIT, ROW) == "masks in one batch influence each other"


def test_head_that_fails_on_a_batch_is_noticed():
    baked = f"s = Constant <value_ints = [1, 4]> () b = Reshape(a, s) {LOGITS} = Relu(b)"

    assert "ONNX Runtime failed in the head" in batch_problem(opened(baked), SPLIT, ROW)


def test_sums_tell_an_additive_head():
    def error(text: str) -> float:
        return additivity_error(bind_head(opened(text), ROW, 4), 4)

    assert error(f"{LOGITS} = Neg(a)") < 1e-6
    assert error(f"m = ReduceMean <axes = [1], keepdims = 1> (a) {LOGITS} = Add(a, m)") < 1e-6
    assert error(f"{LOGITS} = Exp(a)") < 1e-6, "each logit depends on one unit alone"
    assert error(f"m = ReduceMax <axes = [1], keepdims = 1> (a) {LOGITS} = Add(a, m)") > 1e-2


def test_masks_are_random_but_the_same_each_time():
    masks = random_masks(50, 20)

    assert (masks.shape, masks.dtype, set(masks.ravel())) == ((20, 50), np.float32, {0, 1})
    np.testing.assert_array_equal(masks, random_masks(50, 20))
    assert (masks != random_masks(50, 20, seed=1)).any()
    assert 0.4 < masks.mean() < 0.6


@pytest.mark.parametrize("name", ["plain", "vit_mean", "mixer", "convnext"])
def test_fixed_batch_is_freed(zoo, load_here, name):
    free, fixed = (load_here(zoo.build(name, batch=batch)[0]) for batch in ("N", 1))

    assert free.probe.reason == "the file's batch is free"
    assert fixed.probe.reason == "the file fixes the batch to 1; it was freed and compared with single runs"
    assert free.probe.batchable
    assert fixed.probe.batchable
    assert fixed.batch == free.batch > 1


def with_conditional(zoo, batch: str | int) -> onnx.ModelProto:
    """Make a model whose head holds a subgraph, which is not rewritten for a free batch."""
    draft = zoo.Draft(batch=batch)
    x = draft.add("Relu", draft.conv(draft.picture(), 3, 8, 5, strides=[4, 4]), "features")
    inner = [helper.make_tensor_value_info("inner", TensorProto.FLOAT, None)]
    branch = helper.make_graph([helper.make_node("Abs", [x], ["inner"])], "b", [], inner)
    x = draft.add("If", draft.constant(np.array(True)), then_branch=branch, else_branch=branch)
    draft.dense(draft.add("Flatten", draft.add("GlobalAveragePool", x)), 8, 5, "logits")
    return draft.model("logits")


def test_fixed_batch_that_cannot_be_freed_leaves_single_masks(zoo, load_here):
    model = load_here(with_conditional(zoo, 1), split="features")

    assert (model.probe.batchable, model.batch) == (False, 1)
    assert model.probe.reason.startswith("the batch is fixed and cannot be freed: cannot free the batch at If")
    assert load_here(with_conditional(zoo, "N"), split="features").probe.batchable


def test_batch_that_is_free_in_name_only_is_freed(zoo, load_here):
    draft = zoo.Draft(batch=1)
    zoo.FAMILIES["vit_mean"].draw(draft)
    proto = draft.model("logits")
    for info in (proto.graph.input[0], proto.graph.output[0]):
        info.type.tensor_type.shape.dim[0].dim_param = "N"

    model = load_here(proto)

    assert model.opened.picture.free_batch
    assert model.opened.measured.batch_two is None
    assert model.probe.batchable
    assert "it was freed" in model.probe.reason


def pooled_features(draft) -> str:
    x = draft.add("Relu", draft.conv(draft.picture(), 3, 8, 5, strides=[4, 4]), "features")
    return draft.add("Flatten", draft.add("GlobalAveragePool", x))


def less_the_batch_mean(draft, x: str) -> str:
    """Add batch statistics, as a model exported in training mode has."""
    shared = draft.reduce("ReduceMean", x, [0])
    return draft.add("Sub", [x, draft.add("Mul", [shared, draft.constant(0.5)])])


def test_head_that_mixes_the_batch_takes_single_masks(zoo, load_here):
    """The units have met in a layer before, so a probe cannot begin behind the statistics."""
    draft = zoo.Draft()
    hidden = draft.dense(pooled_features(draft), 8, 8)
    draft.dense(less_the_batch_mean(draft, hidden), 8, 5, "logits")

    model = load_here(draft.model("logits"))

    assert (model.probe.batchable, model.batch, model.probe.reason) == (
        False,
        1,
        "masks in one batch influence each other",
    )


def test_batch_statistics_before_units_meet_are_those_of_the_picture_alone(zoo, load_here):
    """Each unit is still apart behind them: they are computed once, from one picture, and masks may be many."""
    draft = zoo.Draft()
    draft.dense(less_the_batch_mean(draft, pooled_features(draft)), 8, 5, "logits")
    model = load_here(draft.model("logits"))
    features, masks = model.features(zoo.pictures(1)), random_masks(8, 20)

    assert (model.probe.kind, model.probe.batchable) == ("apart", True)
    np.testing.assert_allclose(
        model.bind(features).score(masks), model.bind_alone(features).score(masks), rtol=1e-5, atol=1e-6
    )


def test_memory_of_a_mask_is_that_of_the_tensors_behind_the_split(zoo, load_here):
    model = load_here(zoo.build("plain", ending="none")[0])

    assert bytes_per_mask(model.opened, model.split.tensor) == 4 * (8 * 16 + 8 + 8 + 5)


def test_logits_of_the_original_are_made_real():
    value = np.array([[[[3, 4, 9]]]], np.uint8)
    logits, probabilities = (Logits("t", "t", 3, "none", "", holds) for holds in ("logits", "probabilities"))

    assert logits_of(value, logits, Quantization(0.5, 3, "uint8")).tolist() == [0, 0.5, 3]
    assert logits_of(np.float16([[1, 2]]), logits, None).dtype == np.float32
    np.testing.assert_allclose(
        logits_of(np.float32([[0.25, 0.75]]), probabilities, None), np.log([0.25, 0.75]), rtol=1e-6
    )
