"""A product right behind the units is one vector a unit, or a few columns: the answers are the whole head's."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest

from ddcam.engine.graph import fold
from ddcam.engine.graph.fold import INDEX, PRODUCTS, REST, ROWS, find_product, maps_averaged
from ddcam.engine.head import random_masks
from ddcam.engine.model import Model
from ddcam.engine.runtime.binding import indices

UNITS, HIDDEN, CLASSES = 8, 12, 5
Draw = Callable[[Any], None]


def maps(draft: Any, units: int = UNITS, last: str = "Relu") -> str:
    return draft.add(last, draft.conv(draft.picture(), 3, units, 5, strides=[4, 4]), "features")


def finish(draft: Any, hidden: str) -> None:
    draft.dense(draft.add("Relu", hidden), HIDDEN, CLASSES, "logits")


def gemm(trans: int = 1, bias: tuple[int, ...] | None = (HIDDEN,), **attributes: Any) -> Draw:
    """Flatten, then Gemm with weights in either order and a bias of any shape that it may have."""

    def draw(draft: Any) -> None:
        flat = draft.add("Flatten", maps(draft))
        shape = (HIDDEN, 16 * UNITS) if trans else (16 * UNITS, HIDDEN)
        more = [] if bias is None else [draft.weight(*bias, fan=2)]
        finish(draft, draft.add("Gemm", [flat, draft.weight(*shape, fan=64), *more], transB=trans, **attributes))

    return draw


def matmul(draft: Any) -> None:
    flat = draft.reshape(maps(draft), [16 * UNITS])
    finish(draft, draft.project(flat, 16 * UNITS, HIDDEN))


def matmul_in_nhwc(draft: Any) -> None:
    """Keras flattens `[N, h, w, C]`: the units are the fastest axis of a row."""
    turned = draft.add("Transpose", maps(draft), perm=[0, 2, 3, 1])
    finish(draft, draft.project(draft.reshape(turned, [16 * UNITS]), 16 * UNITS, HIDDEN))


def through_a_pool(draft: Any) -> None:
    pooled = draft.add("MaxPool", maps(draft), kernel_shape=[2, 2], strides=[2, 2])
    finish(draft, draft.dense(draft.add("Dropout", draft.add("Flatten", pooled)), 4 * UNITS, HIDDEN))


def through_a_sigmoid(draft: Any) -> None:
    """A removed unit is a map of halves where the product begins."""
    flat = draft.add("Flatten", draft.add("Sigmoid", maps(draft, last="Tanh")))
    finish(draft, draft.dense(flat, 16 * UNITS, HIDDEN))


def through_a_norm(draft: Any) -> None:
    """A removed unit is another constant for each channel."""
    flat = draft.add("Flatten", draft.batch_norm(maps(draft), UNITS))
    finish(draft, draft.dense(flat, 16 * UNITS, HIDDEN))


def reshaped_twice(draft: Any) -> None:
    rows = draft.reshape(draft.reshape(maps(draft), [UNITS, 16]), [16 * UNITS])
    finish(draft, draft.dense(rows, 16 * UNITS, HIDDEN))


def straight_to_the_logits(draft: Any) -> None:
    """One layer alone: the head is additive and is folded all the same."""
    draft.dense(draft.add("Flatten", maps(draft)), 16 * UNITS, CLASSES, "logits")


FOLDED: dict[str, Draw] = {
    "transB 1": gemm(),
    "transB 0": gemm(0),
    "no bias": gemm(bias=None),
    "one bias for all": gemm(bias=(1,)),
    "bias as a row": gemm(bias=(1, HIDDEN)),
    "MatMul": matmul,
    "NHWC": matmul_in_nhwc,
    "MaxPool": through_a_pool,
    "Sigmoid": through_a_sigmoid,
    "BatchNormalization": through_a_norm,
    "reshaped twice": reshaped_twice,
    "one layer": straight_to_the_logits,
}


def read_twice(draft: Any) -> None:
    flat = draft.add("Flatten", maps(draft))
    both = [draft.dense(flat, 16 * UNITS, HIDDEN), draft.dense(flat, 16 * UNITS, HIDDEN)]
    finish(draft, draft.add("Mul", both))


def turned_after_the_split(draft: Any) -> None:
    """A Transpose of the flattened rows: their order is no longer that of the units."""
    rows = draft.add("Transpose", draft.reshape(maps(draft), [UNITS, 16]), perm=[0, 2, 1])
    flat = draft.add("Relu", draft.reshape(rows, [16 * UNITS]))
    finish(draft, draft.dense(flat, 16 * UNITS, HIDDEN))


def weights_made_in_the_graph(draft: Any) -> None:
    flat = draft.add("Flatten", maps(draft))
    weight = draft.add("Neg", draft.weight(HIDDEN, 16 * UNITS, fan=64))
    finish(draft, draft.add("Gemm", [flat, weight], transB=1))


UNFOLDED: dict[str, Draw] = {
    "alpha 2": gemm(alpha=2.0),
    "beta 2": gemm(beta=2.0),
    "read twice": read_twice,
    "weights made in the graph": weights_made_in_the_graph,
}


@pytest.fixture
def drawn(zoo: Any, load_here: Any) -> Callable[..., Model]:
    def load(draw: Draw, opset: int = 17, *, wishes: dict[str, Any] | None = None, **options: Any) -> Model:
        draft = zoo.Draft(opset, **options)
        draw(draft)
        return load_here(draft.model("logits"), **{"split": "features"} | (wishes or {}))

    return load


def require_equal(zoo: Any, model: Model, masks: np.ndarray | None = None) -> None:
    count = model.split.count
    if masks is None:
        masks = np.concatenate([random_masks(count, 20, seed=5), np.eye(2, count), np.ones((1, count))])
        masks = np.concatenate([masks, np.zeros((1, count))]).astype(np.float32)
    for seed in (0, 7):
        features = model.features(zoo.pictures(1, model.opened.picture.layout, seed=seed))
        expected = model.bind_alone(features).score(masks)

        np.testing.assert_allclose(model.bind(features).score(masks), expected, rtol=2e-5, atol=2e-5)
        assert np.ptp(expected, axis=0).max() > 1e-2, "the masks change nothing: the test is blind"


@pytest.mark.parametrize("batch", ["N", 1])
@pytest.mark.parametrize("name", FOLDED)
def test_a_folded_product_gives_what_the_whole_head_gives(zoo: Any, drawn: Any, name: str, batch: str | int) -> None:
    model = drawn(FOLDED[name], batch=batch)

    assert (model.probe.kind, model.probe.batchable, model.batch) == ("folded", True, 64)
    require_equal(zoo, model)


@pytest.mark.parametrize("opset", [7, 8, 9, 11, 13, 18, 21, 26])
@pytest.mark.parametrize("name", ["transB 0", "MatMul", "MaxPool", "Sigmoid"])
def test_every_operator_set_is_folded(zoo: Any, drawn: Any, name: str, opset: int) -> None:
    """The folded graph only adds, so it needs no operator that selects, even where a removed unit is not 0."""
    model = drawn(FOLDED[name], opset, batch=["N", 1][opset % 2])

    assert model.probe.kind == "folded"
    require_equal(zoo, model)


@pytest.mark.parametrize("name", UNFOLDED)
def test_other_products_are_left_as_they_are(zoo: Any, drawn: Any, name: str) -> None:
    model = drawn(UNFOLDED[name])

    assert model.probe.kind != "folded"
    require_equal(zoo, model)


@pytest.mark.parametrize("name", ["alpha 2", "beta 2", "weights made in the graph", "read twice"])
def test_the_graph_alone_shows_that_it_cannot_be_folded(drawn: Any, name: str) -> None:
    model = drawn(UNFOLDED[name])

    assert find_product(model.opened.graph.proto.graph, model.split, model.opened.measured) is None


def test_a_product_is_found_with_its_weights_by_unit(drawn: Any) -> None:
    model = drawn(gemm(alpha=1.0, beta=1.0))
    found = find_product(model.opened.graph.proto.graph, model.split, model.opened.measured)

    assert (found.weights.shape, found.bias.shape) == ((UNITS, 16, HIDDEN), (HIDDEN,))
    assert found.weights.flags.c_contiguous


def test_units_in_another_order_are_answered_rightly(zoo: Any, drawn: Any) -> None:
    require_equal(zoo, drawn(turned_after_the_split))


@pytest.mark.parametrize("options", [{"dtype": "float16"}, {"wishes": {"units": "cell"}}])
def test_half_precision_and_cells_are_not_folded(drawn: Any, options: dict[str, Any]) -> None:
    assert drawn(gemm(), **options).probe.kind != "folded"


@pytest.mark.parametrize("name", ["transB 1", "NHWC", "Sigmoid", "MaxPool"])
def test_each_units_vector_is_its_block_of_the_weights_times_its_values(zoo: Any, drawn: Any, name: str) -> None:
    """U[i] is what the hidden layer changes by when unit i is kept instead of removed, computed here by hand."""
    model = drawn(FOLDED[name])
    [product] = [n for n in model.opened.graph.proto.graph.node if n.op_type in ("Gemm", "MatMul")][:1]
    proto = onnx.ModelProto()
    proto.CopyFrom(model.opened.graph.proto)
    at = list(proto.graph.node).index(product)
    del proto.graph.node[at + 1 :]
    proto.graph.output[0].CopyFrom(onnx.ValueInfoProto(name=product.output[0]))
    made = next(i for i, n in enumerate(proto.graph.node) if n.output[0] == "features")
    del proto.graph.node[: made + 1]
    shape = [1, UNITS, 4, 4]
    proto.graph.input[0].CopyFrom(onnx.helper.make_tensor_value_info("features", 1, shape))
    features = model.features(zoo.pictures(1))

    def hidden(kept: np.ndarray) -> np.ndarray:
        return zoo.run(proto, {"features": features * kept.reshape(1, -1, 1, 1).astype(np.float32)})[0][0]

    nothing = hidden(np.zeros(UNITS))
    prepared = model.probe.prepare(features)
    expected = np.stack([hidden(np.eye(UNITS)[i]) - nothing for i in range(UNITS)])

    np.testing.assert_allclose(prepared[PRODUCTS], expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(prepared[REST], nothing, rtol=1e-4, atol=1e-5)


def test_a_folded_probe_holds_one_vector_a_unit_and_no_map(zoo: Any, drawn: Any) -> None:
    """Neither the features nor the weights of the product travel to the graph that answers probes."""
    model = drawn(gemm())
    prepared = model.probe.prepare(model.features(zoo.pictures(1)))
    held = model.probe.bind(model.features(zoo.pictures(1)), 4).dense.uploaded

    assert {name: value.shape for name, value in prepared.items()} == {PRODUCTS: (UNITS, HIDDEN), REST: (HIDDEN,)}
    assert held.keys() == {PRODUCTS, REST}
    assert model.probe.size.multiplications < 16 * UNITS * HIDDEN
    assert model.probe.size.bytes < 4 * (16 * UNITS + HIDDEN)


# ----- columns of a 1x1 convolution -----

MANY = 32


def squeeze(between: tuple[str, ...] = (), size: int = 1, pooled: int = 0, **attributes: Any) -> Draw:
    """Draw as SqueezeNet ends: a 1x1 convolution to the classes, ReLU, mean; windows of `pooled` are averaged first."""

    def draw(draft: Any) -> None:
        x = maps(draft, MANY)
        for kind in between:
            x = draft.add(kind, x)
        x = draft.add("Relu", draft.conv(x, MANY, CLASSES, size, **attributes))
        if pooled:
            x = draft.add("AveragePool", x, kernel_shape=[pooled] * 2, strides=[pooled] * 2)
        draft.add("Flatten", draft.add("GlobalAveragePool", x), "logits")

    return draw


def sizes(*counts: int) -> np.ndarray:
    """Return masks of so many units each."""
    rows = [np.random.default_rng(i).permutation(np.arange(MANY) < count) for i, count in enumerate(counts)]
    return np.stack(rows).astype(np.float32)


@pytest.mark.parametrize("batch", ["N", 1])
@pytest.mark.parametrize("draw", [squeeze(), squeeze(("Abs",)), squeeze(("Relu", "Tanh"))])
def test_few_units_and_many_are_answered_as_by_the_whole_head(
    zoo: Any, drawn: Any, draw: Draw, batch: str | int
) -> None:
    model = drawn(draw, batch=batch)

    assert model.probe.columns is not None
    assert model.probe.columns.few == MANY // 8
    for masks in (sizes(1, 2, 3, 4), sizes(0, 0), sizes(4, 0, 1), sizes(3, 5), sizes(20, 1), sizes(32, 0), sizes(2)):
        require_equal_all(zoo, model, masks)


@pytest.mark.parametrize("opset", [7, 17, 20])
@pytest.mark.parametrize(("pooled", "means"), [(0, 1), (4, 2), (2, 1)])
def test_averages_over_whole_maps_are_written_as_means(
    zoo: Any, drawn: Any, monkeypatch: pytest.MonkeyPatch, opset: int, pooled: int, means: int
) -> None:
    written: list[onnx.ModelProto] = []

    def remember(*given: Any) -> onnx.ModelProto:
        written.append(maps_averaged(*given))
        return written[-1]

    monkeypatch.setattr(fold, "maps_averaged", remember)
    model = drawn(squeeze(pooled=pooled), opset)

    assert [node.op_type for node in written[0].graph.node].count("ReduceMean") == means
    require_equal_all(zoo, model, sizes(1, 4, 0, 2))


def require_equal_all(zoo: Any, model: Model, masks: np.ndarray) -> None:
    features = model.features(zoo.pictures(1, seed=2))
    bound = model.bind(features)
    np.testing.assert_allclose(bound.score(masks), model.bind_alone(features).score(masks), rtol=2e-5, atol=2e-5)


def test_the_columns_are_asked_for_few_units_and_for_no_more(zoo: Any, drawn: Any) -> None:
    model = drawn(squeeze())
    bound = model.bind(model.features(zoo.pictures(1)))
    few, many = sizes(4, 1), sizes(5, 1)
    expected = bound.score(few), bound.score(many)

    bound.dense = None
    np.testing.assert_array_equal(bound.score(few), expected[0])
    with pytest.raises(AttributeError):
        bound.score(many)


def test_the_columns_are_given_the_units_with_a_row_of_ones_and_one_of_zeros(zoo: Any, drawn: Any) -> None:
    model = drawn(squeeze(("Abs",)))
    features = model.features(zoo.pictures(1))
    rows = model.probe.columns.prepare(features)[ROWS]

    assert rows.shape == (MANY + 2, 16)
    np.testing.assert_array_equal(rows[:MANY], np.abs(features).reshape(MANY, 16))
    assert (rows[MANY] == 1).all()
    assert not rows[MANY + 1].any()
    assert model.bind(features).sparse.missing == INDEX


@pytest.mark.parametrize(
    "draw",
    [
        squeeze(size=3),
        squeeze(strides=[2, 2]),
        squeeze(group=1, pads=[1, 1, 1, 1]),
        squeeze(("Sigmoid",)),
    ],
)
def test_other_convolutions_are_not_taken_apart(zoo: Any, drawn: Any, draw: Draw) -> None:
    """A larger kernel, a stride, padding, a removed unit that is not 0."""
    model = drawn(draw)

    assert model.probe.columns is None
    require_equal_all(zoo, model, sizes(0, 1, 4, 20))


def test_cells_have_no_columns(drawn: Any) -> None:
    assert drawn(squeeze(), wishes={"units": "cell"}).probe.columns is None


def test_rows_of_indices_are_as_long_as_the_longest() -> None:
    masks = np.float32([[0, 1, 0, 1], [0, 0, 0, 0], [1, 1, 1, 0]])

    assert indices(masks).tolist() == [[4, 1, 3, 5], [4, 5, 5, 5], [4, 0, 1, 2]]
    assert indices(masks[1:2]).tolist() == [[4]]
    assert indices(masks[[1, 1]]).tolist() == [[4], [4]]
    assert indices(np.ones((2, 3), np.float32)).tolist() == [[3, 0, 1, 2]] * 2
    assert indices(masks).dtype == np.int64
