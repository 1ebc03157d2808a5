"""A Triton model repository: the layout that the server wants, and a configuration that its own grammar reads."""

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from ddcam.engine import Export, triton_repository
from ddcam.engine.errors import OptionError, OutputError
from ddcam.engine.types import Wishes
from ddcam.models import demo_path

DEMO = demo_path("digits_cnn_additive")


def test_a_repository_holds_model_labels_and_configuration(tmp_path: Path) -> None:
    folder, agreement = triton_repository(DEMO, tmp_path / "models", Export("dd-cam"), Wishes())

    assert folder == tmp_path / "models" / DEMO.stem
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*")} == {
        "1",
        "1/model.onnx",
        "config.pbtxt",
        "labels.txt",
    }
    assert agreement.others == 0
    session = onnxruntime.InferenceSession(folder / "1" / "model.onnx", providers=["CPUExecutionProvider"])
    assert [item.name for item in session.get_outputs()][-4:] == ["saliency_map", "units", "sufficient", "minimal"]
    assert (folder / "labels.txt").read_text().splitlines()[3] == "three"


def test_a_batch_that_the_file_fixes_is_not_the_servers(zoo: Any, tmp_path: Path) -> None:
    proto, _ = zoo.build("plain", ending="none", batch=1)
    onnx.save(proto, tmp_path / "fixed.onnx")
    folder, _ = triton_repository(tmp_path / "fixed.onnx", tmp_path / "models", Export("grad-cam"), Wishes())
    text = (folder / "config.pbtxt").read_text()

    assert "max_batch_size: 0" in text
    assert "dynamic_batching" not in text
    assert "dims: [ 1, 3, 16, 16 ]" in text


def test_nothing_is_left_of_what_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError):
        triton_repository(DEMO, tmp_path / "models", Export("rise"), Wishes())
    assert not list((tmp_path / "models").iterdir())
    (tmp_path / "models" / DEMO.stem).mkdir()
    (tmp_path / "models" / DEMO.stem / "mine.txt").touch()
    with pytest.raises(OutputError, match=r"holds no config\.pbtxt"):
        triton_repository(DEMO, tmp_path / "models", Export("grad-cam"), Wishes(), replace=True)


def test_the_command_writes_one_or_the_other(console: Any, tmp_path: Path) -> None:
    code, out, _ = console("export", DEMO, "--method", "grad-cam", "--triton", tmp_path / "models")
    assert (code, out.count(str(tmp_path / "models" / DEMO.stem))) == (0, 1)
    code, _, err = console("export", DEMO, "--triton", tmp_path / "models", "-o", tmp_path / "out.onnx")
    assert code == 2
    assert "--triton" in err


@pytest.mark.oracle
@pytest.mark.parametrize("method", ["dd-cam", "grad-cam"])
def test_the_servers_own_grammar_reads_the_configuration(method: str, tmp_path: Path) -> None:
    pytest.importorskip("tritonclient")
    text_format = pytest.importorskip("google.protobuf.text_format")
    folder, _ = triton_repository(DEMO, tmp_path, Export(method), Wishes())
    config = text_format.Parse((folder / "config.pbtxt").read_text(), grammar().ModelConfig())
    session = onnxruntime.InferenceSession(folder / "1" / "model.onnx", providers=["CPUExecutionProvider"])
    ran = session.run(None, {session.get_inputs()[0].name: np.zeros((2, *config.input[0].dims), np.float32)})

    assert (config.name, config.backend, config.max_batch_size) == (DEMO.stem, "onnxruntime", 16)
    assert [item.name for item in config.input] == [item.name for item in session.get_inputs()]
    assert [item.name for item in config.output] == [item.name for item in session.get_outputs()]
    for item, value in zip(config.output, ran, strict=True):
        shape = list(item.reshape.shape) if item.HasField("reshape") else list(item.dims)
        assert shape == list(value.shape[1:])


def grammar() -> ModuleType:
    """Load the messages of a configuration, which need no gRPC, past the package that imports it."""
    import tritonclient  # noqa: PLC0415  (comes with the oracles)

    [folder] = tritonclient.__path__
    spec = importlib.util.spec_from_file_location("model_config_pb2", Path(folder) / "grpc" / "model_config_pb2.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
