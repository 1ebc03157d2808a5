"""Fitted files: whatever the bytes are, they are read as numbers of the declared form or refused in one line."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from ddcam.engine.errors import FittedFileError, OutputError
from ddcam.engine.fitted.archive import Kind, read_archive, write_archive

KIND = Kind("things", "things MODEL", {"values": ("float32", 2), "marks": ("uint8", 1)})
ARRAYS = {"values": np.arange(6.0).reshape(2, 3), "marks": np.arange(4)}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write_archive(tmp_path / "t.npz", KIND, {"a": 1}, ARRAYS, replace=False)
    return tmp_path / "t.npz"


def members(file: Path, **changed: bytes | None) -> None:
    """Write a file again with members replaced."""
    with zipfile.ZipFile(file) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in (content | {f"{name}.npy": data for name, data in changed.items()}).items():
            if data is not None:
                archive.writestr(name, data)


def npy(array: np.ndarray, tmp_path: Path) -> bytes:
    np.save(tmp_path / "x.npy", array, allow_pickle=True)
    return (tmp_path / "x.npy").read_bytes()


def test_a_file_is_plain_npz_and_comes_back(file):
    found = read_archive(file, KIND)

    assert found.header == {"format": "ddcam things", "version": 1, "a": 1}
    np.testing.assert_array_equal(found.arrays["values"], ARRAYS["values"])
    with np.load(file, allow_pickle=False) as plain:
        assert set(plain.files) == {"header", "values", "marks"}


def test_an_existing_file_stays_unless_it_may_be_replaced(file):
    with pytest.raises(OutputError, match="--force"):
        write_archive(file, KIND, {}, ARRAYS, replace=False)
    write_archive(file, KIND, {"a": 2}, ARRAYS, replace=True)

    assert read_archive(file, KIND).header["a"] == 2
    assert [path.name for path in file.parent.iterdir()] == ["t.npz"]


@pytest.mark.parametrize(
    "array",
    [np.array([{"a": 1}], object), np.zeros((2, 3), np.float64), np.zeros(3, np.float32), np.full((2, 3), np.nan, "f4"),
     np.zeros((2, 3), ">f4"), np.array(["x"])],
    ids=["objects", "float64", "one axis", "nan", "big-endian", "text"],
)  # fmt: skip
def test_arrays_of_another_form_are_refused(file, tmp_path, array):
    members(file, values=npy(array, tmp_path))

    with pytest.raises(FittedFileError, match=r"damaged.*; make one with ddcam things"):
        read_archive(file, KIND)


def test_a_shape_that_the_bytes_do_not_fill_is_refused(file, tmp_path):
    full = npy(np.zeros((2, 3), np.float32), tmp_path)
    members(file, values=full.replace(b"(2, 3)", b"(2,9**9)"))
    with pytest.raises(FittedFileError):
        read_archive(file, KIND)
    members(file, values=full[:-4])
    with pytest.raises(FittedFileError):
        read_archive(file, KIND)


def test_packed_members_are_refused(file, tmp_path):
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("header", "values", "marks"):
            archive.writestr(f"{name}.npy", npy(np.zeros((1000, 1000), np.float32), tmp_path))

    with pytest.raises(FittedFileError, match="damaged"):
        read_archive(file, KIND)


def test_missing_members_other_kinds_and_versions_are_refused(file, tmp_path):
    other = Kind("others", "others MODEL", KIND.arrays)
    with pytest.raises(FittedFileError, match="not a file of others"):
        read_archive(file, other)
    for header in ({"format": "ddcam things", "version": 2}, [], {}, "x"):
        text = np.frombuffer(json.dumps(header).encode(), np.uint8)
        members(file, header=npy(text, tmp_path))
        with pytest.raises(FittedFileError, match="of things"):
            read_archive(file, KIND)
    members(file, marks=None)
    with pytest.raises(FittedFileError, match="damaged"):
        read_archive(file, KIND)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x93NUMPY" + b"\x00" * 100, b"x" * 1000])
def test_no_archive_at_all_is_refused(tmp_path, content):
    (tmp_path / "t.npz").write_bytes(content)

    for path in (tmp_path / "t.npz", tmp_path, tmp_path / "nowhere.npz"):
        with pytest.raises(FittedFileError):
            read_archive(path, KIND)


def test_every_byte_may_be_wrong(file):
    whole = bytearray(file.read_bytes())
    for place in np.random.default_rng(0).integers(0, len(whole), 200):
        bad = whole.copy()
        bad[place] ^= 0xFF
        file.write_bytes(bad)
        try:
            read_archive(file, KIND)
        except FittedFileError:
            continue
