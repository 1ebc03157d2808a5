"""Files of concepts and prototypes, and the commands that make them, given what they cannot use."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ddcam import cli

MODELS = Path(cli.__file__).parent / "models"
MODEL = MODELS / "digits_cnn_interacting.onnx"
PICTURES = MODELS / "pictures"
FITS = {
    "no pictures": (["nowhere"], "found nothing at 'nowhere'"),
    "no such class": ([PICTURES, "--target", "giraffe"], "'giraffe'"),
    "rank 0": ([PICTURES, "--rank", "0"], "--rank"),
    "more concepts than channels": ([PICTURES, "--rank", "33"], "a rank from 1 to 32"),
    "patches": ([PICTURES, "--units", "patch"], "leave out --units"),
}


@pytest.mark.parametrize(("arguments", "names"), FITS.values(), ids=FITS)
def test_a_fit_that_cannot_be(refused, arguments, names):
    refused("concepts", MODEL, *arguments, "-o", "c.npz", names=names)


def test_prototypes_of_a_head_that_is_no_matrix_or_of_too_few_pictures(refused):
    refused("prototypes", MODEL, PICTURES, "-o", "p.npz", names="take craft")
    refused("prototypes", MODELS / "digits_cnn_additive.onnx", "nowhere", "-o", "p.npz", names="found nothing")
    refused("prototypes", MODEL, PICTURES, "--steps", "-1", names="--steps")


def test_a_fit_does_not_overwrite(refused, tmp_path: Path):
    (tmp_path / "c.png").write_bytes(b"mine")

    refused("concepts", MODEL, PICTURES, "-o", "c.npz", names="c.png exists already")


def test_a_broken_picture_among_good_ones_is_left_out_and_named(ddcam, tmp_path: Path):
    Image.fromarray(np.zeros((32, 32), np.uint8)).save(tmp_path / "black.png")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    code, out, lines = ddcam("concepts", MODEL, PICTURES, tmp_path, "--target", "5", "--rank", "2", "-o", "c.npz")

    assert code == 0
    assert "2 concepts of five (5) in 112 crops of 7 pictures" in out
    assert any("left out: broken.png" in line for line in lines)
    assert sorted(path.name for path in tmp_path.glob("c.*")) == ["c.npz", "c.png"]


CONTENTS = {"nothing": None, "empty": b"", "text": b"concepts", "zip": b"PK\x03\x04" + b"\x00" * 40}


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
def test_explaining_with_what_is_no_file_of_concepts(refused, tmp_path: Path, content):
    if content is not None:
        (tmp_path / "c.npz").write_bytes(content)

    refused("explain", MODEL, PICTURES / "five_0.png", "--method", "craft:concepts=c.npz", names="ddcam concepts MODEL")


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
def test_explaining_with_what_is_no_file_of_prototypes(refused, tmp_path: Path, content):
    if content is not None:
        (tmp_path / "p.npz").write_bytes(content)
    model, method = MODELS / "digits_cnn_additive.onnx", "epic:prototypes=p.npz"

    refused("explain", model, PICTURES / "five_0.png", "--method", method, names="ddcam prototypes MODEL")


def test_explaining_without_a_file_or_with_one_of_another_model(ddcam, refused):
    refused("explain", MODEL, PICTURES / "five_0.png", "--method", "craft", names="ddcam concepts MODEL FOLDER")
    code, _, _ = ddcam("concepts", MODEL, PICTURES, "--target", "5", "--rank", "2", "-o", "c.npz")
    assert code == 0
    other = MODELS / "digits_vit.onnx"
    asked = ("--method", "craft:concepts=c.npz")
    refused("explain", other, PICTURES / "five_0.png", *asked, names="on another model")
    refused("explain", MODEL, PICTURES / "two_0.png", *asked, names="take --target 5")
