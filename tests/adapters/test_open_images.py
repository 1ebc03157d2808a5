"""Pictures come out one after the other, whatever they came in; what is hostile or broken is refused in one line."""

import io
import struct
import threading
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ddcam import open_image, open_images
from ddcam.adapters.sources import archive, web
from ddcam.engine.errors import DdcamError, OptionError, PictureError
from ddcam.engine.preprocess import from_pixels

NOISE = np.random.default_rng(0).integers(0, 256, (3, 20, 30, 3), dtype=np.uint8)


def png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    for index, pixels in enumerate(NOISE):
        (tmp_path / "in" / f"{index}.png").write_bytes(png(pixels))
    return tmp_path / "in"


def zipped(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name.replace("__", "/"), content)
    return path


def assert_noise(found: list[Any]) -> None:
    assert len(found) == len(NOISE)
    for picture, pixels in zip(found, NOISE, strict=True):
        np.testing.assert_array_equal(picture.pixels, pixels)


def test_files_folders_patterns_and_lists_of_them(folder: Path) -> None:
    files = sorted(folder.iterdir())

    for source in (folder, str(folder), str(folder / "*.png"), files, iter(files), [files[0], [files[1:]]]):
        found = list(open_images(source))
        assert_noise(found)
        assert [picture.name for picture in found] == ["0.png", "1.png", "2.png"]
    assert next(open_images(files[0])).sha256 == open_image(files[0]).sha256


def test_archives_arrays_bytes_and_objects(folder: Path, tmp_path: Path) -> None:
    inside = {f"b__{i}.png": png(pixels) for i, pixels in enumerate(NOISE)}
    path = zipped(tmp_path / "all.ZIP", **inside, __MACOSX__x=b"x", **{"b__.hidden.png": b"x", "notes.txt": b"x"})
    np.savez(tmp_path / "all.npz", images=NOISE)

    found = list(open_images(path))
    assert_noise(found)
    assert [picture.name for picture in found] == ["b/0.png", "b/1.png", "b/2.png"]
    assert found[0].sha256 == open_image(folder / "0.png").sha256
    assert_noise(list(open_images(tmp_path / "all.npz")))
    assert_noise(list(open_images(NOISE)))
    assert_noise(list(open_images(list(NOISE))))
    assert_noise(list(open_images([png(pixels) for pixels in NOISE])))
    assert_noise(list(open_images([Image.fromarray(pixels) for pixels in NOISE])))
    assert_noise(list(open_images([from_pixels(pixels) for pixels in NOISE])))
    assert [p.pixels.shape for p in open_images(NOISE[..., 0])] == [(20, 30, 3)] * 3


def test_an_image_of_pillow_stays_as_it_is() -> None:
    stream = io.BytesIO()
    exif = Image.Exif()
    exif[274] = 6  # turned by 90 degrees
    Image.fromarray(NOISE[0]).save(stream, "JPEG", exif=exif)
    image = Image.open(stream)

    assert next(open_images(image)).pixels.shape == (30, 20, 3)
    assert image.size == (30, 20)


def test_pictures_are_opened_when_they_are_asked_for(folder: Path) -> None:
    pictures = open_images(folder)
    next(pictures)
    (folder / "1.png").write_bytes(b"no picture")

    with pytest.raises(PictureError, match=r"1\.png"):
        next(pictures)


def test_broken_pictures_are_told_and_passed_over(folder: Path, tmp_path: Path) -> None:
    (folder / "1.png").write_bytes(png(NOISE[1])[:300])
    path = zipped(tmp_path / "all.zip", a=b"", **{"a.png": png(NOISE[0]), "b.png": b"no", "c.png": png(NOISE[2])})

    for source in (folder, path):
        told: list[PictureError] = []
        assert len(list(open_images(source, broken=told.append))) == 2
        assert len(told) == 1
        assert "\n" not in str(told[0])


