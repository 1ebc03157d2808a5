"""A pulled model is whole or not there, says how it is fed, and is fetched once."""

import hashlib
import json
import os
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import onnx
import pytest

import ddcam
from ddcam.engine.errors import DownloadError, OptionError, OutputError
from ddcam.models import cache, catalogue, demo_path
from ddcam.models.cache import cache_folder, file_of, is_pulled, mirrored, model_path, pull, records, rows
from ddcam.models.catalogue import Entry

PROTO = onnx.load(demo_path("digits_cnn_additive"))
onnx.helper.set_model_props(PROTO, {})  # what a file says itself goes before what lies beside it
CONTENT = PROTO.SerializeToString()
ENTRY = Entry(
    name="digits",
    about="a small net",
    url="https://host.org/models/digits.onnx",
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    size=len(CONTENT),
    licence="MIT",
    recipe="digit",
    preprocessing={"name": "unit", "fit": "stretch"},
    naming="digits",
    labels=tuple("abcdefghij"),
)


class Source:
    """A fetch that gives `contents` in turn, and notes what it was asked for."""

    def __init__(self, *contents: bytes) -> None:
        self.left, self.asked = list(contents), []

    def __call__(self, url: str, part: Path, size: int) -> Iterator[int]:
        self.asked.append((url, part.stat().st_size if part.exists() else 0))
        part.write_bytes(self.left.pop(0))
        yield part.stat().st_size


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DDCAM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "catalogue", lambda: {"digits": ENTRY})
    monkeypatch.setattr(catalogue, "catalogue", lambda: {"digits": ENTRY})
    return tmp_path / "cache"


def names(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


def test_a_pulled_model_is_loaded_with_its_preprocessing_and_labels() -> None:
    assert list(pull(ENTRY, Source(CONTENT)))[-1] == ENTRY.size
    opened = ddcam.load(model_path("digits")).opened

    assert opened.preprocessing.fit == "stretch"
    assert opened.preprocessing.reason == "unit from the preprocessing record beside the model"
    assert opened.labels.names == tuple("abcdefghij")
    assert names(file_of(ENTRY).parent) == {"digits.onnx", "config.json", ".lock"}


def test_what_is_there_and_right_is_not_fetched_again() -> None:
    list(pull(ENTRY, Source(CONTENT)))

    assert list(pull(ENTRY, Source())) == [ENTRY.size]


@pytest.mark.parametrize("damaged", [CONTENT[:-1], CONTENT + b"x", b"", CONTENT[:-1] + b"\0"])
def test_what_is_there_and_wrong_is_fetched_again(damaged: bytes) -> None:
    list(pull(ENTRY, Source(CONTENT)))
    file_of(ENTRY).write_bytes(damaged)

    list(pull(ENTRY, Source(CONTENT)))

    assert file_of(ENTRY).read_bytes() == CONTENT


def test_a_damaged_file_is_noticed_where_it_is_asked_for() -> None:
    list(pull(ENTRY, Source(CONTENT)))
    file_of(ENTRY).write_bytes(CONTENT[:100])

    with pytest.raises(DownloadError, match=r"expected \d+ bytes in .*, got 100: it is damaged; run ddcam models pull"):
        model_path("digits")
    assert not is_pulled(ENTRY)


def test_a_model_that_is_not_pulled_says_how_to() -> None:
    with pytest.raises(OptionError, match="digits is not on this machine yet; run ddcam models pull digits"):
        model_path("digits")


def test_a_file_with_another_sha256_is_never_kept() -> None:
    with pytest.raises(DownloadError, match=r"expected a file with sha256 .*, got .*; nothing is kept") as refused:
        list(pull(ENTRY, Source(b"x" * ENTRY.size)))

    assert ENTRY.sha256 in str(refused.value)
    assert names(file_of(ENTRY).parent) == {".lock"}


def test_a_resumed_file_with_another_sha256_is_fetched_once_more_from_the_beginning() -> None:
    file_of(ENTRY).parent.mkdir(parents=True)
    part = file_of(ENTRY).with_name("digits.onnx.part")
    part.write_bytes(b"stale")
    source = Source(b"stale" + CONTENT[5:], CONTENT)

    list(pull(ENTRY, source))

    assert [have for _, have in source.asked] == [5, 0]
    assert file_of(ENTRY).read_bytes() == CONTENT

    part.write_bytes(b"stale")
    file_of(ENTRY).unlink()
    with pytest.raises(DownloadError, match="nothing is kept"):
        list(pull(ENTRY, Source(b"stale" + CONTENT[5:], b"wrong" + CONTENT[5:])))
    assert not part.exists()


def test_an_interrupted_pull_leaves_its_part_and_no_model() -> None:
    def interrupted(url: str, part: Path, size: int) -> Iterator[int]:
        part.write_bytes(CONTENT[:10])
        yield 10
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(pull(ENTRY, interrupted))
    assert names(file_of(ENTRY).parent) == {"digits.onnx.part", ".lock"}

    source = Source(CONTENT)
    list(pull(ENTRY, source))
    assert source.asked == [(ENTRY.url, 10)]


def test_several_that_pull_at_once_fetch_once_and_all_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "WAIT", 0.01)
    source, started, ended = Source(CONTENT), threading.Event(), []

    def slow(url: str, part: Path, size: int) -> Iterator[int]:
        started.set()
        part.write_bytes(CONTENT[:100])
        yield 100
        while len(waiting) < 3:
            pass
        yield from source(url, part, size)

    waiting: set[int] = set()

    def one(number: int) -> None:
        for done in pull(ENTRY, slow):
            if done == 100 and number:
                waiting.add(number)
        ended.append(model_path("digits").read_bytes())

    threads = [threading.Thread(target=one, args=(number,)) for number in range(4)]
    threads[0].start()
    started.wait(5)
    for thread in threads[1:]:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert ended == [CONTENT] * 4
    assert len(source.asked) == 1


