"""Links are refused, but for those by which the Hugging Face cache keeps its files."""

from pathlib import Path

import pytest

from ddcam.engine.errors import UnsafeModelError
from ddcam.engine.graph.external import contained


@pytest.fixture
def snapshot(tmp_path: Path) -> Path:
    """Lay out a repository of the cache with one blob, another repository, and a file outside."""
    for name in ("models--a/blobs", "models--a/snapshots/f00/onnx", "models--b/blobs"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("models--a/blobs/b10b", "models--b/blobs/0ther", "secret"):
        (tmp_path / name).write_bytes(b"1")
    return tmp_path / "models--a/snapshots/f00"


@pytest.mark.parametrize("folder", ["", "onnx"])
def test_a_link_to_a_blob_of_the_same_repository_is_followed(snapshot: Path, folder: str) -> None:
    blob = snapshot.parents[1] / "blobs/b10b"
    (snapshot / folder / "weights.bin").symlink_to(blob)

    assert contained("weights.bin", snapshot / folder, "w") == blob.resolve()


@pytest.mark.parametrize(
    "target", ["../../../secret", "../../../models--b/blobs/0ther", "../../blobs", "../../blobs/no"]
)
def test_a_link_to_anything_else_is_refused(snapshot: Path, target: str) -> None:
    (snapshot / "weights.bin").symlink_to(target)

    with pytest.raises(UnsafeModelError, match="a link or no regular file"):
        contained("weights.bin", snapshot, "w")
