"""The preprocessing comes from where it should, and the reason says from where."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest

from ddcam.engine.errors import OptionError, PictureError
from ddcam.engine.preprocess import PRESETS, choose
from ddcam.engine.preprocess.values import Recorded
from ddcam.engine.types import PictureInput

FIXED = PictureInput("input", "float32", "NCHW", 3, 224, 224, True)
FREE = replace(FIXED, height=None, width=None)
GREY = replace(FREE, channels=1)
TIMM = {
    "architecture": "tiny",
    "pretrained_cfg": {
        "input_size": [3, 152, 160],
        "interpolation": "lanczos",
        "crop_pct": 0.9,
        "mean": [0.5, 0.5, 0.5],
        "std": [0.5, 0.5, 0.5],
    },
}
BGR = {"Image.BitmapPixelFormat": "Bgr8", "Image.NominalPixelRange": "Normalized_0_1"}


def values(preprocessing):
    """The model's value of a black and of a white pixel, by channel."""
    p = preprocessing
    return [
        [(x * p.scale - m) / s for m, s in zip(p.mean, p.std, strict=True)] for x in (0, 255)
    ]  # fmt: skip


def refused(*args, **kwargs):
    with pytest.raises(OptionError) as problem:
        choose(*args, **kwargs)
    text = str(problem.value)
    assert "\n" not in text
    assert len(text) < 400
    return text


# --- the default ---


@pytest.mark.parametrize(
    ("model_input", "name", "reason"),
    [
        (FIXED, "imagenet", "default for a 3-channel NCHW input: imagenet"),
        (replace(FIXED, layout="NHWC"), "symmetric", "default for a 3-channel NHWC input: symmetric"),
        (replace(FIXED, dtype="uint8"), "raw", "default for a 3-channel NCHW uint8 input: raw"),
        (replace(FIXED, channels=1), "unit", "default for a 1-channel NCHW input: unit"),
        (replace(FIXED, dtype="float16"), "imagenet", "default for a 3-channel NCHW input: imagenet"),
    ],
)
def test_the_default_follows_the_input_and_says_so(model_input, name, reason):
    chosen = choose(model_input)

    assert chosen.name == name
    assert chosen.reason == f"no preprocessing is recorded in the model; {reason}"
    assert (chosen.fit, chosen.crop, chosen.resample) == ("crop", 0.875, "bilinear")
    assert chosen.color == ("L" if model_input.channels == 1 else "RGB")
    assert len(chosen.mean) == len(chosen.std) == model_input.channels


def test_a_graph_that_normalises_has_the_word_unless_something_is_asked_or_recorded():
    recorded = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "image_processor_type": "A"}
    graph = Recorded("the graph, which does so (Mul 'm')", PRESETS["raw"])
    alone = choose(FREE, graph=graph)

    assert alone.name == "raw"
    assert alone.reason.startswith("raw from the graph, which does so (Mul 'm')")
    assert choose(FREE, graph=graph, name="unit").name == "unit"
    assert choose(FREE, graph=graph, config=recorded) == choose(FREE, config=recorded)


@pytest.mark.parametrize(("side", "crop"), [(28, 1.0), (95, 1.0), (96, 0.875), (224, 0.875)])
def test_small_inputs_are_not_cropped(side, crop):
    assert choose(replace(FIXED, height=side, width=side)).crop == crop
    assert choose(replace(FIXED, height=side, width=400)).crop == crop


def test_a_free_size_is_224_by_default_and_the_reason_says_so():
    chosen = choose(FREE)

    assert (chosen.height, chosen.width) == (224, 224)
    assert chosen.reason.endswith("imagenet; 224x224 by default, since the model leaves it free")


def test_a_half_free_size_keeps_the_fixed_side():
    assert (choose(replace(FREE, width=96)).height, choose(replace(FREE, width=96)).width) == (224, 96)


# --- options ---


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_taken_by_name(name):
    chosen = choose(FIXED, name=name)

    assert chosen.name == name
    assert chosen.reason == f"{name} from the options"
    assert (chosen.color, chosen.scale) == (PRESETS[name].color, PRESETS[name].scale)
    assert len(chosen.mean) == len(chosen.std) == 3


