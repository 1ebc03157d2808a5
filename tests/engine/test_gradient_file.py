"""The backward graph as a file: standard operators, any batch, gradients that are right, nothing half written."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from ddcam.engine import Derivative, write_gradient
from ddcam.engine.autodiff.gradient_graph import SEED, gradient_name
from ddcam.engine.errors import GradientError, OptionError, OutputError
from ddcam.engine.types import Wishes

PLAIN, CPU = Derivative(), Wishes(threads=1, device="cpu")


@pytest.fixture
def write(zoo: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    monkeypatch.setattr("ddcam.engine.open_model.trial", zoo.trial)

    def write_model(proto: onnx.ModelProto, derivative: Derivative = PLAIN, **wishes: Any) -> Path:
        onnx.save(proto, tmp_path / "model.onnx")
        write_gradient(tmp_path / "model.onnx", tmp_path / "gradient.onnx", derivative, replace(CPU, **wishes))
        return tmp_path / "gradient.onnx"

    return write_model


def run(file: Path, **feeds: Any) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))


def test_it_is_plain_onnx_for_any_batch(zoo: SimpleNamespace, write: Callable[..., Path], family: str) -> None:
    file = write(zoo.build(family, batch=1)[0])
    proto = onnx.load(file)
    onnx.checker.check_model(proto, full_check=True)
    pictures, seed = zoo.pictures(3), np.eye(5, dtype=np.float32)[[4, 0, 2]]
    name = proto.graph.input[0].name
    together = run(file, **{name: pictures, SEED: seed})[gradient_name(name)]
    alone = [run(file, **{name: pictures[i : i + 1], SEED: seed[i : i + 1]})[gradient_name(name)] for i in range(3)]

    assert {node.domain for node in proto.graph.node} <= {"", "ai.onnx"}
    assert {item.domain for item in proto.opset_import} <= {"", "ai.onnx"}
    assert 18 <= next(item.version for item in proto.opset_import) <= 21
    np.testing.assert_allclose(together, np.concatenate(alone), atol=1e-5 * np.abs(together).max())


def test_several_tensors_and_any_scalar(zoo: SimpleNamespace, write: Callable[..., Path]) -> None:
    proto, features = zoo.build("residual", ending="none")
    inner = next(node.output[0] for node in proto.graph.node if node.op_type == "Conv")
    file = write(proto, Derivative("logits", (features, inner)))
    picture, seed = zoo.pictures(1), np.array([[0.5, 0, -1, 0, 0]], np.float32)
    name = proto.graph.input[0].name
    found = run(file, **{name: picture, SEED: seed})
    exposed = onnx.ModelProto()
    exposed.CopyFrom(proto)
    exposed.graph.output.extend(onnx.ValueInfoProto(name=item) for item in (features, inner))
    logits, at_features, at_inner = zoo.run(exposed, {name: picture}, ["logits", features, inner])

    np.testing.assert_allclose(found["logits"], logits, rtol=1e-4, atol=1e-5)
    assert found[gradient_name(features)].shape == at_features.shape
    assert found[gradient_name(inner)].shape == at_inner.shape


def test_what_is_not_there_or_not_real_is_named(
    zoo: SimpleNamespace, write: Callable[..., Path], tmp_path: Path
) -> None:
    proto, features = zoo.build("plain", ending="none")
    with pytest.raises(OptionError, match="'nowhere' is not in the model"):
        write(proto, Derivative(None, ("nowhere",)))
    with pytest.raises(GradientError, match="does not depend on 'logits'"):
        write(proto, Derivative(features, ("logits",)))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.onnx"]


def test_an_earlier_file_stays(zoo: SimpleNamespace, write: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "gradient.onnx").write_text("mine")

    with pytest.raises(OutputError, match="exists already"):
        write(zoo.build("plain")[0])
    assert (tmp_path / "gradient.onnx").read_text() == "mine"


def quantised(zoo: SimpleNamespace, rounding: bool) -> onnx.ModelProto:
    """Return a linear model that rounds its features, or passes them on."""
    draft = zoo.Draft(17)
    x = draft.conv(draft.picture(), 3, 8, 4, strides=[4, 4], pads=[0, 0, 0, 0])
    scale, zero = draft.constant(np.array(0.02, np.float32)), draft.constant(np.array(0, np.int8))
    if rounding:
        x = draft.add("DequantizeLinear", [draft.add("QuantizeLinear", [x, scale, zero]), scale, zero])
    x = draft.add("Flatten", draft.add("GlobalAveragePool", draft.conv(x, 8, 8, 1)))
    draft.dense(x, 8, 5, "logits")
    return draft.model("logits")


def test_straight_through_is_the_gradient_of_the_model_that_does_not_round(
    zoo: SimpleNamespace, write: Callable[..., Path], tmp_path: Path
) -> None:
    feeds = {"picture": zoo.pictures(1), SEED: np.eye(5, dtype=np.float32)[:1]}
    with pytest.raises(GradientError, match="--straight-through"):
        write(quantised(zoo, True))
    straight = run(write(quantised(zoo, True), rounding="straight-through"), **feeds)
    (tmp_path / "gradient.onnx").unlink()
    plain = run(write(quantised(zoo, False)), **feeds)

    np.testing.assert_allclose(straight["gradient_of_picture"], plain["gradient_of_picture"], atol=1e-6)
