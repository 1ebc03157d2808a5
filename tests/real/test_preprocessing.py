"""Real models are not doubted under the preprocessing they were trained with, and are under others."""

import pytest

from ddcam.engine.open_model import open_model
from ddcam.engine.plausible import judge
from ddcam.engine.types import Wishes

pytestmark = pytest.mark.data
TOLD = {
    "imagenet/mobilenetv2_torch_nchw_f32_logits_opset13.onnx": ("imagenet", ("unit", "symmetric", "raw", "caffe")),
    "imagenet/mobilenetv2-12-qdq_zoo.onnx": ("imagenet", ("unit", "symmetric", "raw", "caffe")),
    "imagenet/mobilenetv3small_keras_nhwc_f32_softmax_opset15.onnx": ("raw", ("imagenet", "unit", "symmetric")),
    "cifar10/resnet20_akamaster_f32_opset11.onnx": ("imagenet", ("unit", "symmetric", "raw", "caffe")),
    "domain/plant15_mobilenetv3s_f32_opset17.onnx": ("imagenet", ("unit", "symmetric", "raw", "caffe")),
    "domain/flowers_mobilevit_xxs_nhwc_opset13.onnx": ("raw", ("imagenet", "unit", "symmetric", "caffe")),
}
"""Models that tell, what they were trained with, and what they were not."""


def test_no_model_is_doubted_under_its_own_preprocessing(entries):
    for entry in entries:
        if entry["name"].startswith("detectors"):
            continue
        opened = open_model(entry["file"], Wishes(preprocessing=entry["preset"]))

        assert judge(opened, entry["pictures"][0]).doubt is None, entry["name"]


@pytest.mark.parametrize("name", TOLD)
def test_models_that_tell_name_their_own_preprocessing(entries, name):
    [entry] = [e for e in entries if e["name"] == name]
    right, wrong = TOLD[name]
    for preset in wrong:
        opened = open_model(entry["file"], Wishes(preprocessing=preset))

        assert judge(opened, entry["pictures"][0]).doubt.likelier == right, preset
