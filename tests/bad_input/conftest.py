"""What every test of bad input needs: the command line as users meet it, a small model, and a picture."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

import ddcam as package
from ddcam import cli

MODELS = Path(cli.__file__).parent / "models"


@pytest.fixture
def ddcam(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, console):
    """Run a command in `tmp_path` as the console script does; give exit code, stdout and the lines on stderr.

    The note of the preprocessing is taken away; no temporary file may be left behind.
    """
    scratch = tmp_path.parent / f"{tmp_path.name}-scratch"
    scratch.mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))

    def run(*arguments: object) -> tuple[int, str, list[str]]:
        code, out, err = console(*arguments)
        assert not list(scratch.iterdir())
        return code, out, [line for line in err.splitlines() if not line.startswith("preprocessing ")]

    return run


@pytest.fixture
def refused(ddcam, tmp_path: Path) -> Callable[..., str]:
    """Run a command that must be refused: exit code 2, one printable line on stderr, and not a file more or less."""

    def run(*arguments: object, names: str = "") -> str:
        before = sorted(tmp_path.rglob("*"))
        code, out, lines = ddcam(*arguments)
        assert (code, out, len(lines)) == (2, "", 1), (code, out, lines)
        assert lines[0].startswith("ddcam: ")
        assert lines[0].isprintable()
        assert "Traceback" not in lines[0]
        assert sorted(tmp_path.rglob("*")) == before
        assert names in lines[0]
        return lines[0]

    return run


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A picture file of 40 x 30 pixels that is no single colour."""
    path = tmp_path / "picture.png"
    Image.fromarray(pixels(30, 40)).save(path)
    return path


def pixels(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(7).integers(0, 256, (height, width, 3)).astype(np.uint8)


@pytest.fixture
def digits() -> Path:
    """The demo model of a CNN with an additive head: 32 x 32 grey pixels, ten classes with names."""
    return MODELS / "digits_cnn_additive.onnx"


@pytest.fixture
def digit() -> Path:
    """A handwritten two."""
    return MODELS / "pictures" / "two_0.png"


@pytest.fixture
def small() -> onnx.ModelProto:
    """A classifier that can be explained: conv, ReLU, conv, ReLU, pool, linear; 3 x 8 x 8 pixels, four classes."""
    rng = np.random.default_rng(5)
    weights = {"w0": (4, 3, 3, 3), "w1": (6, 4, 3, 3), "w2": (6, 4)}
    tensors = [onnx.numpy_helper.from_array(rng.normal(size=s).astype(np.float32), n) for n, s in weights.items()]
    nodes = [
        helper.make_node("Conv", ["x", "w0"], ["c0"], "conv0", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c0"], ["r0"], "relu0"),
        helper.make_node("Conv", ["r0", "w1"], ["c1"], "conv1", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"], "relu1"),
        helper.make_node("GlobalAveragePool", ["r1"], ["pool"], "pool"),
        helper.make_node("Flatten", ["pool"], ["flat"], "flat"),
        helper.make_node("MatMul", ["flat", "w2"], ["y"], "linear"),
    ]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 8, 8])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 4])]
    graph = helper.make_graph(nodes, "small", inputs, outputs, tensors)
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])


@pytest.fixture
def no_model(refused, tmp_path: Path, picture: Path) -> Callable[..., str]:
    """Write a model's bytes to a file and require that explain refuses it."""

    def run(model: onnx.ModelProto | bytes, names: str = "", *options: object) -> str:
        content = model if isinstance(model, bytes) else model.SerializeToString()
        (tmp_path / "model.onnx").write_bytes(content)
        return refused("explain", "model.onnx", picture, *options, names=names)

    return run


@pytest.fixture(scope="session")
def explained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An explanation with at least two units and all arrays kept."""
    folder = tmp_path_factory.mktemp("explained") / "why"
    model = package.load(MODELS / "digits_cnn_additive.onnx")
    explanation = package.explain(model, MODELS / "pictures" / "two_0.png", preserve="confidence:0.9")
    package.save(explanation, folder, keep_arrays=True)
    return folder


@pytest.fixture
def why(explained: Path, tmp_path: Path) -> Path:
    shutil.copytree(explained, tmp_path / "why")
    return tmp_path / "why"
