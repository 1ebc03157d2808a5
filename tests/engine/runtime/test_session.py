"""A session runs a graph by name, and a masked head keeps its features while masks come and go."""

import numpy as np
import onnx
import pytest

from ddcam.engine.errors import OptionError, RunError
from ddcam.engine.runtime.binding import Bound, MaskedHead
from ddcam.engine.runtime.session import Session, brief

NAMES = ("features", "mask", "logits")


def graph(text: str, inputs: str, outputs: str) -> bytes:
    parsed = onnx.parser.parse_graph(f"g ({inputs}) => ({outputs}) {{ {text} }}")
    opset = [onnx.helper.make_opsetid("", 17)]
    return onnx.helper.make_model(parsed, opset_imports=opset, ir_version=8).SerializeToString()


def head() -> bytes:
    """Make a head `logits = (features * mask) + 2`."""
    text = "a = Mul(features, mask) two = Constant <value_float = 2.0> () logits = Add(a, two)"
    return graph(text, "float[1,3] features, float[N,3] mask", "float[N,3] logits")


FEATURES = np.float32([[1, 10, 100]])


def test_arrays_go_in_and_out_by_name():
    session = Session(graph("s = Add(a, b) d = Sub(a, b)", "float[N] a, float[N] b", "float[N] s, float[N] d"))
    feeds = {"b": np.float32([1, 2]), "a": np.float32([5, 7])}

    assert (session.inputs, session.outputs, session.device) == (["a", "b"], ["s", "d"], "cpu")
    assert [v.tolist() for v in session.run(feeds)] == [[6, 9], [4, 5]]
    assert [v.tolist() for v in session.run(feeds, ["d"])] == [[4, 5]]


def test_failures_are_one_line():
    session = Session(graph("y = Relu(x)", "float[N,2] x", "float[N,2] y"))

    for feeds in ({"x": np.zeros((1, 3), np.float32)}, {"x": np.zeros((1, 2))}, {}):
        with pytest.raises(RunError, match="ONNX Runtime failed: ") as error:
            session.run(feeds)
        assert "\n" not in str(error.value)
    with pytest.raises(RunError, match="ONNX Runtime cannot load the graph: "):
        Session(b"nonsense")
    with pytest.raises(RunError, match="NoSuchOperator"):
        Session(graph("y = NoSuchOperator(x)", "float[N] x", "float[N] y"))


@pytest.mark.parametrize("threads", [-1, 10**6])
def test_impossible_threads_are_refused(threads):
    with pytest.raises(OptionError, match="threads"):
        Session(head(), threads=threads)


def test_messages_are_short():
    assert brief(ValueError("a\n\n b")) == "a b"
    assert len(brief(ValueError("x" * 5000))) < 500


def bound_head(features: object, batch: int, session: Session | None = None) -> MaskedHead:
    session = session or Session(head(), threads=1)
    return MaskedHead(Bound(session, {NAMES[0]: features}, *NAMES[1:]), batch)


@pytest.mark.parametrize("batch", [1, 2, 7, 64])
def test_masks_are_answered_in_order_whatever_the_batch(batch):
    masks = np.random.default_rng(0).integers(0, 2, (20, 3)).astype(np.float32)
    bound = bound_head(FEATURES, batch)

    np.testing.assert_array_equal(bound.score(masks), FEATURES * masks + 2)
    np.testing.assert_array_equal(bound.score(masks[:1]), FEATURES * masks[:1] + 2)


@pytest.mark.parametrize("masks", [np.eye(3), np.eye(3, dtype=bool), np.eye(6, dtype=np.float32)[::2, ::2].T])
def test_masks_of_other_types_and_layouts_are_converted(masks):
    bound = bound_head(FEATURES, 2)

    np.testing.assert_array_equal(bound.score(masks), FEATURES * masks + 2)


def test_features_are_uploaded_once_and_answers_are_copies():
    session = Session(head(), threads=1)
    features = FEATURES.copy()
    first, second = bound_head(features, 4, session), bound_head(features * 3, 4, session)
    mask = np.ones((1, 3), np.float32)
    answer = first.score(mask)

    np.testing.assert_array_equal(second.score(mask), FEATURES * 3 + 2)
    np.testing.assert_array_equal(first.score(mask * 0), np.full((1, 3), 2))
    np.testing.assert_array_equal(answer, FEATURES + 2)


def test_two_heads_may_share_an_upload():
    first = bound_head(FEATURES, 4)
    second = bound_head(first.dense.uploaded[NAMES[0]], 1)
    masks = np.float32([[1, 0, 1], [0, 1, 1]])

    assert second.dense.uploaded == first.dense.uploaded
    np.testing.assert_array_equal(second.score(masks), first.score(masks))


def test_features_may_lie_in_memory_as_they_like():
    features = np.asfortranarray(np.repeat(FEATURES, 2, axis=1))[:, ::2]
    bound = bound_head(features, 4)

    np.testing.assert_array_equal(bound.score(np.ones((2, 3), np.float32)), np.repeat(FEATURES + 2, 2, axis=0))


def test_head_that_fails_is_reported():
    bound = bound_head(FEATURES, 4)

    with pytest.raises(RunError, match="ONNX Runtime failed in the head: "):
        bound.score(np.ones((1, 4), np.float32))
