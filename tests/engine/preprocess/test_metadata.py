"""What the metadata of a model record of its preprocessing is understood or refused."""

import json

import pytest

from ddcam.engine.errors import OptionError
from ddcam.engine.preprocess.metadata import from_metadata
from ddcam.engine.preprocess.values import PRESETS, name_of


def refused(metadata):
    with pytest.raises(OptionError) as problem:
        from_metadata(metadata)
    text = str(problem.value)
    assert "\n" not in text
    assert len(text) < 400
    return text


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"Image.NominalPixelRange": "NominalRange_0_255"}, "raw"),
        ({"Image.NominalPixelRange": "Normalized_0_1"}, "unit"),
        ({"image.nominalpixelrange": "NORMALIZED_1_1", "Image.BitmapPixelFormat": "Rgb8"}, "symmetric"),
        ({"Image.BitmapPixelFormat": "Rgba8"}, "raw"),
        ({"Image.BitmapPixelFormat": "Gray8", "Image.NominalPixelRange": "NominalRange_0_255"}, "raw"),
        ({"mean": "0.485, 0.456, 0.406", "std": "[0.229, 0.224, 0.225]"}, "imagenet"),
        ({"mean": "[103.939, 116.779, 123.68]", "Image.BitmapPixelFormat": "Bgr8"}, "caffe"),
        ({"mean": "0.5", "std": "0.5"}, "symmetric"),
        ({"preprocessing": "cifar10", "mean": "nonsense"}, "cifar10"),
        ({"preprocessing": '{"name": "unit"}'}, "unit"),
        ({"preprocessing": '{"mean": [127.5], "std": [127.5]}'}, "symmetric"),
        ({"preprocessing": '{"scale": 1}'}, "raw"),
        ({"preprocessing": '{"name": "raw", "scale": 0.00392156862745098}'}, "unit"),
    ],
)
def test_metadata_are_understood(metadata, expected):
    assert name_of(from_metadata(metadata).values) == expected


def test_studio_range_starts_at_16():
    values = from_metadata({"Image.NominalPixelRange": "NominalRange_16_235"}).values

    assert [x * values.scale - values.mean[0] for x in (0, 255)] == [16, 235]


def test_metadata_without_preprocessing_are_none():
    assert from_metadata({}) is None
    assert from_metadata({"author": "mean", "Image.ColorSpaceGamma": "SRGB", "std": ""}) is None


def test_a_record_may_say_everything():
    record = {"height": 32, "width": 48, "fit": "stretch", "crop": 0.5, "resample": "bicubic", "reason": "r"}

    found = from_metadata({"preprocessing": json.dumps(record)})

    assert (found.size, found.fit, found.crop) == ((32, 48), "stretch", 0.5)
    assert (found.resample, found.values) == ("bicubic", None)


@pytest.mark.parametrize(
    ("metadata", "text"),
    [
        ({"Image.BitmapPixelFormat": "Yuv"}, "one of gray8, rgb8, rgba8, bgr8, bgra8 for image.bitmappixelformat"),
        ({"Image.NominalPixelRange": "0..1"}, "got '0..1'; choose the preprocessing"),
        ({"mean": "a half"}, "'mean' in the model's metadata: expected JSON"),
        ({"mean": "0.1, 0.2"}, "expected 1 or 3 numbers for mean"),
        ({"std": "[0]"}, "expected numbers above 0 for std"),
        ({"std": "[[[0.5]]]"}, "expected a number for std"),
        ({"preprocessing": "resize to 224"}, "'preprocessing' in the model's metadata: expected JSON"),
        ({"preprocessing": "[]"}, "expected a JSON object or a preset's name, got []"),
        ({"preprocessing": '{"name": "imagnet"}'}, "expected one of imagenet"),
        ({"preprocessing": '{"name": ["unit"]}'}, "expected a preset's name for name"),
        ({"preprocessing": '{"color": "BGR"}'}, "expected one of imagenet"),
        ({"preprocessing": '{"name": "unit", "color": "XYZ"}'}, "expected RGB or BGR or L for color, got 'XYZ'"),
        ({"preprocessing": '{"name": "unit", "fit": ["crop"]}'}, "expected crop or stretch or pad for fit"),
        ({"preprocessing": '{"height": 5}'}, "expected both height and width or neither"),
        ({"preprocessing": '{"size": 5}'}, "expected the keys name, height"),
        ({"preprocessing": '{"crop": 0}'}, "expected a number above 0 and up to 1 for crop"),
    ],
)
def test_unreadable_metadata_are_refused(metadata, text):
    assert text in refused(metadata)


def test_the_presets_cannot_be_changed():
    with pytest.raises(TypeError):
        PRESETS["mine"] = PRESETS["unit"]
