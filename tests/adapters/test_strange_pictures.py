"""What strangers send is decoded as files are, but nothing is unpacked whose size is not known beforehand."""

import io

import numpy as np
import pytest
from PIL import Image

import ddcam
from ddcam.adapters.images import decode_strange
from ddcam.engine.errors import PictureError
from ddcam.models import demo_pictures

PIXELS = np.random.default_rng(0).integers(0, 256, (8, 9, 3), np.uint8)


def encoded(kind: str) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(PIXELS).save(stream, kind)
    return stream.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM"])
def test_pictures_are_what_files_are(kind: str) -> None:
    np.testing.assert_array_equal(decode_strange("x", encoded(kind), 72).pixels, PIXELS)


def test_a_file_is_the_same_either_way() -> None:
    path = demo_pictures()[0]
    got, expected = decode_strange(path.name, path.read_bytes(), 10**6), ddcam.open_image(path)
    np.testing.assert_array_equal(got.pixels, expected.pixels)
    assert (got.name, got.sha256) == (expected.name, expected.sha256)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM"])
def test_more_pixels_than_allowed_are_refused(kind: str) -> None:
    with pytest.raises(PictureError, match="expected up to 71 pixels in 'x', got 9x8"):
        decode_strange("x", encoded(kind), 71)


def test_arrays_come_as_they_are() -> None:
    stream = io.BytesIO()
    np.save(stream, PIXELS.astype(np.float32))
    values = decode_strange("x", stream.getvalue(), 1).values
    assert values is not None
    np.testing.assert_array_equal(values, PIXELS)


def test_a_header_alone_takes_no_memory() -> None:
    stream = io.BytesIO()
    np.save(stream, np.zeros(4))
    huge = stream.getvalue().replace(b"(4,), }      ", b"(9999999999,)")[:200]
    assert b"9999999999" in huge
    with pytest.raises(PictureError, match="could not read it"):
        decode_strange("x", huge, 1)


def test_archives_are_not_unpacked() -> None:
    stream = io.BytesIO()
    np.savez_compressed(stream, np.zeros(10**6))
    assert len(stream.getvalue()) < 10_000
    with pytest.raises(PictureError, match="something else"):
        decode_strange("x", stream.getvalue(), 10**8)


def test_a_tiff_of_many_bands_is_not_unpacked() -> None:
    tifffile = pytest.importorskip("tifffile")
    stream = io.BytesIO()
    tifffile.imwrite(stream, np.zeros((64, 64, 6), np.uint16), photometric="minisblack", planarconfig="contig")
    with pytest.raises(PictureError):
        decode_strange("x", stream.getvalue(), 10**8)
