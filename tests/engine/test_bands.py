"""Models of 1, 2, 4 or 6 channels: arrays go in as they are, and the band that matters is found."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

import ddcam
from ddcam.engine.errors import OptionError, PictureError
from ddcam.engine.preprocess import choose, from_array, prepare
from ddcam.engine.types import PictureInput

SIDE = 16


def planted(zoo, channels: int, layout: str = "NCHW") -> onnx.ModelProto:
    """Class 1 is the mean of the last band, class 0 a constant; six features, of which the last is that band."""
    draft = zoo.Draft(layout=layout)
    kernel = np.zeros((6, channels, 1, 1))
    kernel[5, channels - 1] = 1
    kernel[:5] = draft.random.normal(0, 0.1, (5, channels, 1, 1))
    x = draft.add("Relu", draft.add("Conv", [draft.picture(), draft.constant(kernel)]), "features")
    weights = np.zeros((2, 6))
    weights[1, 5] = 8
    pooled = draft.add("Flatten", draft.add("GlobalAveragePool", x))
    draft.add("Gemm", [pooled, draft.constant(weights), draft.constant(np.array([0.3, 0]))], "logits", transB=1)
    proto = draft.model("logits", ("N", 2))
    sizes = ["N", channels, SIDE, SIDE] if layout == "NCHW" else ["N", SIDE, SIDE, channels]
    proto.graph.input[0].CopyFrom(onnx.helper.make_tensor_value_info("picture", onnx.TensorProto.FLOAT, sizes))
    return proto


def scene(channels: int) -> np.ndarray:
    """`[H, W, C]`: noise, and in the last band a bright square at the lower right."""
    made = np.random.default_rng(1).uniform(0, 0.1, (SIDE, SIDE, channels)).astype(np.float32)
    made[10:14, 10:14, -1] = 3
    return made


@pytest.mark.parametrize("channels", [2, 4, 6])
@pytest.mark.parametrize("axes", [("NCHW", "first"), ("NCHW", "last"), ("NHWC", "last")])
def test_the_planted_band_is_found_through_the_command_line(zoo, tmp_path: Path, monkeypatch, console, channels, axes):
    layout, order = axes
    monkeypatch.chdir(tmp_path)
    onnx.save(planted(zoo, channels, layout), "model.onnx")
    np.save("scene.npy", scene(channels) if order == "last" else np.moveaxis(scene(channels), 2, 0))

    code, out, err = console("explain", "model.onnx", "scene.npy", "-o", "why")
    assert code == 0, err
    assert f"arrays of {channels} channels go in as they are" in err
    assert out.startswith("scene.npy: class 1 (1)")
    manifest = ddcam.open_explanation("why").manifest
    assert manifest["subset"] == [5]
    saliency = np.load("why/saliency.npy")
    assert saliency.shape == (SIDE, SIDE)
    assert saliency[11:13, 11:13].min() == 1
    assert saliency[:8, :8].max() < 0.1
    with Image.open("why/overlay.png") as drawn:
        assert drawn.size == (SIDE, SIDE)
    assert console("verify", "why", "model.onnx", "scene.npy")[0] == 0


@pytest.mark.parametrize(
    "method",
    [
        "grad-cam",
        "input-x-gradient",
        "occlusion",
        "rise:samples=1500",
        "lime:samples=200",
        "score-cam",
        "sobol",
        "hsic",
    ],
)
def test_every_kind_of_method_points_at_the_square(zoo, load_here, method):
    found = ddcam.explain(load_here(planted(zoo, 6)), from_array(scene(6)), method=method)

    row, column = np.unravel_index(found.saliency.argmax(), found.saliency.shape)
    assert min(row, column) >= SIDE // 2, (row, column)


@pytest.mark.parametrize("baseline", ["mean", "blur", "zero"])
def test_patches_and_every_baseline(zoo, load_here, baseline):
    """The mean of the band stays where its mean hides, so nothing is needed then; two patches of four are by zero."""
    model = load_here(planted(zoo, 4), units="patch", patch=4, baseline=baseline)
    found = ddcam.explain(model, from_array(scene(4)), preserve="top1")

    assert found.split.count == 16
    if baseline == "zero":
        assert found.attribution.subset
        assert min(found.attribution.subset) >= 10
    if baseline == "mean":
        assert found.attribution.outcome == "empty-suffices"


def test_mean_and_std_are_in_the_units_of_the_array(zoo, load_here):
    mean, std = (0.0, 1.0, 2.0, 3.0), (1.0, 2.0, 4.0, 8.0)
    model = load_here(planted(zoo, 4), mean=mean, std=std)
    values = np.random.default_rng(2).normal(size=(SIDE, SIDE, 4)) * 300
    inputs, placement = prepare(from_array(values), model.opened.preprocessing, model.opened.picture)

    np.testing.assert_allclose(inputs[0], np.moveaxis((values - mean) / std, 2, 0), rtol=1e-6)
    assert (placement.bottom, placement.right) == (SIDE, SIDE)
    with pytest.raises(OptionError, match="expected 1 or 4 numbers for mean, one a channel, got 3"):
        load_here(planted(zoo, 4), mean=(1, 2, 3))


def model_input(channels: int, dtype: str = "float32", height: int | None = 8) -> PictureInput:
    return PictureInput("x", dtype, "NCHW", channels, height, 8, True)


def test_what_does_not_fit_is_refused_in_a_line():
    four = choose(model_input(4))
    for values in (np.zeros((9, 8, 4)), np.zeros((8, 8)), np.zeros((2, 4, 8, 8))):
        with pytest.raises(PictureError, match=r"expected an array \[4, 8, 8\] or \[8, 8, 4\] for x.*not resized"):
            prepare(from_array(values), four, model_input(4))
    with pytest.raises(PictureError, match=r"is a picture of 3 colours; give an \.npy"):
        prepare(ddcam.engine.preprocess.from_pixels(np.zeros((8, 8, 3), np.uint8)), four, model_input(4))
    with pytest.raises(PictureError, match=r"8 bit pixels for the preprocessing imagenet.*--preprocessing array"):
        prepare(from_array(np.zeros((8, 8, 3))), choose(model_input(3)), model_input(3))
    with pytest.raises(OptionError, match="leaves the size of x free; give that of the arrays with --size"):
        choose(model_input(4, height=None))
    with pytest.raises(PictureError, match="finite"):
        from_array(np.full((8, 8, 4), np.nan))
    with pytest.raises(PictureError, match="values that uint8 holds"):
        prepare(from_array(np.full((8, 8, 4), 256)), choose(model_input(4, "uint8")), model_input(4, "uint8"))


def test_one_band_of_floats_goes_in_as_it_is_where_that_is_asked_for():
    asked = choose(model_input(1), name="array")
    values = np.random.default_rng(0).normal(size=(8, 8)).astype(np.float32)
    inputs, _ = prepare(from_array(values), asked, model_input(1))

    np.testing.assert_array_equal(inputs[0, 0], values)


def test_pixels_in_an_array_file_are_pixels_to_a_usual_model(tmp_path: Path):
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3)).astype(np.uint8)
    np.save(tmp_path / "p.npy", pixels)
    Image.fromarray(pixels).save(tmp_path / "p.png")
    shown = choose(model_input(3))
    one, other = (prepare(ddcam.open_image(tmp_path / name), shown, model_input(3))[0] for name in ("p.npy", "p.png"))

    np.testing.assert_array_equal(one, other)


def test_tiff_of_four_and_of_six_bands(tmp_path: Path):
    tifffile = pytest.importorskip("tifffile")
    for channels in (4, 6):
        bands = np.random.default_rng(0).integers(0, 256, (8, 8, channels)).astype(np.uint8)
        tifffile.imwrite(tmp_path / "b.tif", bands, photometric="rgb", planarconfig="contig")
        given = model_input(channels)
        inputs, _ = prepare(ddcam.open_image(tmp_path / "b.tif"), choose(given), given)
        np.testing.assert_array_equal(inputs[0], np.moveaxis(bands, 2, 0))


def test_damaged_and_crowded_array_files_are_refused(tmp_path: Path):
    (tmp_path / "cut.npy").write_bytes(b"\x93NUMPY\x01")
    np.savez(tmp_path / "two.npz", a=np.zeros(3), b=np.zeros(3))
    np.save(tmp_path / "words.npy", np.array(["a", "b"]))
    for name, text in (("cut.npy", "could not read it"), ("two.npz", "got a, b"), ("words.npy", "array of numbers")):
        with pytest.raises(PictureError, match=text):
            ddcam.open_image(tmp_path / name)