def damaged(tmp_path: Path, kind: str) -> Path:
    """Make an archive of one kind of malice."""
    path = zipped(tmp_path / "bad.zip", **{"a.png": png(NOISE[0])})
    content = bytearray(path.read_bytes())
    entry = content.index(b"PK\x01\x02")
    match kind:
        case "cut":
            content = content[: len(content) // 2]
        case "declared huge":
            struct.pack_into("<I", content, entry + 24, 0xFFFFFF00)
        case "declared small":
            struct.pack_into("<I", content, entry + 24, 100)
        case "encrypted":
            content[6] |= 1
            content[entry + 8] |= 1
        case "wrong sum":
            content[60] ^= 0xFF
        case "unknown compression":
            struct.pack_into("<H", content, 8, 77)
            struct.pack_into("<H", content, entry + 10, 77)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    "kind", ["cut", "declared huge", "declared small", "encrypted", "wrong sum", "unknown compression"]
)
def test_a_damaged_or_hostile_archive_is_refused_in_one_line(tmp_path: Path, kind: str) -> None:
    with pytest.raises(PictureError, match=r"^expected ") as found:
        list(open_images(damaged(tmp_path, kind)))
    assert "\n" not in str(found.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.zip"]


def test_a_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "LIMIT", 1 << 20)
    path = zipped(tmp_path / "bomb.zip", **{"zeros.bmp": bytes(1 << 24)})

    assert path.stat().st_size < 1 << 16
    with pytest.raises(PictureError, match=r"expected up to 1048576 bytes in 'zeros\.bmp' of .* got 16777216"):
        list(open_images(path))


def test_names_that_climb_out_of_an_archive_lead_nowhere(tmp_path: Path) -> None:
    path = zipped(tmp_path / "slip.zip", **{"../../evil.png": png(NOISE[0]), "/etc/evil.png": png(NOISE[1])})

    assert [picture.name for picture in open_images(path)] == ["../../evil.png", "/etc/evil.png"]
    assert [file.name for file in tmp_path.iterdir()] == ["slip.zip"]


@pytest.mark.parametrize("source", [3, 2.5, None, [None]])
def test_another_kind_of_source_is_refused(source: Any) -> None:
    with pytest.raises(OptionError, match=r"^expected pictures as a file"):
        list(open_images(source))


def test_nothing_there_is_refused(tmp_path: Path) -> None:
    zipped(tmp_path / "empty.zip", notes=b"x")
    (tmp_path / "no.npz").write_bytes(b"no")

    for source in (tmp_path / "missing", tmp_path / "missing.zip", tmp_path / "empty.zip", tmp_path / "no.npz", ""):
        with pytest.raises(DdcamError, match=r"^expected "):
            list(open_images(source))


# ----- the web -----


class Answers(BaseHTTPRequestHandler):
    """A server with good and bad manners."""

    def do_GET(self) -> None:
        content = png(NOISE[0])
        if self.path.startswith("/to-"):
            self.send_response(302)
            self.send_header("Location", {"/to-file": "file:///etc/passwd", "/to-ftp": "ftp://127.0.0.1/x"}.get(
                self.path, "/picture.png"))  # fmt: skip
            self.end_headers()
            return
        self.send_response(404 if self.path == "/missing.png" else 200)
        self.end_headers()
        if self.path == "/endless.png":
            content = bytes(1 << 20)
        with suppress(ConnectionError):
            self.wfile.write(content[:300] if self.path == "/cut.png" else content)
        if self.path == "/slow.png":
            self.server.stop.wait(5)  # type: ignore[attr-defined]

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    serving = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    serving.stop = threading.Event()  # type: ignore[attr-defined]
    thread = threading.Thread(target=serving.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{serving.server_address[1]}"
    serving.stop.set()  # type: ignore[attr-defined]
    serving.shutdown()
    serving.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def direct(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(web, "TIMEOUT", 1.0)


@pytest.mark.parametrize("path", ["/picture.png", "/picture.png?size=2", "/to-another"])
def test_a_url_is_fetched_when_that_is_asked_for(server: str, path: str) -> None:
    [picture] = open_images(server + path, urls=True)

    np.testing.assert_array_equal(picture.pixels, NOISE[0])
    assert picture.name in ("picture.png", "to-another")


def test_a_url_is_not_fetched_otherwise(server: str) -> None:
    with pytest.raises(PictureError, match="only with urls=True"):
        list(open_images(f"{server}/picture.png"))


@pytest.mark.parametrize("path", ["/missing.png", "/cut.png", "/slow.png", "/endless.png", "/to-file", "/to-ftp"])
def test_bad_answers_are_refused_in_one_line(server: str, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "LIMIT", 1 << 16)

    with pytest.raises(PictureError, match=r"^expected ") as found:
        list(open_images(server + path, urls=True))
    assert "\n" not in str(found.value)


def test_a_whole_that_takes_too_long_is_given_up(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "SECONDS", -1.0)

    with pytest.raises(PictureError, match="got a part of it"):
        list(open_images(f"{server}/picture.png", urls=True))


@pytest.mark.parametrize("url", ["ftp://host/a.png", "file:///a.png", "http://", "https://host:port/a.png"])
def test_what_is_no_url_of_the_web_is_refused(url: str) -> None:
    with pytest.raises(PictureError, match=r"^expected "):
        list(open_images(url, urls=True))