def test_the_config_follows_the_catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    list(pull(ENTRY, Source(CONTENT)))
    newer = replace(ENTRY, preprocessing={"name": "raw"})
    monkeypatch.setattr(catalogue, "catalogue", lambda: {"digits": newer})

    file = model_path("digits").with_name("config.json")

    assert json.loads(file.read_text("utf-8"))["preprocessing"] == {"name": "raw"}
    before = file.stat().st_mtime_ns
    model_path("digits")
    assert file.stat().st_mtime_ns == before


def test_a_disk_that_fills_up_is_told_in_one_line() -> None:
    def full(url: str, part: Path, size: int) -> Iterator[int]:
        yield 1
        raise OSError(28, "No space left on device", str(part))

    with pytest.raises(OutputError, match=r"^cannot write .*digits\.onnx\.part: No space left on device$"):
        list(pull(ENTRY, full))


def test_a_cache_that_cannot_be_made_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("DDCAM_CACHE", str(tmp_path / "file"))

    with pytest.raises(OutputError, match=r"^cannot write .*file.*: "):
        list(pull(ENTRY, Source(CONTENT)))
    with pytest.raises(OptionError, match="not on this machine"):
        model_path("digits")


@pytest.mark.parametrize(
    ("mirror", "expected"),
    [
        ("http://10.0.0.1:8080", "http://10.0.0.1:8080/models/digits.onnx"),
        ("https://mirror.org/hf/", "https://mirror.org/hf/models/digits.onnx"),
    ],
)
def test_a_mirror_takes_the_place_of_scheme_and_host(mirror: str, expected: str) -> None:
    source = Source(CONTENT)
    list(pull(ENTRY, source, mirror))

    assert source.asked[0][0] == expected


@pytest.mark.parametrize(
    "mirror",
    ["file:///x", "ftp://h", "host", "//host", "http://", "http://a@b", "http://h:x", "http://h?q", "http://h#f"],
)
def test_what_is_no_mirror_is_refused(mirror: str) -> None:
    with pytest.raises(OptionError, match="expected a mirror like https://host/path"):
        mirrored(ENTRY.url, mirror)


def test_the_cache_is_where_the_platform_keeps_such_things(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_folder() == home
    monkeypatch.delenv("DDCAM_CACHE")
    monkeypatch.setattr(Path, "home", lambda: Path("/home/x"))
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", os.path.abspath("/big/cache"))
    assert cache_folder() == Path(os.path.abspath("/big/cache/ddcam"))
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_folder() == Path("/home/x/.cache/ddcam")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert cache_folder() == Path("/home/x/Library/Caches/ddcam")
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", "/data/local")
    assert cache_folder() == Path("/data/local/ddcam/Cache")


def test_no_home_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("DDCAM_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(Path, "home", homeless)

    with pytest.raises(OptionError, match="set DDCAM_CACHE"):
        cache_folder()


def test_lists_say_what_is_pulled() -> None:
    assert rows()[0]["pulled"] == "-"
    assert json.loads(records())[0]["path"] is None

    list(pull(ENTRY, Source(CONTENT)))

    assert rows()[0]["pulled"] == "yes"
    assert json.loads(records())[0]["path"] == str(model_path("digits"))
    assert json.loads(records())[0]["sha256"] == ENTRY.sha256
