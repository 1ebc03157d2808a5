"""The verbs of the command line as functions of the package: paths may be text, pictures files or opened."""

from pathlib import Path

import numpy as np
import onnx
import pytest

import ddcam
from ddcam.models import demo_path, demo_pictures

MODEL = demo_path("digits_cnn_additive")
PICTURE = demo_pictures()[0]


def test_every_public_name_is_there_and_is_told() -> None:
    assert sorted(ddcam.__all__) == ddcam.__all__
    assert all(getattr(ddcam, name).__doc__ for name in ddcam.__all__ if name != "__version__")


def test_an_explanation_goes_into_a_model_and_is_checked(tmp_path: Path) -> None:
    out = str(tmp_path / "explained.onnx")
    found = ddcam.export(str(MODEL), out, method="dd-cam", map_size="grid", device="cpu")

    assert found.outputs < 1e-5
    assert found.maps < 1e-4
    assert {"saliency_map", "units"} <= {output.name for output in onnx.load(out).graph.output}
    [(off, other)] = ddcam.check(out, [PICTURE])
    assert off < 1e-4
    assert not other
    with pytest.raises(ddcam.DdcamError, match="exists"):
        ddcam.export(MODEL, out)


def test_a_model_is_cut_and_its_backward_graph_written(tmp_path: Path) -> None:
    tensor, off = ddcam.split(str(MODEL), str(tmp_path / "parts"))
    of, wrt, error = ddcam.gradient(str(MODEL), str(tmp_path / "backward.onnx"), wrt=[tensor])

    assert off < 1e-5
    assert {file.name for file in (tmp_path / "parts").iterdir()} == {"backbone.onnx", "head.onnx"}
    assert wrt == (tensor,)
    assert error is not None
    assert error < 0.05
    outputs = [output.name for output in onnx.load(tmp_path / "backward.onnx").graph.output]
    assert outputs == [of, f"gradient_of_{tensor}"]


def test_methods_are_compared_on_one_decision() -> None:
    model = ddcam.load(MODEL, device="cpu")
    found = ddcam.compare(model, str(PICTURE), ["dd-cam", "grad-cam", "attention-rollout"])

    assert [row.method for row in found.rows] == ["dd-cam", "grad-cam", "attention-rollout"]
    assert "no attention" in found.rows[2].note
    assert found.mapped == ("dd-cam", "grad-cam")
    assert np.shape(found.agreement) == (2, 2)
