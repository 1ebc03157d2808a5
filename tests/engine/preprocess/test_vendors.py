"""What Model API, Custom Vision, torchvision, Keras and Ultralytics record is understood, or refused in one line."""

import json

import pytest

from ddcam.engine.errors import OptionError
from ddcam.engine.labels import choose_labels
from ddcam.engine.preprocess.config import find_config, from_config
from ddcam.engine.preprocess.metadata import from_metadata
from ddcam.engine.preprocess.values import name_of

MODEL_API = {
    "model_info mean_values": "123.675 116.28 103.53",
    "model_info scale_values": "58.395 57.12 57.375",
    "model_info resize_type": "standard",
    "model_info reverse_input_channels": "False",
    "model_info labels": "cat guide_dog",
}
CUSTOM_VISION = {
    "CustomVision.Preprocess.CropMethod": "NoCrop",
    "CustomVision.Preprocess.NormalizeMean": "[0.0, 0.0, 0.0]",
    "CustomVision.Preprocess.NormalizeStd": "[1.0, 1.0, 1.0]",
    "CustomVision.Preprocess.ResizeMethod": "Stretch",
    "CustomVision.Preprocess.TargetHeight": "300",
    "CustomVision.Preprocess.TargetWidth": "300",
    "Image.BitmapPixelFormat": "Bgr8",
    "Image.NominalPixelRange": "NominalRange_0_255",
}
MANIFEST = {
    "DomainType": "Classification",
    "ModelFileName": "model.onnx",
    "LabelFileName": "labels.txt",
    "MetadataPropsFileName": "metadata_properties.json",
}
TORCHVISION = {
    "crop_size": [224],
    "resize_size": [232],
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
    "interpolation": "InterpolationMode.BILINEAR",
    "antialias": True,
}
ULTRALYTICS = {"task": "classify", "stride": "1", "imgsz": "[224, 256]", "names": "{0: 'cat'}"}


def refusal(read, *args):
    with pytest.raises(OptionError) as problem:
        read(*args)
    text = str(problem.value)
    assert "\n" not in text
    assert len(text) < 500
    return text


# --- Intel's Model API ---


def test_model_api_is_understood():
    found = from_metadata(MODEL_API)

    assert name_of(found.values) == "imagenet"
    assert (found.fit, found.crop) == ("stretch", 1.0)


def test_model_api_means_in_the_order_of_blue_green_red_say_bgr():
    found = from_metadata({"model_info mean_values": "103.939 116.779 123.68"})

    assert name_of(found.values) == "caffe"


def test_another_border_than_ours_is_told():
    letterbox = {"model_info resize_type": "fit_to_window_letterbox", "model_info scale_values": "255"}

    assert from_metadata(letterbox | {"model_info pad_value": "114"}).source.endswith("metadata")
    assert "border of '0'" in from_metadata(letterbox).source
    assert from_metadata(letterbox).fit == "pad"


def test_model_api_names_classes_between_spaces():
    assert choose_labels(2, metadata=MODEL_API).names == ("cat", "guide dog")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("mean_values", "nan 1 2"),
        ("mean_values", "a b c"),
        ("mean_values", "1 2"),
        ("scale_values", "0"),
        ("scale_values", "-1 1 1"),
        ("scale_values", "1e300"),
        ("resize_type", "magic"),
        ("reverse_input_channels", "perhaps"),
    ],
)
def test_hostile_model_api_values_are_refused(key, value):
    assert "'model_info' in the model's metadata" in refusal(from_metadata, MODEL_API | {f"model_info {key}": value})


# --- Azure Custom Vision ---


def test_custom_vision_is_understood():
    found = from_metadata(CUSTOM_VISION)

    assert (found.values.color, found.values.scale) == ("BGR", 1.0)
    assert (found.size, found.fit, found.crop) == ((300, 300), "stretch", 1.0)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("NormalizeStd", "[0, 0, 0]"),
        ("NormalizeMean", "[NaN, 0, 0]"),
        ("NormalizeMean", "{}"),
        ("TargetHeight", "-3"),
        ("TargetWidth", "1e99"),
        ("TargetHeight", "many"),
    ],
)
def test_hostile_custom_vision_values_are_refused(key, value):
    text = refusal(from_metadata, CUSTOM_VISION | {f"CustomVision.Preprocess.{key}": value})

    assert "Custom Vision's keys in the model's metadata" in text


def test_a_manifest_brings_metadata_and_labels_of_its_own_model_only(tmp_path):
    (tmp_path / "cvexport.manifest").write_text(json.dumps(MANIFEST))
    (tmp_path / "metadata_properties.json").write_text(json.dumps(CUSTOM_VISION))
    (tmp_path / "labels.txt").write_text("cat\ndog\n")

    found, path = find_config(tmp_path, "model.onnx")

    assert path.name == "cvexport.manifest"
    assert from_config(found).size == (300, 300)
    assert choose_labels(2, config=found).names == ("cat", "dog")
    assert find_config(tmp_path, "other.onnx") is None


