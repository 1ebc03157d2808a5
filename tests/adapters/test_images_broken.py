"""What is no picture, not whole or too large is refused in one line, never with a traceback."""

import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from ddcam.adapters.images import open_image
from ddcam.engine.errors import PictureError

NOISE = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)


def saved(folder, name="picture.png"):
    path = folder / name
    Image.fromarray(NOISE).save(path)
    return path


def refused(path):
    with pytest.raises(PictureError) as problem:
        open_image(path)
    text = str(problem.value)
    assert text.startswith("expected ")
    assert "\n" not in text
    assert "; " in text
    return text


def test_a_missing_file_a_folder_and_a_path_that_cannot_be_are_refused(tmp_path):
    assert "found nothing at" in refused(tmp_path / "missing.png")
    assert "is a folder" in refused(tmp_path)
    assert "null" in refused("a\0.png")
    assert "check the file" in refused(tmp_path / ("x" * 5000))
    assert "found nothing" in refused("line\nbreak.png")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")

    assert "neither a file nor a folder" in refused(tmp_path / "pipe.png")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read every file")
def test_an_unreadable_file_is_refused(tmp_path):
    path = saved(tmp_path)
    path.chmod(0)

    assert "Permission denied" in refused(path)


def test_an_empty_file_is_refused(tmp_path):
    (tmp_path / "empty.png").touch()

    assert "got an empty file" in refused(tmp_path / "empty.png")


def test_a_file_above_the_limit_is_refused_before_it_is_read_whole(tmp_path, monkeypatch):
    monkeypatch.setattr("ddcam.adapters.images.BYTE_LIMIT", 100)
    path = saved(tmp_path, "a.bmp")

    assert "expected 1 to 100 bytes" in refused(path)


@pytest.mark.parametrize("text", [b"not a picture", b"\x00" * 500, b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a"])
def test_what_is_no_picture_is_refused(tmp_path, text):
    path = tmp_path / "a.png"
    path.write_bytes(text)

    assert str(path) in refused(path)


def test_postscript_is_refused_and_never_run(tmp_path):
    path = saved(tmp_path, "a.eps")

    assert "expected a picture (JPEG, PNG" in refused(path)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.gif", "a.bmp", "a.tif", "a.webp", "a.ppm", "a.jp2"])
def test_a_file_cut_anywhere_opens_whole_or_is_refused(tmp_path, name):
    whole = saved(tmp_path, name).read_bytes()
    path = tmp_path / f"cut{name}"
    refusals = 0
    for length in np.linspace(1, len(whole) - 1, 40).astype(int):
        path.write_bytes(whole[:length])
        try:
            assert open_image(path).pixels.shape == (40, 50, 3)
        except PictureError:
            assert refused(path)
            refusals += 1
    assert refusals >= 36


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.gif", "a.bmp", "a.tif", "a.webp", "a.ppm"])
def test_damaged_files_never_end_in_a_traceback(tmp_path, name):
    whole = saved(tmp_path, name).read_bytes()
    rng = np.random.default_rng(0)
    path = tmp_path / f"damaged{name}"
    for _ in range(60):
        damaged = np.frombuffer(whole, np.uint8).copy()
        damaged[rng.integers(0, min(len(whole), 400), 4)] = rng.integers(0, 256, 4)
        path.write_bytes(damaged.tobytes())
        try:
            picture = open_image(path)
        except PictureError as error:
            assert len(str(error).splitlines()) == 1  # noqa: PT017
        else:
            assert picture.pixels.shape[2] == 3


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@pytest.mark.parametrize(("width", "height"), [(9460, 9460), (20000, 20000), (2**31 - 1, 2**31 - 1)])
def test_a_decompression_bomb_is_refused_by_its_header(tmp_path, width, height):
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    path = tmp_path / "bomb.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(99))))

    assert "expected up to 89478485 pixels" in refused(path)