def test_free_values_are_in_units_of_one_as_in_torch():
    chosen = choose(FIXED, mean=(0.4, 0.5, 0.6), std=[0.1, 0.2, 0.3])

    assert chosen.name == "custom"
    assert np.allclose(values(chosen), [[-4, -2.5, -2], [6, 2.5, 0.4 / 0.3]])


def test_free_values_above_one_are_in_units_of_255():
    assert np.allclose(values(choose(FIXED, mean=127, std=128)), [[-127 / 128] * 3, [1] * 3])
    assert np.allclose(values(choose(FIXED, mean=(1, 2, 3))), [[-1, -2, -3], [254, 253, 252]])
    assert np.allclose(values(choose(FIXED, std=255)), [[0] * 3, [1] * 3])


def test_a_single_number_counts_for_every_channel():
    chosen = choose(FIXED, mean=0.5, std=np.float32(0.5))

    assert (chosen.mean, chosen.std) == ((0.5,) * 3, (0.5,) * 3)
    assert chosen.name == "symmetric"
    assert choose(GREY, mean=0.1307, std=0.3081).mean == (0.1307,)


def test_free_values_that_are_a_preset_get_its_name():
    assert choose(FIXED, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)).name == "imagenet"
    assert choose(FIXED, mean=0).name == "unit"
    assert choose(FIXED, std=1 / 255).name == "raw"
    assert choose(GREY, mean=0.5, std=0.5).name == "symmetric"


def test_a_size_is_height_and_width():
    chosen = choose(FREE, size=(96, 128))

    assert (chosen.height, chosen.width) == (96, 128)
    assert chosen.reason.endswith("; 96x128 from the options")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"name": "imagnet"}, "expected one of imagenet, unit, symmetric, raw, caffe, cifar10, got 'imagnet'"),
        ({"name": "unit", "mean": 0.5}, "expected a preset or a mean and std, got unit and both"),
        ({"mean": (0.5, 0.5)}, "expected 1 or 3 numbers for mean"),
        ({"mean": "0.5"}, "expected a number for mean, got '0.5'"),
        ({"mean": float("nan")}, "expected a number for mean, got nan"),
        ({"mean": 10**400}, "expected a number for mean"),
        ({"mean": True}, "expected a number for mean, got True"),
        ({"std": 0}, "expected numbers above 0 for std, got 0"),
        ({"std": (0.2, -0.2, 0.2)}, "expected numbers above 0 for std"),
        ({"size": (0, 224)}, "expected a number of pixels from 1 to 65536 for the height, got 0"),
        ({"size": (224, 1.5)}, "for the width, got 1.5"),
        ({"size": (224,)}, "expected height and width for the size"),
        ({"size": 224}, "expected height and width for the size, got 224"),
        ({"size": (65536, 65536)}, "expected up to 16777216 pixels"),
    ],
)
def test_wrong_options_are_refused_in_one_line(options, text):
    assert text in refused(FREE, **options)


def test_another_size_than_the_fixed_one_is_refused():
    text = refused(FIXED, size=(256, 224))

    assert text == (
        "expected the size 224x224 of the model's input input, got 256x224 from the options; ask for 224x224"
    )
    assert "anyx224" in refused(replace(FREE, width=224), size=(64, 64))
    assert "96x160 from the timm config" in refused(
        FIXED, config={"pretrained_cfg": {**TIMM["pretrained_cfg"], "input_size": [3, 96, 160]}}
    )


def test_colour_presets_do_not_fit_one_channel():
    for name in ("imagenet", "caffe", "cifar10"):
        assert "expected a mean and std for 1 channel(s), got those of 3" in refused(GREY, name=name)
    assert "for 1 channel(s)" in refused(GREY, mean=(0.1, 0.2, 0.3))


def test_equal_values_for_three_channels_fit_one():
    assert choose(GREY, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)).std == (0.25,)


