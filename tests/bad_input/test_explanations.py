"""Explanation folders that are none, are damaged, or do not say the truth."""

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Manifest = dict[str, Any]


def manifest_of(folder: Path) -> Manifest:
    found: Manifest = json.loads((folder / "manifest.json").read_text())
    return found


def rewrite(folder: Path, change: Callable[[Manifest], object]) -> None:
    manifest = manifest_of(folder)
    change(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def put(*keys: str | int, value: object) -> Callable[[Manifest], None]:
    """Change one entry of a manifest."""

    def change(manifest: Manifest) -> None:
        place: Any = manifest
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = value

    return change


def test_what_the_other_tests_damage_is_sound(ddcam, why: Path, digits: Path, digit: Path) -> None:
    assert len(manifest_of(why)["subset"]) >= 2
    for arguments in ([digit], []):
        code, out, lines = ddcam("verify", "why", digits, *arguments)

        assert (code, lines) == (0, [])
        assert out.startswith("verified: ")


CONTENTS = {
    "empty": (b"", "damaged"),
    "text": (b"subset: 1, 2, 3\n", "damaged"),
    "cut off": (b'{"schema_version": 1, "subset": [1,', "damaged"),
    "bytes": (bytes(range(256)), "damaged"),
    "deep": (b"[" * 100_000, "damaged"),
    "long number": (b'{"schema_version": ' + b"9" * 5000 + b"}", "damaged"),
    "null": (b"null", "schema_version 1"),
    "of the future": (b'{"schema_version": 2}', "got 2"),
    "nothing but a version": (b'{"schema_version": 1}', "expected units.kind"),
}


@pytest.mark.parametrize("kind", CONTENTS)
def test_no_manifest_at_all(refused, why: Path, digits: Path, kind: str) -> None:
    content, names = CONTENTS[kind]
    (why / "manifest.json").write_bytes(content)

    refused("verify", "why", digits, names=names)


@pytest.mark.parametrize("name", ["nowhere", "picture.png"])
def test_no_folder(refused, digits: Path, picture: Path, name: str) -> None:
    refused("verify", name, digits, names="expected an explanation folder")


def test_name_too_long(refused, digits: Path) -> None:
    refused("verify", "a" * 300, digits, names="expected an explanation folder")


def test_no_manifest_or_a_folder_of_that_name(refused, why: Path, digits: Path) -> None:
    (why / "manifest.json").unlink()
    refused("verify", "why", digits, names="has no manifest.json")
    (why / "manifest.json").mkdir()
    refused("verify", "why", digits, names="has no manifest.json")


NEEDED = ["units", "subset", "predicate", "split", "model", "picture", "target", "preprocessing", "certificate", "top"]


FORMS = {"subset": list, "predicate": str}
VALUES = [None, 7, "a", [], {}, ["\ud800"]]
WRONG = [(key, value) for key in NEEDED for value in VALUES if not isinstance(value, FORMS.get(key, ()))]


@pytest.mark.parametrize(("key", "value"), WRONG, ids=ascii)
def test_entry_of_a_wrong_form(refused, why: Path, digits: Path, key: str, value: object) -> None:
    rewrite(why, put(key, value=value))

    refused("verify", "why", digits, names="why/manifest.json: expected ")


@pytest.mark.parametrize("key", NEEDED)
def test_entry_missing(refused, why: Path, digits: Path, key: str) -> None:
    rewrite(why, lambda manifest: manifest.pop(key))

    refused("verify", "why", digits, names=key)


ENTRIES: dict[str, tuple[Callable[[Manifest], object], str]] = {
    "units outside": (put("subset", value=[0, 64]), "outside 0..63"),
    "units below": (put("subset", value=[-1, 0]), "outside 0..63"),
    "units in disorder": (put("subset", value=[3, 1]), "in order"),
    "units twice": (put("subset", value=[1, 1]), "in order"),
    "units as text": (put("subset", value=["1", "2"]), "whole numbers"),
    "units as lists": (put("subset", value=[[1], [2]]), "whole numbers"),
    "units as truth": (put("subset", value=[False, True]), "whole numbers"),
    "units without end": (put("subset", value=list(range(500_000))), "outside 0..63"),
    "more units": (put("units", "count", value=65), "65 units, the model has 64"),
    "endlessly many units": (put("units", "count", value=10**15), "the model has 64"),
    "no units": (put("units", "count", value=0), "outside"),
    "kind of unit": (put("units", "kind", value="pixel"), "pixel"),
    "kind of unit that this split has not": (put("units", "kind", value="token"), "token"),
    "patches of no size": (put("units", "kind", value="patch"), "split.patch of type int"),
    "patches of no model": (put("split", "patch", value=4), "add --units patch"),
    "split": (put("split", "tensor", value="nowhere"), "cannot split at 'nowhere'"),
    "split that steers the terminal": (put("split", "tensor", value="\x1b[2J\n\ud800"), "cannot split"),
    "output": (put("model", "output", value="nowhere"), "no output 'nowhere'"),
    "target": (put("target", "index", value=10), "'10'"),
    "target below": (put("target", "index", value=-1), "'-1'"),
    "predicate": (put("predicate", value="everything"), "unknown predicate"),
    "top without an index": (put("top", value=[{}]), "top.0.index"),
    "top as text": (put("top", 0, "index", value="2"), "top.0.index of type int"),
    "flag as number": (put("certificate", "minimal", value=1), "certificate.minimal of type bool"),
    "height as text": (put("preprocessing", "height", value="32"), "manifest.json"),
    "gigantic height": (put("preprocessing", "height", value=10**9), "manifest.json"),
    "other height": (put("preprocessing", "height", value=64), "32x32"),
    "no mean": (put("preprocessing", "mean", value=None), "mean"),
    "two means": (put("preprocessing", "mean", value=[0.0, 0.0]), "mean"),
    "three means": (put("preprocessing", "mean", value=[0.0, 0.1, 0.2]), "mean"),
    "mean not a number": (put("preprocessing", "mean", value=[float("nan")]), "mean"),
    "std 0": (put("preprocessing", "std", value=[0]), "std"),
    "crop 0": (put("preprocessing", "crop", value=0), "crop"),
    "tiny crop": (put("preprocessing", "crop", value=1e-300), "crop"),
    "infinite scale": (put("preprocessing", "scale", value=float("inf")), "scale"),
    "colours": (put("preprocessing", "color", value="CMYK"), "color"),
    "fit": (put("preprocessing", "fit", value="squeeze"), "fit"),
    "resampling": (put("preprocessing", "resample", value="magic"), "resample"),
    "key too much": (put("preprocessing", "gamma", value=2), "gamma"),
}


@pytest.mark.parametrize("kind", ENTRIES)
def test_entry_that_cannot_be(refused, why: Path, digits: Path, digit: Path, kind: str) -> None:
    change, names = ENTRIES[kind]
    rewrite(why, change)

    refused("verify", "why", digits, digit, names=names)


def drop_unit(manifest: Manifest) -> None:
    del manifest["subset"][0]


def add_unit(manifest: Manifest) -> None:
    manifest["subset"] = sorted([*manifest["subset"], next(i for i in range(64) if i not in manifest["subset"])])


UNTRUE: dict[str, tuple[Callable[[Manifest], object], str]] = {
    "a unit too few": (drop_unit, "does NOT keep"),
    "a unit too many": (add_unit, "some unit of it can be dropped"),
    "no unit": (put("subset", value=[]), "does NOT keep"),
    "kind of unit": (put("units", "kind", value="cell"), "NOT"),
    "target": (put("target", "index", value=3), "NOT"),
    "all units": (put("subset", value=list(range(64))), "some unit of it can be dropped"),
    "certificate": (put("certificate", "minimal", value=False), "the manifest says minimal: False"),
    "decision": (put("top", 0, "index", value=3), "the model decides for 2"),
    "predicate": (put("predicate", value="confidence:1"), "NOT"),
}


@pytest.mark.parametrize("arguments", [1, 0], ids=["picture", "arrays"])
@pytest.mark.parametrize("kind", UNTRUE)
def test_what_is_not_true_does_not_verify(
    ddcam, why: Path, digits: Path, digit: Path, kind: str, arguments: int
) -> None:
    change, names = UNTRUE[kind]
    rewrite(why, change)

    code, out, lines = ddcam("verify", "why", digits, *[digit][:arguments])

    assert (code, lines) == (1, [])
    assert out.startswith("NOT verified: ")
    assert names in out
    assert json.loads(ddcam("verify", "why", digits, "--json")[1])["agrees"] is False


def test_another_model(refused, why: Path, digits: Path, digit: Path) -> None:
    for name in ("digits_cnn_interacting.onnx", "digits_vit.onnx"):
        refused("verify", "why", digits.with_name(name), digit, names="is not the one that was explained")


def test_a_changed_model(refused, why: Path, digits: Path, digit: Path, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(digits.read_bytes() + b"\x1a\x00")

    refused("verify", "why", "model.onnx", digit, names="is not the one that was explained")


def test_no_model(refused, why: Path, digit: Path) -> None:
    refused("verify", "why", digit, names="is not an ONNX model")


def test_another_picture(refused, why: Path, digits: Path, digit: Path) -> None:
    other = digit.with_name("six_0.png")

    refused("verify", "why", digits, other, names="six_0.png is not the one that was explained")


def test_no_picture_and_no_arrays(refused, why: Path, digits: Path) -> None:
    for name in ("input", "features"):
        (why / f"{name}.npy").unlink()

    refused("verify", "why", digits, names="give the picture too")


def as_npy(array: object, **options: bool) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, **options)
    return stream.getvalue()


def as_npz() -> bytes:
    stream = io.BytesIO()
    np.savez(stream, input=np.zeros(3))
    return stream.getvalue()


def promising() -> bytes:
    """A file of some bytes whose header promises 4 000 000 000 000 of them."""
    return as_npy(np.zeros(1, np.float32)).replace(b"(1,)" + b" " * 20, b"(1000000000000,)".ljust(24))


class Bomb:
    """Unpickled, this would make a file."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return Path.touch, (Path("exploded"),)  # type: ignore[return-value]


ARRAYS: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "text": lambda _: b"1 2 3",
    "cut off": lambda content: content[:-10],
    "header alone": lambda content: content[:60],
    "a bit flipped": lambda content: content[:-1] + bytes([content[-1] ^ 1]),
    "object": lambda _: as_npy(np.array([Bomb()], object), allow_pickle=True),
    "other shape": lambda _: as_npy(np.zeros((1, 1, 5, 5), np.float32)),
    "no shape": lambda _: as_npy(np.float32(3)),
    "other rank": lambda _: as_npy(np.zeros((1, 32), np.float32)),
    "other type": lambda _: as_npy(np.zeros((1, 1, 32, 32), np.float64)),
    "not finite": lambda content: as_npy(np.full_like(np.load(io.BytesIO(content)), np.nan)),
    "archive": lambda _: as_npz(),
    "promising": lambda _: promising(),
}


@pytest.mark.parametrize("name", ["input", "features"])
@pytest.mark.parametrize("kind", ["empty", "cut off", "a bit flipped", "object"])
def test_array_damaged_later(refused, why: Path, digits: Path, kind: str, name: str) -> None:
    put_array(why, name, ARRAYS[kind])

    refused("verify", "why", digits, names=f"{name}.npy is not the file that was written")


@pytest.mark.parametrize("name", ["input", "features"])
@pytest.mark.parametrize("kind", [kind for kind in ARRAYS if kind != "a bit flipped"])
def test_array_made_like_that(refused, why: Path, digits: Path, kind: str, name: str) -> None:
    """Its sha256 is what the manifest says."""
    path = put_array(why, name, ARRAYS[kind])
    rewrite(why, put("files", path.name, value=hashlib.sha256(path.read_bytes()).hexdigest()))

    refused("verify", "why", digits, names="not finite" if kind == "not finite" else f"{name}.npy")
    assert not Path("exploded").exists()


def put_array(folder: Path, name: str, change: Callable[[bytes], bytes]) -> Path:
    """Change an array; the features count only where there is no input."""
    path = folder / f"{name}.npy"
    path.write_bytes(change(path.read_bytes()))
    if name == "features":
        (folder / "input.npy").unlink()
    return path
