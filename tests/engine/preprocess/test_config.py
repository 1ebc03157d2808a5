"""Configurations of others are understood, and broken ones are refused by name."""

import json
import os
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ddcam.engine.errors import OptionError
from ddcam.engine.preprocess.config import find_config, from_config, is_config
from ddcam.engine.preprocess.values import name_of

VIT = {
    "do_normalize": True,
    "do_resize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
    "resample": 2,
    "size": 224,
}
RESNET = {
    "crop_pct": 0.875,
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": [0.485, 0.456, 0.406],
    "image_processor_type": "ConvNextImageProcessor",
    "image_std": [0.229, 0.224, 0.225],
    "resample": 3,
    "rescale_factor": 0.00392156862745098,
    "size": {"shortest_edge": 224},
}
MOBILEVIT = {
    "crop_size": {"height": 256, "width": 256},
    "do_center_crop": True,
    "do_flip_channel_order": True,
    "do_rescale": True,
    "do_resize": True,
    "image_processor_type": "MobileViTImageProcessor",
    "resample": 2,
    "rescale_factor": 0.00392156862745098,
    "size": {"shortest_edge": 288},
}
TIMM = {
    "architecture": "tinynet_d",
    "num_classes": 1000,
    "pretrained_cfg": {
        "input_size": [3, 152, 152],
        "interpolation": "bicubic",
        "crop_pct": 0.875,
        "crop_mode": "center",
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
    },
}


def timm(**changes):
    return {"pretrained_cfg": {**TIMM["pretrained_cfg"], **changes}}


def frame(data):
    found = from_config(data)
    return found.size, found.fit, found.crop


def refused(call, *args):
    with pytest.raises(OptionError) as problem:
        call(*args)
    text = str(problem.value)
    assert "\n" not in text
    assert len(text) < 400
    return text


# --- Hugging Face ---


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (VIT, ((224, 224), "stretch", 1.0)),
        (VIT | {"size": {"height": 384, "width": 320}}, ((384, 320), "stretch", 1.0)),
        (VIT | {"size": {"shortest_edge": 224}}, ((224, 224), "crop", 1.0)),
        (VIT | {"do_center_crop": True, "crop_size": 224, "size": 256}, ((224, 224), "crop", 0.875)),
        (
            VIT | {"do_center_crop": True, "crop_size": 224, "size": 256, "image_processor_type": "DeiTImageProcessor"},
            ((224, 224), "stretch", 0.875),
        ),
        (VIT | {"do_center_crop": False, "crop_size": 224, "size": 256}, ((256, 256), "stretch", 1.0)),
        (VIT | {"do_resize": False}, (None, None, None)),
        (VIT | {"do_center_crop": True}, ((224, 224), "stretch", 1.0)),
        (
            VIT | {"do_center_crop": True, "crop_size": 289, "size": {"height": 346, "width": 346}},
            ((289, 289), "stretch", 289 / 346),
        ),
        (RESNET, ((224, 224), "crop", 0.875)),
        (RESNET | {"crop_pct": None}, ((224, 224), "crop", 0.875)),
        (RESNET | {"size": {"shortest_edge": 384}}, ((384, 384), "stretch", 1.0)),
        (MOBILEVIT, ((256, 256), "crop", 256 / 288)),
        (
            RESNET | {"image_processor_type": "PoolFormerImageProcessor", "crop_pct": 0.9, "crop_size": 224},
            ((224, 224), "crop", 0.9),
        ),
        (
            VIT | {"image_processor_type": "LevitImageProcessor", "size": {"shortest_edge": 224}, "crop_size": 224},
            ((224, 224), "crop", 0.875),
        ),
    ],
)  # fmt: skip
def test_hugging_face_sizes_and_crops(data, expected):
    size, fit, crop = frame(data)

    assert (size, fit) == expected[:2]
    assert crop == (None if expected[2] is None else pytest.approx(expected[2], rel=1e-12))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (VIT, "symmetric"),
        (RESNET, "imagenet"),
        (VIT | {"do_normalize": False}, "unit"),
        (VIT | {"do_normalize": False, "do_rescale": False}, "raw"),
        (VIT | {"image_mean": 0.0, "image_std": 1.0}, "unit"),
        (VIT | {"rescale_factor": 1 / 127.5, "image_mean": [1, 1, 1], "image_std": [1, 1, 1]}, "symmetric"),
        (
            VIT | {"do_normalize": False, "rescale_factor": 1 / 127.5, "rescale_offset": True},
            "symmetric",
        ),
    ],
)
def test_hugging_face_values(data, expected):
    assert name_of(from_config(data).values) == expected


