"""An untrusted model runs for the first time in a child process, and whatever it does there is reported in a line."""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from ddcam.engine.errors import ModelError, OutputError, RunError, UnsafeModelError
from ddcam.engine.graph.cut import expose
from ddcam.engine.runtime import trial as trial_module
from ddcam.engine.runtime.trial import BASE, read, trial
from ddcam.engine.types import Value


def model(*nodes: str, picture: str = "float[N,3] x", opset: int = 17) -> bytes:
    """Make a small model in the notation of onnx.parser, all of whose tensors are outputs."""
    graph = onnx.parser.parse_graph(f"g ({picture}) => (float[] y) {{ {' '.join(nodes)} }}")
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    return expose(proto).SerializeToString()


PAIR = np.float32([[1, 2, 3], [4, 2, 6]])


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(("name", "batch"), [("plain", "N"), ("vit_registers", "N"), ("vit", 1)])
def test_every_tensor_is_seen_at_batch_one_and_two(zoo, scratch, name, batch):
    proto, _ = zoo.build(name, batch=batch)
    pictures = zoo.pictures(2)
    exposed = expose(proto)

    measured = trial(exposed.SerializeToString(), pictures, free_batch=batch == "N")

    names = ["picture", *(o.name for o in exposed.graph.output)]
    one = [pictures[:1], *zoo.run(exposed, {"picture": pictures[:1]})]
    two = [pictures, *zoo.run(exposed, {"picture": pictures})] if batch == "N" else []
    assert list(measured.values) == names
    assert [(v.shape, v.dtype) for v in measured.values.values()] == [(a.shape, a.dtype.name) for a in one]
    assert measured.batch_two == (dict(zip(names, (a.shape for a in two), strict=True)) if two else None)
    assert not list(scratch.iterdir()), "nothing may be left behind"


@pytest.mark.parametrize("batch", ["N", 1])
def test_tokens_that_ignore_the_picture_are_found(zoo, batch):
    proto, features = zoo.build("vit_registers", batch=batch)
    [joined] = [n.output[0] for n in proto.graph.node if n.op_type == "Concat" and n.attribute[0].i == 1]

    values = zoo.trial(expose(proto).SerializeToString(), zoo.pictures(2), free_batch=batch == "N").values

    assert values[joined].same == (0, 1, 2)
    assert values[features].same == (), "after attention nothing ignores the picture"


def test_only_exact_agreement_counts_as_the_same(zoo):
    tokens = "float[N,2,3] x"
    pair = np.stack([np.ones((2, 3)), np.array([[1, 1, 1 + 1e-6], [1, 1, 1]])]).astype(np.float32)

    values = zoo.trial(model("y = Identity(x)", picture=tokens), pair, free_batch=True).values

    assert values["y"].same == (1,)


def test_batch_that_is_free_in_name_only(zoo):
    """The file says N, but a constant shape inside holds a 1."""
    baked = model("s = Constant <value_ints = [1, 3]> ()", "y = Reshape(x, s)")

    measured = zoo.trial(baked, PAIR, free_batch=True)

    assert measured.batch_two is None
    assert measured.values["y"].shape == (1, 3)


def test_values_that_are_not_finite_are_marked(zoo):
    values = zoo.trial(model("a = Sub(x, x)", "y = Log(a)", "i = Cast <to = 7> (x)"), PAIR, free_batch=False).values

    assert [values[name].finite for name in ("x", "a", "y", "i")] == [True, True, False, True]


def test_probabilities_are_marked(zoo):
    values = zoo.trial(model("p = Softmax(x)", "y = Neg(p)"), PAIR, free_batch=False).values

    assert [values[name].sums_to_one for name in ("x", "p", "y")] == [False, True, False]


def test_outputs_that_are_no_arrays_are_left_out(zoo):
    values = zoo.trial(model("s = SequenceConstruct(x)", "y = SequenceLength(s)"), PAIR, free_batch=False).values

    assert list(values) == ["x", "y"]


def hungry() -> bytes:
    """Make a model that asks for 4 GiB, which its size does not show."""
    proto = onnx.load_from_string(
        model("s = Shape(x)", "b = Mul(s, k)", "e = Expand(x, b)", "y = ReduceMax(e)", picture="float[N,1] x")
    )
    proto.graph.initializer.append(helper.make_tensor("k", TensorProto.INT64, [2], [2**15, 2**15]))
    return proto.SerializeToString()


def test_model_that_allocates_four_gigabytes_is_refused():
    with pytest.raises(UnsafeModelError, match=r"needs more than 3\.0 GiB for one picture; allow more with --memory"):
        trial(hungry(), np.ones((2, 1), np.float32), free_batch=True)
    assert BASE == 3 * 2**30


def test_memory_limit_can_be_set():
    with pytest.raises(UnsafeModelError, match=r"needs more than 0\.5 GiB"):
        trial(hungry(), np.ones((2, 1), np.float32), free_batch=True, memory=2**29)
    assert trial(model("y = Relu(x)"), PAIR, free_batch=True, memory=2**29).batch_two


def test_model_that_onnx_runtime_refuses_is_refused_in_one_line():
    with pytest.raises(ModelError, match=r"ONNX Runtime cannot run the model: .*NoSuchOperator") as error:
        trial(model("y = NoSuchOperator(x)"), PAIR, free_batch=True)
    assert "\n" not in str(error.value)


@pytest.fixture
def child(monkeypatch: pytest.MonkeyPatch):
    """Let another program be the child."""

    def replace(program: str) -> None:
        run = subprocess.run
        monkeypatch.setattr(subprocess, "run", lambda _, **options: run([sys.executable, "-c", program], **options))

    return replace


@pytest.mark.parametrize("answer", ["", '{"one": {}}'])
def test_crash_of_the_child_is_reported(child, answer):
    child(f"import os, signal; print({answer!r}, flush=True); os.kill(os.getpid(), signal.SIGSEGV)")

    with pytest.raises(RunError, match=r"the model crashed ONNX Runtime in its trial run \(exit status -11\)"):
        trial(model("y = Relu(x)"), PAIR, free_batch=True)


def test_silence_of_the_child_is_reported(child):
    child("")

    with pytest.raises(RunError, match=r"crashed ONNX Runtime in its trial run \(exit status 0\)"):
        trial(model("y = Relu(x)"), PAIR, free_batch=True)


def test_model_that_does_not_end_is_stopped(child, monkeypatch):
    monkeypatch.setattr(trial_module, "SECONDS", 0.2)
    child("import time; time.sleep(60)")

    with pytest.raises(RunError, match=r"did not finish one picture in 0\.2 s; is there an endless loop"):
        trial(model("y = Relu(x)"), PAIR, free_batch=True)


def test_what_libraries_print_before_the_answer_is_ignored():
    answer = 'a warning\n{"one": {"x": {"shape": [1, 3], "dtype": "float32", "same": [0]}}}\n'

    measured = read(subprocess.CompletedProcess([], 0, answer, ""), 0)

    assert (measured.values, measured.batch_two) == ({"x": Value((1, 3), "float32", same=(0,))}, None)


def test_full_disk_is_reported(monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")

    with pytest.raises(OutputError, match="cannot write temporary files for the trial run"):
        trial(model("y = Relu(x)"), PAIR, free_batch=True)
