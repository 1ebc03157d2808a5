"""The catalogue says of each model what it must, and takes nothing else for a model."""

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from ddcam.adapters.console.printed import markdown
from ddcam.engine.errors import OptionError
from ddcam.engine.preprocess.metadata import from_record
from ddcam.models.catalogue import ZOO, catalogue, find_entry, read_catalogue, table_of

GOOD = """
[preprocessing.grey]
name = "unit"
[labels]
two = ["no", "yes"]
[models.net-1]
about = "a net"
url = "https://host.org/a/net-1.onnx"
sha256 = "{sha}"
size = 10
licence = "MIT"
preprocessing = "grey"
labels = "two"
""".replace("{sha}", "a" * 64)


def read(tmp_path: Path, text: str):
    file = tmp_path / "zoo.toml"
    file.write_text(text, "utf-8")
    return read_catalogue(file)


def test_every_entry_is_of_its_own(tmp_path: Path) -> None:
    entries = list(catalogue().values())

    assert len(entries) >= 12
    for fact in ("name", "url", "sha256"):
        assert len({getattr(entry, fact) for entry in entries}) == len(entries), fact


def test_every_url_ends_like_an_onnx_file_and_says_which() -> None:
    for entry in catalogue().values():
        name = urlsplit(entry.url).path.rsplit("/", 1)[1]
        assert name.endswith(".onnx")
        assert name == f"{entry.name}.onnx" or entry.name == "squeezenet1.0-fp16"


def test_every_entry_says_the_size_and_fit_of_its_pictures() -> None:
    for entry in catalogue().values():
        record = from_record(entry.preprocessing, entry.recipe)
        assert record.values is not None
        assert record.size is not None
        assert record.fit is not None
        assert record.resample is not None
        assert len(entry.labels) == {"imagenet": 1000, "digits": 10, "emotions": 8}[entry.naming]


def test_a_name_finds_its_entry() -> None:
    assert find_entry("mnist-12").size == 26143

    with pytest.raises(OptionError, match="expected a model of the catalogue, got 'mnist'; see ddcam models list"):
        find_entry("mnist")


def test_the_document_is_the_catalogue() -> None:
    """Print it anew with `ddcam models list --format markdown` where this fails."""
    text = (ZOO.parents[1] / "docs" / "catalogue.md").read_text(encoding="utf-8")

    assert text.split("<!-- models -->")[1].strip() == markdown(table_of())


def test_a_good_entry_is_read(tmp_path: Path) -> None:
    entry = read(tmp_path, GOOD)["net-1"]

    assert (entry.size, entry.labels, entry.preprocessing) == (10, ("no", "yes"), {"name": "unit"})


NAMES = [
    "../x",
    "a/b",
    "a\\\\b",
    ".hidden",
    "dots.",
    "UPPER",
    "",
    "a" * 65,
    "a b",
    "é",
    "/etc",
    "c:x",
    "..",
    "a\\u0000",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_is_more_than_a_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(OptionError, match="expected a name of"):
        read(tmp_path, GOOD.replace("[models.net-1]", f'[models."{name}"]'))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('url = "https:', 'url = "http:'),
        ('url = "https://host.org/a', 'url = "file:///a'),
        ("/a/net-1", "/../../net-1"),
        ("/a/net-1", "/.ssh/net-1"),
        ("/a/net-1", "/a/%2e%2e/net-1"),
        ("host.org", "user:secret@host.org"),
        ("net-1.onnx", "net-1.onnx?x=1"),
        ("net-1.onnx", "net-1.onnx\\r\\nHost: x"),
        ("a" * 64, "A" * 64),
        ("a" * 64, "a" * 63),
        ("size = 10", "size = 0"),
        ("size = 10", "size = -1"),
        ("size = 10", "size = true"),
        ("size = 10", "size = 1.5"),
        ("size = 10", "size = 99999999999999"),
        ("size = 10", 'size = "10"'),
        ('"MIT"', '""'),
        ('"MIT"', "3"),
        ('"a net"', '"a\\u001b[2J"'),
        ('preprocessing = "grey"', 'preprocessing = "none"'),
        ('preprocessing = "grey"', "preprocessing = 3"),
        ('name = "unit"', 'name = "none"'),
        ('name = "unit"', "height = 5"),
        ('name = "unit"', "strange = 5"),
        ('labels = "two"', 'labels = "three"'),
        ('labels = "two"', 'labels = ["a", "b"]'),
        ('["no", "yes"]', '["no"]'),
        ('["no", "yes"]', '["no", 3]'),
        ('["no", "yes"]', '"no"'),
        ("size = 10", ""),
        ("size = 10", "size = 10\nextra = 1"),
        ("[labels]", "[other]"),
        ("[models.net-1]", "[[models.net-1]]"),
        ("[models.net-1]", "[[models]]"),
        ("[models.net-1]", "[models.net-1"),
    ],
)
def test_an_entry_that_is_not_as_it_must_be_is_refused(tmp_path: Path, old: str, new: str) -> None:
    assert old in GOOD

    with pytest.raises(OptionError, match=r"zoo\.toml") as refused:
        read(tmp_path, GOOD.replace(old, new))
    assert str(refused.value).isprintable()


def test_a_catalogue_that_is_not_there_or_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "zoo.toml").write_bytes(b"\xff\xfe")

    for file in (tmp_path / "zoo.toml", tmp_path / "none.toml", tmp_path):
        with pytest.raises(OptionError, match="expected a catalogue of models"):
            read_catalogue(file)