def test_mobilevit_wants_blue_first():
    values = from_config(MOBILEVIT).values

    assert (values.color, values.scale, values.mean, values.std) == ("BGR", 0.00392156862745098, (0,), (1,))


def test_efficientnet_divides_twice():
    data = VIT | {"image_processor_type": "EfficientNetImageProcessor", "include_top": True}

    assert from_config(data).values.std == (0.25, 0.25, 0.25)
    assert from_config(data | {"include_top": False}).values.std == (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("code", "kernel"), [(0, "nearest"), (1, "lanczos"), (2, "bilinear"), (3, "bicubic"), (None, None)]
)
def test_hugging_face_kernels_are_pillows_codes(code, kernel):
    assert from_config(VIT | {"resample": code}).resample == kernel


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"resample": 4}, "expected 0, 1, 2 or 3 for resample, got 4"),
        ({"resample": "bicubic"}, "for resample, got 'bicubic'"),
        ({"size": "224"}, "expected a number of pixels from 1 to 65536 for size"),
        ({"size": -1}, "for size, got -1"),
        ({"size": [224, 224]}, "for size, got [224, 224]"),
        ({"size": {"longest_edge": 800}}, "for size.height, got None"),
        ({"size": {"shortest_edge": 1e9}}, "for size.shortest_edge"),
        ({"crop_size": 300, "do_center_crop": True}, "expected a crop_size within size, got 300 of 224"),
        ({"crop_pct": 1.5}, "expected a number above 0 and up to 1 for crop_pct"),
        ({"do_resize": "yes"}, "expected true or false for do_resize"),
        ({"image_mean": "half"}, "expected a number for image_mean"),
        ({"image_mean": [0.5, 0.5]}, "expected 1 or 3 numbers for image_mean"),
        ({"image_std": [0.5, 0, 0.5]}, "expected numbers above 0 for image_std"),
        ({"rescale_factor": None}, "expected a number for rescale_factor"),
    ],
)
def test_wrong_hugging_face_fields_are_refused(changes, text):
    assert text in refused(from_config, VIT | changes)


# --- timm ---


@pytest.mark.parametrize("data", [TIMM, TIMM["pretrained_cfg"]])
def test_a_timm_config_is_understood(data):
    found = from_config(data)

    assert name_of(found.values) == "imagenet"
    assert frame(data) == ((152, 152), "crop", 0.875)
    assert found.resample == "bicubic"
    assert found.source == "the timm config beside the model"


def test_timm_squashes_and_leaves_out():
    assert frame(timm(crop_mode="squash", crop_pct=0.9)) == ((152, 152), "stretch", 0.9)
    assert frame(timm(crop_mode=None, crop_pct=None)) == ((152, 152), "crop", 0.875)
    assert from_config(timm(interpolation="")).resample == "bicubic"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"crop_mode": "border"}, "expected center or squash for crop_mode, got 'border'"),
        ({"interpolation": "hamming"}, "expected one of nearest, lanczos, bilinear, bicubic"),
        ({"interpolation": {}, "crop_pct": 2}, "expected a number above 0 and up to 1 for crop_pct"),
        ({"input_size": 224}, "expected [channels, height, width] for input_size"),
        ({"input_size": [3, 224]}, "for input_size"),
        ({"input_size": [3, 224, None]}, "for input_size, got None"),
        ({"std": None}, "expected a number for std, got None"),
    ],
)
def test_wrong_timm_fields_are_refused(changes, text):
    assert text in refused(from_config, timm(**changes))


