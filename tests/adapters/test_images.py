"""Every kind of picture file opens upright, in RGB, 8 bit."""

import hashlib
import struct
import warnings

import numpy as np
import pytest
from PIL import Image

from ddcam.adapters.images import open_image
from ddcam.engine.preprocess import choose, prepare
from ddcam.engine.types import PictureInput

COLORS = np.array(
    [[(250, 10, 20), (30, 240, 50), (10, 40, 230)], [(0, 0, 0), (255, 255, 255), (128, 90, 60)]], np.uint8
)
UPRIGHT = np.kron(COLORS, np.ones((16, 16, 1), np.uint8))
"""Six tiles: [32, 48, 3], different whichever way it is turned."""


def saved(folder, image, name="picture.png", **options):
    path = folder / name
    image.save(path, **options)
    return path


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif", "a.ppm", "a.webp", "a.jp2"])
def test_files_without_loss_keep_every_pixel(tmp_path, name):
    options = {"lossless": True} if name == "a.webp" else {}
    path = saved(tmp_path, Image.fromarray(UPRIGHT), name, **options)

    picture = open_image(path)

    assert np.array_equal(picture.pixels, UPRIGHT)
    assert picture.pixels.dtype == np.uint8
    assert picture.name == name
    assert picture.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_jpeg_is_close_and_a_string_is_a_path(tmp_path):
    path = saved(tmp_path, Image.fromarray(UPRIGHT), "a.JPEG", quality=95, subsampling=0)

    assert np.abs(open_image(str(path)).pixels.astype(int) - UPRIGHT).max() < 12


def test_the_suffix_does_not_matter(tmp_path):
    path = saved(tmp_path, Image.fromarray(UPRIGHT), "a.txt", format="PNG")

    assert np.array_equal(open_image(path).pixels, UPRIGHT)


TURNS = {
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.swapaxes(0, 1),
    6: lambda upright: np.rot90(upright, 1),
    7: lambda upright: upright[::-1, ::-1].swapaxes(0, 1),
    8: lambda upright: np.rot90(upright, -1),
}
"""How the camera stored an upright scene, by EXIF orientation."""


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif", "a.webp"])
def test_pictures_are_upright_by_their_exif_orientation(tmp_path, name, orientation):
    stored = np.ascontiguousarray(TURNS[orientation](UPRIGHT))
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path, Image.fromarray(stored), name, exif=exif, quality=95)

    pixels = open_image(path).pixels

    assert pixels.shape == UPRIGHT.shape
    centers = pixels[8::16, 8::16].astype(int)
    assert np.abs(centers - COLORS).max() < 40


