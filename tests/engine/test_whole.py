"""The whole model answers perturbed inputs as the file does, whatever the batch."""

from dataclasses import replace

import numpy as np
import pytest
from onnx import helper

from ddcam.engine.problem import Problem
from ddcam.engine.types import Value
from ddcam.engine.whole import as_type, bytes_alive, open_whole, size_of


def expected(zoo, family: str, inputs: np.ndarray, **kwargs: object) -> np.ndarray:
    """Run the file's graph, without its final softmax, one input at a time."""
    model = zoo.build(family, ending="none", **kwargs)[0]
    return np.concatenate([zoo.run(model, {"picture": one[None]})[0] for one in inputs])


@pytest.mark.parametrize("batch", ["N", 1])
def test_scores_are_those_of_the_file_one_input_at_a_time(zoo, load_here, family, batch):
    inputs = zoo.pictures(5)
    whole = load_here(zoo.build(family, batch=batch)[0]).whole

    np.testing.assert_allclose(whole.score(inputs), expected(zoo, family, inputs), rtol=1e-4, atol=1e-4)
    assert whole.batch > 1, whole.reason
    assert ("freed" in whole.reason) == (batch == 1)


def test_the_batch_of_a_run_changes_no_score(zoo, load_here):
    inputs = zoo.pictures(7)
    whole = load_here(zoo.build("squeeze_excite")[0]).whole

    for batch in (1, 3, 7):
        np.testing.assert_allclose(replace(whole, batch=batch).score(inputs), whole.score(inputs), rtol=1e-5, atol=1e-5)


def test_channels_may_come_last(zoo, load_here):
    inputs = zoo.pictures(3, "NHWC")
    whole = load_here(zoo.build("plain", layout="NHWC")[0]).whole

    np.testing.assert_allclose(whole.score(inputs), expected(zoo, "plain", inputs, layout="NHWC"), rtol=1e-4, atol=1e-4)


def test_a_problem_scores_its_own_picture_as_its_head_does(zoo, load_here):
    problem = Problem(load_here(zoo.build("vit")[0]), zoo.pictures(1))

    np.testing.assert_allclose(problem.score_images(zoo.pictures(1))[0], problem.logits, rtol=1e-4, atol=1e-4)


def test_inputs_of_one_batch_that_influence_each_other_go_one_at_a_time(zoo, load_here):
    draft = zoo.Draft(17)
    zoo.FAMILIES["plain"].draw(draft)
    together = draft.reduce("ReduceMax", "logits", [0])
    draft.add("Sub", ["logits", draft.add("Mul", [together, draft.constant(0.5)])], "shifted")
    whole = load_here(draft.model("shifted")).whole
    inputs = zoo.pictures(3)

    assert whole.batch == 1
    assert "influence each other" in whole.reason
    np.testing.assert_allclose(whole.score(inputs)[:1], whole.score(inputs[:1]), rtol=1e-5)


def test_a_scale_that_is_taken_from_the_whole_batch_forbids_batches(zoo, load_here):
    draft = zoo.Draft(17)
    x = draft.conv(draft.picture(), 3, 8, 3)
    draft.nodes.append(helper.make_node("DynamicQuantizeLinear", [x], ["q", "scale", "zero"]))
    x = draft.add("GlobalAveragePool", draft.add("Relu", draft.add("DequantizeLinear", ["q", "scale", "zero"])))
    draft.dense(draft.add("Flatten", x), 8, 5, "logits")
    whole = load_here(draft.model("logits")).whole

    assert whole.batch == 1
    assert "DynamicQuantizeLinear takes its scale from the whole batch" in whole.reason


def test_memory_bounds_the_batch(zoo, load_here):
    opened = load_here(zoo.build("plain")[0]).opened

    assert open_whole(opened, memory=3 * bytes_alive(opened)).batch == 3
    assert open_whole(opened, memory=1).batch == 1


def test_a_tensor_counts_as_long_as_it_is_read(zoo, load_here):
    opened = load_here(zoo.build("plain")[0]).opened
    picture, stem = 3 * 16 * 16, 8 * 4 * 4

    assert bytes_alive(opened) == 4 * (picture + stem)  # the first convolution: later all tensors are small


def test_a_tensor_counts_until_its_last_reader_has_run(zoo, load_here):
    draft = zoo.Draft(17)
    x = draft.add("GlobalAveragePool", draft.add("Relu", draft.conv(draft.picture(), 3, 8, 3)))
    draft.dense(draft.add("Flatten", x), 8, 5, "logits")
    map_before, map_after = 8 * 16 * 16, 8 * 16 * 16

    assert bytes_alive(load_here(draft.model("logits")).opened) == 4 * (map_before + map_after)


def test_an_element_counts_as_four_bytes_at_least():
    assert size_of("x", {"x": Value((2, 3), "uint8")}) == 24
    assert size_of("x", {"x": Value((2, 3), "float64")}) == 48
    assert size_of("weight", {}) == 0


def test_integer_inputs_are_rounded_and_clipped():
    shown = as_type(np.array([-3.0, 0.4, 0.6, 254.6, 300.0]), np.dtype("uint8"))

    assert shown.tolist() == [0, 0, 1, 255, 255]
    assert as_type(np.array([0.25]), np.dtype("float16")).dtype == np.float16