def test_a_uint8_input_takes_no_values_but_raw():
    bytes_in = replace(FIXED, dtype="uint8")

    assert choose(bytes_in, name="raw").name == "raw"
    assert "expected raw pixels for the model's uint8 input" in refused(bytes_in, name="imagenet")
    assert "expected raw pixels" in refused(bytes_in, mean=0.5)


@pytest.mark.parametrize("more", [{"dtype": "int8"}, {"dtype": "int64"}])
def test_an_input_that_no_picture_fits_is_refused(more):
    with pytest.raises(PictureError, match=r"^expected a model input"):
        choose(replace(FIXED, **more))


# --- the order of the sources ---


def test_metadata_go_before_a_config_and_a_config_before_the_default():
    from_all = choose(FREE, config=TIMM, metadata=BGR)
    from_config = choose(FREE, config=TIMM)

    assert from_config.reason == (
        "symmetric from the timm config beside the model; 152x160 from the timm config beside the model"
    )
    assert (from_config.color, from_config.crop) == ("RGB", 0.9)
    assert from_all.reason == (
        "custom from the Image.* keys in the model's metadata; 152x160 from the timm config beside the model"
    )
    assert (from_all.height, from_all.width, from_all.crop) == (152, 160, 0.9)
    assert (from_all.resample, from_all.color, from_all.scale) == ("lanczos", "BGR", 1 / 255)


def test_options_go_before_everything_and_leave_the_rest_to_the_config():
    chosen = choose(FREE, name="caffe", size=(64, 64), config=TIMM, metadata=BGR)

    assert (chosen.name, chosen.height, chosen.width) == ("caffe", 64, 64)
    assert (chosen.crop, chosen.resample) == (0.9, "lanczos")
    assert chosen.reason == "caffe from the options; 64x64 from the options"


def test_unreadable_metadata_are_an_error_only_where_they_decide():
    broken = {"mean": "about a half"}

    assert "the model's metadata" in refused(FIXED, metadata=broken)
    assert choose(FIXED, name="unit", metadata=broken).name == "unit"
    assert "the model's metadata" in refused(FREE, config=TIMM, metadata=broken)


def test_metadata_about_other_things_say_nothing():
    chosen = choose(FIXED, metadata={"author": "someone", "mean": " ", "onnx.infer": "onnxruntime.quant"})

    assert chosen == choose(FIXED)


def test_a_record_without_values_leaves_them_to_the_default():
    chosen = choose(FIXED, config={"do_resize": True, "size": 224, "do_normalize": True})

    assert chosen.name == "imagenet"
    assert chosen.fit == "stretch"
    assert chosen.reason.startswith("the Hugging Face preprocessing config beside the model has no mean and std")


def test_a_uint8_input_takes_only_the_geometry_and_the_colours_of_a_record():
    bytes_in = replace(FREE, dtype="uint8")

    chosen = choose(bytes_in, config=TIMM)

    assert (chosen.name, chosen.crop, chosen.height) == ("raw", 0.9, 152)
    assert "but the model's input is uint8 and takes pixels as they are" in chosen.reason
    assert choose(bytes_in, metadata=BGR).color == "BGR"


def test_grey_in_the_record_of_a_colour_model_is_refused():
    assert "expected RGB or BGR" in refused(FIXED, metadata={"Image.BitmapPixelFormat": "Gray8"})


def test_a_stretch_without_a_crop_shows_the_whole_picture():
    chosen = choose(FIXED, metadata={"preprocessing": '{"name": "unit", "fit": "stretch"}'})

    assert (chosen.fit, chosen.crop) == ("stretch", 1.0)


def test_what_was_chosen_can_be_recorded_and_read_again():
    for chosen in (choose(FIXED, name="caffe"), choose(FIXED, mean=0.3, std=(0.1, 0.2, 0.3)), choose(GREY)):
        model_input = GREY if chosen.color == "L" else FREE
        text = json.dumps(asdict(chosen))

        again = choose(model_input, metadata={"preprocessing": text})

        assert replace(again, reason=chosen.reason) == chosen
        assert replace(choose(model_input, config={"preprocessing": json.loads(text)}), reason="") == replace(
            chosen, reason=""
        )
