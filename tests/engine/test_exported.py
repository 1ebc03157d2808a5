"""What a framework has exported is loaded, compared with it, and kept: a demo model plays the framework's."""

import gc
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

import ddcam
from ddcam.engine.errors import CheckError, OptionError, OutputError
from ddcam.engine.exported import Records, Source, load_exported
from ddcam.engine.types import Wishes
from ddcam.models import demo_path, demo_pictures

DEMO = demo_path("digits_cnn_additive")
NAMES = [f"digit {i}" for i in range(10)]


def write(path: Path) -> str:
    shutil.copyfile(DEMO, path)
    return "by hand"


def outputs(inputs: np.ndarray) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(DEMO, providers=["CPUExecutionProvider"])
    return session.run(None, {"input": inputs})


def layers(inputs: np.ndarray) -> dict[str, np.ndarray]:
    """Give the features as a framework with channels last would, and a layer that no tensor holds."""
    features = ddcam.load(DEMO).features(inputs)
    return {"last": np.moveaxis(features, 1, 3), "twice": 2 * features}


def source(**changes: Any) -> Source:
    return Source(**{"name": "Net", "write": write, "predict": outputs, "layers": layers, **changes})


def test_the_file_lives_as_long_as_the_model() -> None:
    model = load_exported(source(), Wishes(), Records())
    path = model.opened.graph.path

    assert path.name == "Net.onnx"
    assert path.is_file()
    del model
    gc.collect()
    assert not path.parent.exists()


def test_the_file_alone_gives_the_same_explanation(tmp_path: Path) -> None:
    records = Records(NAMES, {"mean": 0.0, "std": 1.0, "fit": "stretch"})
    model = load_exported(source(), Wishes(), records, tmp_path / "net.onnx")
    again = ddcam.load(tmp_path / "net.onnx")
    ours, theirs = (ddcam.explain(m, demo_pictures()[0], preserve="confidence:0.9") for m in (model, again))

    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]
    assert ours.model == theirs.model
    assert ours.preprocessing == theirs.preprocessing
    assert ours.preprocessing.fit == "stretch"
    assert ours.target == theirs.target
    assert ours.target.label in NAMES
    assert ours.attribution.subset == theirs.attribution.subset
    np.testing.assert_array_equal(ours.saliency, theirs.saliency)


def test_names_are_read_from_a_file_too(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("\n".join(NAMES))

    model = load_exported(source(), Wishes(), Records(tmp_path / "names.txt"), tmp_path / "net.onnx")
    assert ddcam.load(tmp_path / "net.onnx").opened.labels.names == model.opened.labels.names == tuple(NAMES)


def test_a_model_that_predicts_otherwise_is_refused_and_the_older_file_stays(tmp_path: Path) -> None:
    file = tmp_path / "net.onnx"
    file.write_bytes(b"older")
    wrong = source(predict=lambda inputs: [outputs(inputs)[0][:, ::-1]])

    with pytest.raises(CheckError, match=r"^expected what Net predicts .* differs by 0\."):
        load_exported(wrong, Wishes(), Records(), file)
    assert file.read_bytes() == b"older"
    assert len(list(tmp_path.iterdir())) == 1


def test_scores_of_other_classes_are_refused() -> None:
    with pytest.raises(CheckError, match="differs by inf"):
        load_exported(source(predict=lambda inputs: [outputs(inputs)[0][:, :9]]), Wishes(), Records())


def test_a_layer_is_found_by_its_values() -> None:
    earlier = ddcam.load(DEMO).opened.candidates[-2].tensor.name

    assert load_exported(source(), Wishes(split="last"), Records()).split.tensor == ddcam.load(DEMO).split.tensor
    assert load_exported(source(), Wishes(split=earlier), Records()).split.tensor == earlier


@pytest.mark.parametrize(
    ("split", "said"),
    [
        ("twice", r"holds the output of 'twice' \[1, \d+, \d+, \d+\]; the nearest, .*; layers .* are last$"),
        ("lasst", r"^Net has no layer 'lasst' .*; near are last"),
    ],
)
def test_a_layer_that_is_not_there_is_refused_with_those_that_are(split: str, said: str) -> None:
    with pytest.raises(OptionError, match=said):
        load_exported(source(), Wishes(split=split), Records())


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(OutputError, match="is not a folder"):
        load_exported(source(), Wishes(), Records(), tmp_path / "file" / "net.onnx")