def test_an_orientation_that_does_not_exist_is_ignored(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 77
    path = saved(tmp_path, Image.fromarray(UPRIGHT), exif=exif)

    assert np.array_equal(open_image(path).pixels, UPRIGHT)


def test_damaged_exif_does_not_spoil_the_picture(tmp_path):
    path = saved(tmp_path, Image.fromarray(UPRIGHT), "a.jpg", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xffrubbish")

    assert open_image(path).pixels.shape == UPRIGHT.shape


@pytest.mark.parametrize("mode", ["L", "1", "P", "CMYK"])
def test_other_modes_become_the_rgb_that_pillow_makes_of_them(tmp_path, mode):
    image = Image.fromarray(UPRIGHT).convert(mode)
    path = saved(tmp_path, image, "a.tif")

    assert np.array_equal(open_image(path).pixels, np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_alpha_is_laid_over_white(tmp_path, mode):
    alpha = np.repeat(np.array([0, 128, 255], np.uint8), 16)[None].repeat(32, 0)
    grey = Image.fromarray(UPRIGHT).convert("L")
    image = {"RGBA": Image.merge("RGBA", [grey, grey, grey, Image.fromarray(alpha)])}.get(mode)
    image = image or Image.merge("LA", [grey, Image.fromarray(alpha)])
    path = saved(tmp_path, image, "a.tif" if mode == "PA" else "a.png")

    pixels = open_image(path).pixels

    a, g = alpha.astype(float) / 255, np.asarray(grey).astype(float)
    assert np.abs(pixels - (g * a + 255 * (1 - a))[..., None]).max() <= 1


def test_transparent_colours_of_a_palette_are_white(tmp_path):
    image = Image.fromarray(UPRIGHT).quantize(8)
    index = image.getpixel((8, 8))
    path = saved(tmp_path, image, "a.gif", transparency=index)

    pixels = open_image(path).pixels

    assert pixels[8, 8].tolist() == [255, 255, 255]
    assert np.abs(pixels[8, 24].astype(int) - COLORS[0, 1]).max() < 10


def test_a_transparent_colour_of_an_rgb_png_is_white(tmp_path):
    path = saved(tmp_path, Image.fromarray(UPRIGHT), transparency=(250, 10, 20))

    pixels = open_image(path).pixels

    assert (pixels[:16, :16] == 255).all()
    assert np.array_equal(pixels[16:], UPRIGHT[16:])


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_sixteen_bits_are_divided_by_257(tmp_path, name):
    deep = (np.arange(256, dtype=np.uint16) * 257).reshape(16, 16)
    path = saved(tmp_path, Image.fromarray(deep), name)

    assert np.array_equal(open_image(path).pixels[..., 1], np.arange(256).reshape(16, 16))


def test_sixteen_bits_are_not_stretched_to_their_range(tmp_path):
    path = saved(tmp_path, Image.fromarray(np.full((4, 4), 1000, np.uint16)))

    assert (open_image(path).pixels == 4).all()


def test_a_deep_pgm_is_sixteen_bits(tmp_path):
    path = tmp_path / "a.pgm"
    path.write_bytes(b"P5 2 1 65535\n" + struct.pack(">2H", 257, 25700))

    assert open_image(path).pixels[0, :, 0].tolist() == [1, 100]


@pytest.mark.parametrize("kind", [np.int32, np.float32])
def test_integers_and_floats_go_from_their_minimum_to_their_maximum(tmp_path, kind):
    path = saved(tmp_path, Image.fromarray(np.array([[-1000, 0], [500, 1000]], kind)), "a.tif")

    assert open_image(path).pixels[..., 0].tolist() == [[0, 128], [191, 255]]


def test_floats_that_are_not_finite_are_black(tmp_path):
    path = saved(tmp_path, Image.fromarray(np.array([[np.nan, 2], [np.inf, 4]], np.float32)), "a.tif")
    assert open_image(path).pixels[..., 0].tolist() == [[0, 0], [0, 255]]

    path = saved(tmp_path, Image.fromarray(np.full((2, 2), np.nan, np.float32)), "b.tif")
    assert (open_image(path).pixels == 0).all()

    path = saved(tmp_path, Image.fromarray(np.full((2, 2), 7, np.float32)), "c.tif")
    assert (open_image(path).pixels == 0).all()


@pytest.mark.parametrize("name", ["a.gif", "a.png", "a.webp"])
def test_of_an_animation_the_first_frame_counts(tmp_path, name):
    frames = [Image.new("RGB", (20, 10), color) for color in ("red", "lime", "blue")]
    path = saved(tmp_path, frames[0], name, save_all=True, append_images=frames[1:], lossless=True)

    pixels = open_image(path).pixels

    assert pixels.shape == (10, 20, 3)
    assert (pixels == (255, 0, 0)).all()


def test_a_picture_goes_into_a_model(tmp_path):
    model_input = PictureInput("input", "float32", "NCHW", 3, 32, 48, True)

    found, _ = prepare(open_image(saved(tmp_path, Image.fromarray(UPRIGHT))), choose(model_input), model_input)

    assert found.shape == (1, 3, 32, 48)


def test_no_warning_reaches_the_caller(tmp_path):
    """A palette with transparency in bytes makes Pillow warn."""
    image = Image.fromarray(UPRIGHT).quantize(8)
    path = saved(tmp_path, image, transparency=bytes([0, 100, 200, 255]))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        open_image(path)

    assert not caught
