"""FullGrad on real networks of ReLUs: the picture and all biases together make the logit."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from ddcam import load, open_image
from ddcam.engine.autodiff.formula import Formula, Layer
from ddcam.engine.graph.build import Var
from ddcam.engine.preprocess import prepare
from ddcam.engine.problem import Problem

pytestmark = pytest.mark.data
MODELS = {
    "imagenet/squeezenet1.1_nchw_f32_opset7": "imagenet-val160",
    "imagenet/squeezenet1.0_caffe_fp16io_softmax_opset7": "imagenet-val160",
    "cifar10/resnet20_akamaster_f32_opset11": "cifar10-200/dog",
}


def total(picture: Layer, *layers: Layer) -> Var:
    shares = [picture.features * picture.gradient, *(layer.bias * layer.gradient for layer in layers)]
    return picture.features.op.Sum(*(share.sum((1, 2, 3), keep=False) for share in shares))


def bias_of_the_last_layer(path: Path) -> np.ndarray:
    """Return the bias of a final Gemm; 0 for each class where there is none."""
    graph = onnx.load(path).graph
    names = [node.input[2] for node in graph.node if node.op_type == "Gemm"]
    found = [onnx.numpy_helper.to_array(t) for t in graph.initializer if t.name in names]
    return found[0] if found else np.zeros(1000)


@pytest.mark.parametrize("name", MODELS)
def test_picture_and_biases_make_the_logit(data: Path, name: str) -> None:
    path = data / "models" / f"{name}.onnx"
    model, picture = load(path), open_image(sorted((data / "images" / MODELS[name]).iterdir())[0])
    problem = Problem(model, prepare(picture, model.opened.preprocessing, model.opened.picture)[0])

    [found] = problem.run(Formula("total", total, "biases"))

    expected = problem.logits[problem.target] - bias_of_the_last_layer(path)[problem.target]
    assert found == pytest.approx(expected, rel=1e-4)
