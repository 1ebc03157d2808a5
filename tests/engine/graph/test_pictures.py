"""A masked head for several pictures gives for each mask what the head of that mask's picture gives."""

import numpy as np
import onnx
import pytest
from onnx import helper

from ddcam.engine.graph.cut import FEATURES, LOGITS, MASK
from ddcam.engine.graph.pictures import WHICH, pick_features, shift_indices

RANDOM = np.random.default_rng(0)
PICTURES = RANDOM.normal(size=(3, 4)).astype(np.float32)
MASKS = RANDOM.integers(0, 2, (7, 4)).astype(np.float32)
OWNER = np.array([2, 0, 0, 1, 2, 1, 0])


def head(text: str) -> bytes:
    opsets = [helper.make_opsetid("", 17)]
    return helper.make_model(onnx.parser.parse_graph(text), opset_imports=opsets, ir_version=8).SerializeToString()


def test_each_mask_meets_the_features_of_its_own_picture(zoo):
    graph = pick_features(
        head(
            f"g (float[1,4] {FEATURES}, float[N,4] {MASK}) => (float[N,4] {LOGITS}) "
            f"{{ a = Mul({FEATURES}, {MASK}) {LOGITS} = Add(a, {FEATURES}) }}"
        ),
        FEATURES,
    )

    [found] = zoo.run(graph, {FEATURES: PICTURES, MASK: MASKS, WHICH: OWNER})

    np.testing.assert_array_equal(found, PICTURES[OWNER] * MASKS + PICTURES[OWNER])


def test_features_of_other_types_are_picked_too(zoo):
    graph = pick_features(
        head(
            f"g (uint8[1,4] {FEATURES}, float[N,4] {MASK}) => (float[N,4] {LOGITS}) "
            f"{{ a = Cast <to = 1> ({FEATURES}) {LOGITS} = Mul(a, {MASK}) }}"
        ),
        FEATURES,
    )
    pictures = RANDOM.integers(0, 255, (3, 4)).astype(np.uint8)

    [found] = zoo.run(graph, {FEATURES: pictures, MASK: MASKS, WHICH: OWNER})

    np.testing.assert_array_equal(found, pictures[OWNER] * MASKS)


def test_indices_of_each_mask_count_from_its_own_picture(zoo):
    graph = shift_indices(
        head(
            "g (int64[N,K] index, float[4,2] rows) => (float[N,2] out) "
            "{ a = Gather <axis = 0> (rows, index) one = Constant <value_ints = [1]> () "
            "out = ReduceSum <keepdims = 0> (a, one) }"
        ),
        "rows",
        4,
        2,
    )
    rows = RANDOM.normal(size=(3, 4, 2)).astype(np.float32)
    index = RANDOM.integers(0, 4, (7, 5))

    [found] = zoo.run(graph, {"rows": rows.reshape(12, 2), "index": index, WHICH: OWNER})

    expected = [rows[owner, own].sum(axis=0) for owner, own in zip(OWNER, index, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("owner", [[0, 1, 2], [2, 2, 0], [1]])
def test_constant_indices_become_those_of_each_mask(zoo, owner):
    graph = shift_indices(
        head(
            f"g (float[2,4] {FEATURES}, float[N,4] {MASK}) => (float[N,4] {LOGITS}) "
            "{ first = Constant <value_ints = [0]> () second = Constant <value_ints = [1]> () "
            f"a = Gather <axis = 0> ({FEATURES}, first) b = Gather <axis = 0> ({FEATURES}, second) "
            f"c = Mul(a, {MASK}) {LOGITS} = Add(c, b) }}"
        ),
        FEATURES,
        2,
        1,
    )
    pairs, masks = RANDOM.normal(size=(3, 2, 4)).astype(np.float32), MASKS[: len(owner)]

    [found] = zoo.run(graph, {FEATURES: pairs.reshape(6, 4), MASK: masks, WHICH: np.array(owner)})

    np.testing.assert_allclose(found, pairs[owner, 0] * masks + pairs[owner, 1], rtol=1e-6)
