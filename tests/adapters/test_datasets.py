"""Data sets as people keep them: what is found in each format, and what is said of a damaged one."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ddcam import open_image
from ddcam.adapters.datasets import FORMATS, open_dataset
from ddcam.engine.dataset import Dataset, Sample
from ddcam.engine.errors import OptionError

XML = """<annotation><object><name>{0}</name><bndbox><xmin>2</xmin><ymin>3</ymin><xmax>6</xmax><ymax>7</ymax></bndbox>
</object><object><name>{0}</name><difficult>1</difficult><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax>
</bndbox></object></annotation>"""
BOX = (1.0, 2.0, 6.0, 7.0)
"""The box of XML from 0: VOC counts pixels from 1 and includes the last."""


def picture(path: Path, value: int = 9) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 8, 3), value, np.uint8)).save(path)
    return path


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def read(path: Path) -> Dataset:
    return open_dataset(path, open_image)


def told(data: Dataset) -> dict[str, tuple[object, ...]]:
    return {s.name: (s.label, *s.boxes) for s in data.samples}


def folders(root: Path) -> Path:
    picture(root / "cat" / "a.png")
    picture(root / "cat" / "deep" / "b.jpg")
    picture(root / "dog" / "a.png")
    (root / "empty").mkdir()
    return root


def table(root: Path) -> Path:
    picture(root / "a.png")
    return write(
        root / "all.csv", "file,label,xmin,ymin,xmax,ymax\na.png,cat,1,2,6,7\na.png,cat,0,0,1,1\na.png,4,0,0,2,2\n"
    )


def voc(root: Path) -> Path:
    picture(root / "JPEGImages" / "a.jpg")
    write(root / "Annotations" / "a.xml", XML.format("cat"))
    return root


def coco(root: Path) -> Path:
    picture(root / "val2017" / "a.jpg")
    content = {
        "images": [{"id": 7, "file_name": "a.jpg"}],
        "categories": [{"id": 90, "name": "dog"}, {"id": 3, "name": "cat"}],
        "annotations": [
            {"image_id": 7, "category_id": 3, "bbox": [1, 2, 5, 5]},
            {"image_id": 7, "category_id": 3, "bbox": [0, 0, 8, 8], "iscrowd": 1},
            {"image_id": 7, "category_id": 90, "bbox": [0, 0, 2, 2]},
        ],
    }
    write(root / "annotations" / "instances_val2017.json", json.dumps(content))
    return root


def imagenet(root: Path) -> Path:
    write(root / "LOC_synset_mapping.txt", "n00000001 tench, fish\nn00000002 goldfish\nn00000003 shark\n")
    picture(root / "ILSVRC/Data/CLS-LOC/val" / "one.JPEG")
    picture(root / "ILSVRC/Data/CLS-LOC/val" / "two.JPEG")
    write(root / "LOC_val_solution.csv", "ImageId,PredictionString\none,n00000002 1 2 6 7 n00000002 0 0 2 2 \n")
    write(root / "ILSVRC/Annotations/CLS-LOC/val/two.xml", XML.format("n00000003"))
    return root


def npz(root: Path) -> Path:
    images = np.arange(3 * 8 * 8, dtype=np.uint8).reshape(3, 8, 8)
    np.savez(root / "set.npz", test_images=images, test_labels=np.array([[2], [0], [1]]))
    return root / "set.npz"


MADE: dict[str, Callable[[Path], Path]] = {
    "folders": folders, "csv": table, "voc": voc, "coco": coco, "imagenet": imagenet, "npz": npz,
}  # fmt: skip
FOUND = {
    "folders": ({"cat/a.png": ("cat",), "cat/deep/b.jpg": ("cat",), "dog/a.png": ("dog",)}, ("cat", "dog")),
    "csv": ({"a.png#cat": ("cat", BOX, (0, 0, 1, 1)), "a.png#4": (4, (0, 0, 2, 2))}, ()),
    "voc": ({"a.jpg#cat": ("cat", BOX)}, ("cat",)),
    "coco": ({"a.jpg#cat": ("cat", (1, 2, 6, 7)), "a.jpg#dog": ("dog", (0, 0, 2, 2))}, ("cat", "dog")),
    "imagenet": (
        {"one.JPEG": ("n00000002", BOX, (0, 0, 2, 2)), "two.JPEG": ("n00000003", BOX)},
        ("n00000001", "n00000002", "n00000003"),
    ),
    "npz": ({"000000": (2,), "000001": (0,), "000002": (1,)}, ()),
}


def test_every_format_is_tested() -> None:
    assert set(MADE) == set(FORMATS) == set(FOUND)


@pytest.mark.parametrize("form", MADE)
def test_a_format_is_recognised_and_read(tmp_path: Path, form: str) -> None:
    path = MADE[form](tmp_path)
    samples, classes = FOUND[form]

    assert next(name for name, module in FORMATS.items() if module.recognises(path)) == form
    assert told(read(path)) == samples
    assert read(path).classes == classes


@pytest.mark.parametrize("form", MADE)
def test_every_picture_opens(tmp_path: Path, form: str) -> None:
    for sample in read(MADE[form](tmp_path)).samples:
        assert sample.open().pixels.shape == (8, 8, 3)


def test_pictures_without_folders_have_no_labels(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")

    assert told(read(tmp_path)) == {"a.png": (None,)}


def test_the_pixels_of_an_array_are_those_of_its_place(tmp_path: Path) -> None:
    [_, second, _] = read(npz(tmp_path)).samples

    assert (second.open().pixels[..., 0] == np.arange(64, 128).reshape(8, 8)).all()


def test_class_folders_named_like_imagenets_are_in_the_order_of_the_mapping_above_them(tmp_path: Path) -> None:
    write(tmp_path / "LOC_synset_mapping.txt", "n00000001 a\nn00000005 b\n")
    picture(tmp_path / "val" / "n00000005" / "x.JPEG")
    data = read(tmp_path / "val")

    assert told(data) == {"n00000005/x.JPEG": ("n00000005",)}
    assert data.classes == ("n00000001", "n00000005")


def test_a_table_may_have_its_boxes_in_one_column(tmp_path: Path) -> None:
    write(tmp_path / "all.tsv", "image\tclass\tboxes\na.png\tcat\t1 2 3 4; 5 6 7 8\nb.png\t\t\n")

    assert told(read(tmp_path / "all.tsv")) == {"a.png": ("cat", (1, 2, 3, 4), (5, 6, 7, 8)), "b.png": (None,)}


def damaged_npz(root: Path) -> Path:
    np.savez(root / "set.npz", images=np.zeros((2, 4, 4)))
    return root / "set.npz"


def pickled(root: Path) -> Path:
    np.savez(root / "set.npz", images=np.array([Sample], object))
    return root / "set.npz"


DAMAGED: dict[str, tuple[Callable[[Path], Path], str]] = {
    "nothing there": (lambda root: root / "nowhere", "expected a data set, found nothing at"),
    "no format": (lambda root: write(root / "a.txt", ""), "expected a data set as npz, csv, coco"),
    "no pictures": (lambda root: root, "expected pictures in .*found none"),
    "no column": (lambda root: write(root / "a.csv", "one,two\n1,2\n"), "expected a column path or file"),
    "no box": (lambda root: write(root / "a.csv", "path,boxes\na.png,1 2 3\n"), "line 2 of a.csv, got '1 2 3'"),
    "not UTF-8": (lambda root: Path((root / "a.csv").write_bytes(b"path\n\xff\xfe") and root / "a.csv"), "in UTF-8"),
    "no JSON": (lambda root: write(root / "a.json", "{"), "expected JSON in"),
    "a list": (lambda root: write(root / "a.json", "[]"), "expected a JSON object in"),
    "no COCO": (lambda root: write(root / "a.json", '{"images": 3}'), "expected images, annotations with bbox"),
    "no zip": (lambda root: write(root / "a.npz", "rubbish"), "expected an NPZ file of plain arrays"),
    "objects": (pickled, "expected an NPZ file of plain arrays"),
    "floats": (damaged_npz, r"expected uint8 pictures .* got images float64\[2, 4, 4\]"),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_what_cannot_be_read_is_refused_in_one_line(tmp_path: Path, kind: str) -> None:
    make, message = DAMAGED[kind]

    with pytest.raises(OptionError, match=message) as refused:
        read(make(tmp_path))
    assert "\n" not in str(refused.value)


def test_a_damaged_annotation_is_named(tmp_path: Path) -> None:
    write(voc(tmp_path) / "Annotations" / "b.xml", "<annotation><object></annotation>")

    with pytest.raises(OptionError, match=r"expected XML in .*b\.xml"):
        read(tmp_path)


def test_a_broken_solution_line_is_named(tmp_path: Path) -> None:
    write(imagenet(tmp_path) / "LOC_val_solution.csv", "ImageId,PredictionString\none,n00000002 1 2 6\n")

    with pytest.raises(OptionError, match=r"line 2 of .*LOC_val_solution\.csv"):
        read(tmp_path)
