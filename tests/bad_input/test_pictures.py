"""Pictures that are none, are damaged or gigantic, and odd ones that must work."""

import io
import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def model(digits: Path) -> Path:
    return digits


def image() -> Image.Image:
    rng = np.random.default_rng(3)
    return Image.fromarray(rng.integers(0, 256, (24, 36, 3)).astype(np.uint8))


def saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def bomb() -> bytes:
    """A PNG of some hundred bytes whose header promises 2 500 000 000 pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


DAMAGED: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "zero bytes": ("a.png", lambda: b"", "an empty file"),
    "text": ("a.jpg", lambda: b"this is no picture\n", "got something else"),
    "truncated JPEG": ("a.jpg", lambda: saved(image(), "JPEG")[:700], "whole JPEG picture"),
    "truncated PNG": ("a.png", lambda: saved(image(), "PNG")[:900], "whole PNG picture"),
    "header alone": ("a.png", lambda: saved(image(), "PNG")[:33], "damaged file"),
    "bomb": ("a.png", bomb, "expected up to 89478485 pixels"),
    "PostScript": ("a.png", lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "got something else"),
    "model": ("a.png", lambda: b"\x08\x08\x12\x07pytorch", "got something else"),
    "endlessly thin": ("a.png", lambda: saved(Image.new("L", (1_000_000, 1)), "PNG"), "cut the picture"),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_damaged(refused, model: Path, tmp_path: Path, kind: str) -> None:
    name, content, names = DAMAGED[kind]
    (tmp_path / name).write_bytes(content())

    refused("explain", model, name, names=names)


def test_missing(refused, model: Path) -> None:
    refused("explain", model, "nowhere.png", names="found nothing at 'nowhere.png'")


def test_folder_without_pictures(refused, model: Path, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "notes.txt").write_text("no picture")

    refused("explain", model, "folder", names="pictures directly inside")


def test_pattern_without_a_match(refused, model: Path) -> None:
    refused("explain", model, "*.jpeg", names="'*.jpeg'")


def test_name_too_long(refused, model: Path) -> None:
    refused("explain", model, "a" * 300 + ".png", names="found nothing")


def test_name_that_steers_the_terminal(refused, model: Path) -> None:
    refused("explain", model, "a\x1b[2J\nddcam: fine.png", names="found nothing")


def test_device_file(refused, model: Path) -> None:
    refused("explain", model, "/dev/zero", names="found nothing at '/dev/zero'")


def test_one_bad_picture_among_good_ones(ddcam, model: Path, digit: Path, tmp_path: Path) -> None:
    """The good ones are explained, the bad one is named in one line, and the exit code is 1."""
    (tmp_path / "bad.png").write_bytes(b"no picture")

    code, out, lines = ddcam("explain", model, digit, "bad.png", digit.with_name("six_0.png"), "-o", "out")

    assert code == 1
    assert len(out.splitlines()) == 4
    assert [line for line in lines if line.startswith("ddcam: ")] == [lines[1]]
    assert lines[1].startswith("ddcam: bad.png: expected a picture")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["six_0", "two_0"]


def test_nothing_but_bad_pictures(ddcam, model: Path, tmp_path: Path) -> None:
    for name in ("one.png", "two.png"):
        (tmp_path / name).write_bytes(b"no picture")

    code, out, lines = ddcam("explain", model, "one.png", "two.png", "-o", "out")

    assert (code, out, len(lines)) == (1, "", 2)
    assert not (tmp_path / "out").exists()


def deep() -> Image.Image:
    ramp = np.arange(24 * 36).reshape(24, 36) * 75
    return Image.fromarray(ramp.astype(np.uint16))


def animated() -> bytes:
    frames = [image().rotate(90 * i) for i in range(3)]
    return saved(frames[0], "GIF", save_all=True, append_images=frames[1:])


ODD: dict[str, Callable[[], bytes]] = {
    "1 x 1": lambda: saved(Image.new("RGB", (1, 1), "red"), "PNG"),
    "1 x 3000": lambda: saved(Image.new("RGB", (1, 3000), "red"), "PNG"),
    "3000 x 1": lambda: saved(Image.new("RGB", (3000, 1), "red"), "PNG"),
    "CMYK": lambda: saved(image().convert("CMYK"), "JPEG"),
    "16 bit grey": lambda: saved(deep(), "PNG"),
    "1 bit": lambda: saved(image().convert("1"), "PNG"),
    "palette with transparency": lambda: saved(image().quantize(16), "PNG", transparency=3),
    "grey with alpha": lambda: saved(image().convert("LA"), "PNG"),
    "floats": lambda: saved(image().convert("F"), "TIFF"),
    "animated GIF": animated,
    "damaged EXIF": lambda: saved(image(), "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff"),
}


@pytest.mark.parametrize("kind", ODD)
def test_odd_but_right(ddcam, model: Path, tmp_path: Path, kind: str) -> None:
    (tmp_path / "odd").write_bytes(ODD[kind]())

    code, out, lines = ddcam("explain", model, "odd", "-o", "out")

    assert code == 0, lines
    assert "channels suffice" in out
    assert (tmp_path / "out" / "panel.png").stat().st_size > 0


def test_a_turned_picture_is_explained_upright(ddcam, model: Path, digit: Path, tmp_path: Path) -> None:
    """EXIF orientation 6 means: turn the stored pixels by a quarter clockwise."""
    upright = Image.open(digit).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = 6
    upright.save("upright.png")
    upright.transpose(Image.Transpose.ROTATE_90).save("turned.png", exif=exif)

    assert ddcam("explain", model, "upright.png", "turned.png", "-o", "out")[0] == 0

    found = [json.loads((tmp_path / "out" / name / "manifest.json").read_text()) for name in ("upright", "turned")]
    maps = [np.load(tmp_path / "out" / name / "saliency.npy") for name in ("upright", "turned")]
    assert found[0]["target"] == found[1]["target"]
    assert found[0]["subset"] == found[1]["subset"]
    assert np.array_equal(maps[0], maps[1])


def test_a_name_that_is_no_utf8(ddcam, model: Path, digit: Path, tmp_path: Path) -> None:
    """A picture from an old disk, its name in Latin-1."""
    name = b"caf\xe9.png".decode("utf-8", "surrogateescape")
    try:
        (tmp_path / name).write_bytes(digit.read_bytes())
    except OSError:
        pytest.skip("this file system takes only UTF-8 names")

    assert ddcam("explain", model, name, "-o", "out")[0] == 0
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["picture"]["file"] == name
    assert ddcam("explain", model, name, "-o", "other", "--json")[0] == 0
    assert ddcam("verify", "out", model, name)[0] == 0