# --- files ---


def test_the_preprocessor_config_goes_before_the_config(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(TIMM))
    assert find_config(tmp_path) == (TIMM, tmp_path / "config.json")

    (tmp_path / "preprocessor_config.json").write_text(json.dumps(VIT))
    assert find_config(tmp_path) == (VIT, tmp_path / "preprocessor_config.json")


def test_files_about_other_things_are_passed_over(tmp_path):
    assert find_config(tmp_path) is None
    assert find_config(tmp_path / "missing") is None
    (tmp_path / "preprocessor_config.json").write_text(
        json.dumps({"do_normalize": True, "feature_extractor_type": "Wav2Vec2FeatureExtractor", "sampling_rate": 16000})
    )
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "vit", "image_size": 224, "pretrained_cfg": 3}))
    assert find_config(tmp_path) is None
    (tmp_path / "config.json").unlink()
    (tmp_path / "config.json").mkdir()
    assert find_config(tmp_path) is None


@pytest.mark.parametrize("name", ["preprocessor_config.json", "config.json"])
@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"{", "expected JSON"),
        (b"", "expected JSON"),
        (b"\xff\xfe\x00\xd8", "expected JSON"),
        (b"[" * 400_000, "expected JSON"),
        (b'{"size": ' + b"9" * 5000 + b"}", "expected JSON"),
        (b"[1, 2]", "expected a JSON object, got [1, 2]"),
        (b'{"image_mean": NaN, "image_std": 1}', "expected a number for image_mean, got nan"),
        (b'{"do_resize": true, "size": {"height": []}}', "expected a number of pixels from 1 to 65536 for size.height"),
        (b'{"preprocessing": {"nmae": "unit"}}', "expected the keys name, height"),
        (b" " * 1_000_001, "expected up to 1000000 bytes"),
    ],
)
def test_a_broken_file_is_refused_by_name(tmp_path, name, text, problem):
    (tmp_path / name).write_bytes(text)

    refusal = refused(find_config, tmp_path)

    assert refusal.startswith(f"{tmp_path / name}: {problem}")
    assert refusal.endswith("or move the file away")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read every file")
def test_an_unreadable_file_is_refused_by_name(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "config.json").chmod(0)

    assert "expected a readable file, got Permission denied" in refused(find_config, tmp_path)


def test_a_byte_order_mark_is_no_harm(tmp_path):
    (tmp_path / "preprocessor_config.json").write_bytes(b"\xef\xbb\xbf" + json.dumps(VIT).encode())

    assert find_config(tmp_path)[0] == VIT


def test_something_else_is_no_config():
    assert not is_config({"model_type": "vit"})
    assert "expected a Hugging Face preprocessor_config.json" in refused(from_config, {"model_type": "vit"})


NAMES = st.sampled_from(["height", "width", "shortest_edge", "x"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner),
    max_leaves=6,
)
KEYS = sorted({*VIT, *RESNET, *MOBILEVIT, *TIMM["pretrained_cfg"], "pretrained_cfg", "preprocessing", "rescale_offset"})


@given(st.dictionaries(st.sampled_from(KEYS), JSON), st.sampled_from([VIT, RESNET, MOBILEVIT, TIMM, {}]))
@settings(max_examples=400, deadline=None)
def test_whatever_a_config_holds_it_is_read_or_refused(changes, start):
    for data in (start | changes, timm(**changes), {"preprocessing": changes}):
        with suppress(OptionError):
            found = from_config(data)
            assert found.crop is None or 0 < found.crop <= 1
