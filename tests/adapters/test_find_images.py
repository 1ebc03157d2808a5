"""Names on a command line mean files, folders and patterns of pictures."""

from pathlib import Path

import pytest

from ddcam.adapters.images import find_images
from ddcam.engine.errors import PictureError


def refused(names):
    with pytest.raises(PictureError, match=r"^expected [^\n]*; [^\n]*$") as problem:
        find_images(names)
    return str(problem.value)


@pytest.fixture
def album(tmp_path, monkeypatch):
    for name in ("b.JPG", "a.png", "c.webp", "d.jfif", "notes.txt", ".hidden.png", "deep/e.png", "[1].png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_files_count_as_given(album):
    assert find_images(["notes.txt", "b.JPG", "a.png"]) == [Path("notes.txt"), Path("b.JPG"), Path("a.png")]
    assert find_images([album / "a.png"]) == [album / "a.png"]


def test_a_folder_means_the_pictures_directly_inside(album):
    names = [path.name for path in find_images([str(album)])]

    assert names == ["[1].png", "a.png", "b.JPG", "c.webp", "d.jfif"]


def test_a_pattern_is_expanded(album):
    assert find_images(["?.*"]) == [Path("a.png"), Path("b.JPG"), Path("c.webp"), Path("d.jfif")]
    assert find_images(["**/e.png"]) == [Path("deep/e.png")]
    assert find_images(["[1].png"]) == [Path("[1].png")]


def test_names_keep_their_order_and_count_once(album):
    assert find_images(["c.webp", "a.png", "*.png", "c.webp"]) == [Path("c.webp"), Path("a.png"), Path("[1].png")]


@pytest.mark.parametrize("names", [["missing.png"], ["*.bmp"], ["a.png", "nowhere"], ["empty"], [""], ["a\0"]])
def test_nothing_found_is_refused(album, names):
    (album / "empty").mkdir()

    assert "found nothing" in refused(names)


def test_no_names_at_all_are_refused():
    assert "got none" in refused([])