@pytest.mark.parametrize("name", ["../secret.json", "/etc/passwd", "a\\b", "", 3, "."])
def test_a_manifest_reaches_no_other_folder(tmp_path, name):
    (tmp_path / "cvexport.manifest").write_text(json.dumps(MANIFEST | {"MetadataPropsFileName": name}))
    (tmp_path.parent / "secret.json").write_text(json.dumps(CUSTOM_VISION))

    assert "expected the name of a file in the same folder" in refusal(find_config, tmp_path, "model.onnx")


# --- torchvision ---


@pytest.mark.parametrize("data", [TORCHVISION, {"categories": ["cat"], "num_params": 3, "transforms": TORCHVISION}])
def test_torchvisions_preset_is_understood(data):
    found = from_config(data)

    assert name_of(found.values) == "imagenet"
    assert (found.size, found.fit, found.crop, found.resample) == ((224, 224), "crop", 224 / 232, "bilinear")


def test_torchvisions_preset_may_be_in_the_metadata():
    found = from_metadata({key: str(value).replace("True", "true") for key, value in TORCHVISION.items()})

    assert found == from_config(TORCHVISION).__class__(
        "torchvision's preset in the model's metadata",
        from_config(TORCHVISION).values,
        (224, 224),
        "crop",
        224 / 232,
        "bilinear",
    )


def test_a_file_named_like_the_model_goes_first(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"preprocessing": {"name": "raw"}}))
    (tmp_path / "model.json").write_text(json.dumps(TORCHVISION))

    assert find_config(tmp_path, "model.onnx")[1].name == "model.json"
    assert find_config(tmp_path, "other.onnx")[1].name == "config.json"


@pytest.mark.parametrize(
    "changes",
    [
        {"crop_size": [300]},
        {"crop_size": [1, 2, 3]},
        {"crop_size": [-1]},
        {"resize_size": "big"},
        {"mean": [float("nan")] * 3},
        {"std": [0, 1, 1]},
        {"interpolation": "magic"},
    ],
)
def test_hostile_torchvision_values_are_refused(changes):
    assert "expected" in refusal(from_config, TORCHVISION | changes)


# --- Keras ---


def keras(*layers, name="sequential"):
    listed = [{"class_name": kind, "config": config} for kind, config in layers]
    return {"class_name": "Functional", "config": {"name": name, "layers": listed}}


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (keras(("InputLayer", {}), ("Rescaling", {"scale": 1 / 255})), "raw"),
        (keras(("Conv2D", {}), name="resnet50"), "caffe"),
        (keras(("Conv2D", {}), name="resnet50v2"), "symmetric"),
        (keras(("Functional", {"name": "mobilenetv2_1.00_224", "layers": []})), "symmetric"),
        (keras(("Conv2D", {}), name="densenet121"), "imagenet"),
    ],
)
def test_a_keras_config_is_understood(data, expected):
    assert name_of(from_config(data).values) == expected


def test_a_keras_config_of_ones_own_model_says_nothing():
    assert from_config(keras(("Conv2D", {}))).values is None


def converter(**fields):
    return {"class_name": "keras_hub>ResNetImageConverter", "config": fields}


def test_kerashubs_converter_is_understood():
    found = from_config(converter(image_size=[224, 256], scale=1 / 127.5, offset=-1, crop_to_aspect_ratio=False))

    assert name_of(found.values) == "symmetric"
    assert (found.size, found.fit) == ((224, 256), "stretch")


@pytest.mark.parametrize(
    "fields", [{"scale": 0}, {"scale": [1, 2]}, {"offset": float("nan")}, {"image_size": [1]}, {"image_size": [-1, 2]}]
)
def test_hostile_kerashub_values_are_refused(fields):
    assert "expected" in refusal(from_config, converter(**fields))


# --- Ultralytics ---


def test_ultralytics_classifiers_want_the_centre_in_0_to_1():
    found = from_metadata(ULTRALYTICS)

    assert name_of(found.values) == "unit"
    assert (found.size, found.fit, found.crop) == ((224, 256), "crop", 1.0)
    assert from_metadata(ULTRALYTICS | {"task": "detect"}).fit == "pad"


@pytest.mark.parametrize("size", ["[0, 224]", "[-1, 5]", "1e99", "[NaN, 3]", "wide", "{}"])
def test_hostile_ultralytics_sizes_are_refused(size):
    assert "'imgsz' in the model's metadata" in refusal(from_metadata, ULTRALYTICS | {"imgsz": size})
