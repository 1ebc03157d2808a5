"""Model files that are no model, are damaged, or keep their weights where a model has no business."""

import os
import random
from pathlib import Path

import onnx
import pytest


def test_small_model_can_be_explained(ddcam, small, picture: Path, tmp_path: Path) -> None:
    """What the other tests damage is sound before."""
    onnx.save(small, tmp_path / "model.onnx")

    code, out, lines = ddcam("explain", "model.onnx", picture, "-o", "out")

    assert (code, lines) == (0, ["written to out"])
    assert "certified 1-minimal" in out
    assert (tmp_path / "out" / "manifest.json").is_file()


def test_missing(refused, picture: Path) -> None:
    refused("explain", "nowhere.onnx", picture, names="no such model file: nowhere.onnx")


def test_name_too_long(refused, picture: Path) -> None:
    refused("explain", "a" * 300 + ".onnx", picture, names="too long")


def test_folder(refused, picture: Path, tmp_path: Path) -> None:
    (tmp_path / "folder.onnx").mkdir()

    refused("explain", "folder.onnx", picture, names="not a regular file")


def test_empty(no_model) -> None:
    no_model(b"", "empty (0 bytes)")


def test_text(no_model) -> None:
    no_model(b"# not a model\nbut a text of some lines\n", "not an ONNX model")


def test_picture_named_onnx(no_model, picture: Path) -> None:
    no_model(picture.read_bytes(), "not an ONNX model")


def test_pointer_of_git_lfs(no_model) -> None:
    no_model(b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", "not an ONNX model")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_truncated(no_model, digits: Path, share: float) -> None:
    content = digits.read_bytes()

    no_model(content[: int(share * len(content))], "not an ONNX model")


@pytest.mark.parametrize("seed", range(8))
def test_flipped_bits(ddcam, digits: Path, digit: Path, tmp_path: Path, seed: int) -> None:
    """Five bits flipped one after the other: a model that still explains, or one line."""
    for place in flipped_bits(digits, 5, seed):
        content = bytearray(digits.read_bytes())
        content[place // 8] ^= 1 << place % 8
        (tmp_path / "model.onnx").write_bytes(content)

        code, _, lines = ddcam("explain", "model.onnx", digit, "-o", f"out{place}")

        assert code in (0, 2), place
        assert len([line for line in lines if line.startswith("ddcam: ")]) == (code == 2), (place, lines)
        assert (tmp_path / f"out{place}").exists() == (code == 0)


def flipped_bits(path: Path, count: int, seed: int) -> list[int]:
    """Choose bits, half of them outside the weights: those fill the middle of the file."""
    rng, size = random.Random(seed), path.stat().st_size * 8
    edges = [*range(2000 * 8), *range(size - 1500 * 8, size)]
    return [rng.choice(edges) if i % 2 else rng.randrange(size) for i in range(count)]


@pytest.fixture
def outside(small, tmp_path: Path):
    """Return a function that writes the model with its first weight outside, at a location with other entries."""
    data = small.graph.initializer[0].raw_data
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret.bin").write_bytes(data)

    def write(location: str, **entries: str) -> str:
        tensor = small.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        for key, value in {"location": location, **entries}.items():
            tensor.external_data.add(key=key, value=value)
        (folder / "model.onnx").write_bytes(small.SerializeToString())
        return "model/model.onnx"

    return write


def test_external_data_beside_the_model_are_read(ddcam, outside, picture: Path, tmp_path: Path) -> None:
    model = outside("weights.bin")
    (tmp_path / "secret.bin").rename(tmp_path / "model" / "weights.bin")

    assert ddcam("explain", model, picture, "-o", "out")[0] == 0


@pytest.mark.parametrize(
    ("location", "names"),
    [
        ("weights.bin", "no such file"),
        ("../secret.bin", "outside the model's folder"),
        ("sub/../../secret.bin", "outside the model's folder"),
        ("..\\secret.bin", "outside the model's folder"),
        ("/etc/passwd", "outside the model's folder"),
        ("C:\\secret.bin", "outside the model's folder"),
        ("weights\0.bin", "no such file"),
        ("w" * 300, "no such file"),
        ("", "outside the model's folder"),
        (".", "a link"),
        ("link.bin", "a link"),
        ("hard.bin", "a link"),
        ("linked/secret.bin", "a link"),
        ("pipe", "no regular file"),
    ],
)
def test_external_data_elsewhere(refused, outside, picture: Path, tmp_path: Path, location: str, names: str) -> None:
    folder = tmp_path / "model"
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    (folder / "linked").symlink_to(tmp_path)
    os.link(tmp_path / "secret.bin", folder / "hard.bin")
    os.mkfifo(folder / "pipe")

    refused("explain", outside(location), picture, names=names)


@pytest.mark.parametrize(
    ("entries", "names"),
    [
        ({"offset": "400"}, "w0"),
        ({"offset": "4000"}, "at 4000"),
        ({"offset": "-4"}, "at -4"),
        ({"length": "-1"}, "-1 bytes"),
        ({"length": "433"}, "433 bytes"),
        ({"length": "16"}, "w0"),
        ({"offset": "many"}, "numbers"),
        ({"offset": "9" * 5000}, "numbers"),
        ({"offset": str(2**63)}, "copy the weights again"),
    ],
)
def test_external_data_of_the_wrong_size(
    refused, outside, picture: Path, tmp_path: Path, entries: dict[str, str], names: str
) -> None:
    (tmp_path / "secret.bin").rename(tmp_path / "model" / "weights.bin")

    refused("explain", outside("weights.bin", **entries), picture, names=names)
