"""Bulk runs on a local Ray of two workers: the files of a run without it, also where a worker is killed."""

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from many import many_pictures

from ddcam import Picture, open_image
from ddcam.engine.bulk import bulk
from ddcam.engine.bulk_rows import COLUMNS
from ddcam.engine.bulk_shard import Job, part_name
from ddcam.engine.bulk_workers import locally
from ddcam.engine.errors import PictureError, RunError
from ddcam.models import demo_path

ray = pytest.importorskip("ray", reason="Ray (the extra `ray`) is not installed")
pytestmark = [
    pytest.mark.slow,  # a cluster is started
    # Warnings of Ray's own: it leaves files and sockets open, and calls what its dependencies deprecate.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
]
COUNT, SHARD = 60, 6


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    many_pictures(folder, COUNT)
    (folder / "003.png").write_bytes(b"no picture")
    return folder


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.fixture
def job(tmp_path: Path, pictures: Path) -> Job:
    return Job(demo_path("digits_cnn_additive"), tmp_path / "out", pictures, open_image, maps="zip")


def files(job: Job, deal: Any) -> dict[str, bytes]:
    names = sorted(path.name for path in job.root.iterdir())
    assert list(bulk(job, names, size=SHARD, deal=deal))[-1] == (COUNT, COUNT)
    return {path.name: path.read_bytes() for path in job.folder.iterdir() if path.name != "plan.json"}


def dying_once(mark: Path, name: str) -> Callable[[Path], Picture]:
    """Return what opens pictures and kills its process at one of them, the first time; it travels by value."""

    def opener(path: Path) -> Picture:
        if path.name == name and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return open_image(path)

    return opener


def test_files_are_those_of_a_run_without_ray_though_a_worker_is_killed(job: Job, tmp_path: Path) -> None:
    from ddcam.adapters.ray import on_ray  # noqa: PLC0415

    expected = files(replace(job, folder=tmp_path / "local"), partial(locally, workers=1))
    mark = tmp_path / "killed"
    found = files(replace(job, opener=dying_once(mark, "033.png")), partial(on_ray, workers=2))

    assert mark.exists()
    assert {part_name(9, "jsonl"), part_name(9, "zip")} < set(found)
    assert found == expected


def test_a_refusal_on_a_worker_is_one_line(job: Job) -> None:
    from ddcam.adapters.ray import on_ray  # noqa: PLC0415

    gone = job.folder.with_name("gone.onnx")
    gone.write_bytes(job.model.read_bytes())

    def losing(path: Path) -> Picture:
        gone.unlink(missing_ok=True)  # after the model was loaded here, before it is there
        raise PictureError("no picture today")

    steps = bulk(replace(job, model=gone, opener=losing), ["000.png"], deal=partial(on_ray, workers=1))
    with pytest.raises(RunError, match=r"^a worker on Ray refused: .*gone\.onnx"):
        list(steps)


def test_a_batch_of_a_dataset_becomes_rows(job: Job) -> None:
    from ddcam.adapters.ray import ExplainPictures  # noqa: PLC0415

    expected = [row for step in bulk_rows(job) for row in step]
    names = [{"path": f"{i:03d}.png", "index": i} for i in range(12)]
    rows = ray.data.from_items(names).map_batches(
        ExplainPictures, fn_constructor_args=(job,), batch_size=5, compute=ray.data.ActorPoolStrategy(size=1)
    )
    assert sorted(rows.take_all(), key=lambda row: row["index"]) == expected
    assert rows.columns() == list(COLUMNS)


def bulk_rows(job: Job) -> Iterator[list[dict[str, Any]]]:
    from ddcam.engine.bulk_rows import explained_rows  # noqa: PLC0415

    named = ((i, f"{i:03d}.png") for i in range(12))
    yield [told.row for told in explained_rows(job.explainer(), job.opener, job.root, named)]
