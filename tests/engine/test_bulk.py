"""Many pictures to rows: order, each exactly once, what survives a kill, and what is refused."""

import errno
import json
import os
import tracemalloc
from dataclasses import replace
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
from many import many_pictures
from PIL import Image

import ddcam
from ddcam import open_image
from ddcam.engine.bulk import FEWEST, bulk, restart
from ddcam.engine.bulk_rows import COLUMNS
from ddcam.engine.bulk_shard import Job
from ddcam.engine.bulk_workers import locally
from ddcam.engine.errors import GradientError, ModelError, OptionError, OutputError, PictureError
from ddcam.engine.types import Picture, Wishes
from ddcam.models import demo_path

MODEL = demo_path("digits_cnn_additive")
ALONE = partial(locally, workers=1)
BROKEN = 3
"""Place of the picture that is none."""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 50 small pictures that differ; one of them is none."""
    folder = tmp_path_factory.mktemp("pictures")
    many_pictures(folder, 50)
    (folder / f"{BROKEN:03d}.png").write_bytes(b"no picture")
    return folder


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def run(job: Job, *, size: int = 10, deal: Any = ALONE, names: list[str] | None = None) -> list[dict[str, Any]]:
    list(bulk(job, names_in(job.root) if names is None else names, size=size, deal=deal))
    return rows(job.folder)


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for file in sorted(folder.glob("part-*.jsonl")) for line in file.read_text().splitlines()]


@pytest.fixture
def job(tmp_path: Path, pictures: Path) -> Job:
    return Job(MODEL, tmp_path / "out", pictures, open_image)


def test_every_picture_has_one_row_in_the_order_of_the_input(job: Job) -> None:
    found = run(job)

    assert [row["index"] for row in found] == list(range(50))
    assert [row["path"] for row in found] == names_in(job.root)
    assert all(list(row) == list(COLUMNS) for row in found)
    assert [row["index"] for row in found if row["error"]] == [BROKEN]
    assert "expected a picture" in found[BROKEN]["error"]
    assert sorted(os.listdir(job.folder)) == [".lock", *(f"part-0000{i}.jsonl" for i in range(5)), "plan.json"]


@pytest.mark.parametrize(("method", "preserve"), [("dd-cam", "confidence:0.9"), ("grad-cam", None)])
def test_a_row_says_what_explain_says(job: Job, method: str, preserve: str | None) -> None:
    found = run(replace(job, method=method, preserve=preserve, text=True))
    model = ddcam.load(MODEL)
    for row in (found[0], found[17]):
        told = ddcam.explain(model, job.root / row["path"], method=method, preserve=preserve)
        certificate, cost = told.attribution.certificate, told.attribution.cost
        assert (row["class"], row["label"], row["probability"]) == (
            told.top[0].index, told.top[0].label, told.top[0].probability,
        )  # fmt: skip
        assert (row["target"], row["predicate"], row["method"]) == (told.target.index, told.predicate, method)
        assert (row["width"], row["height"], row["sha256"]) == (32, 32, told.picture.sha256)
        assert row["units"] == (list(told.attribution.subset) if told.attribution.subset is not None else None)
        assert row["sufficient"] == (certificate.sufficient if certificate else None)
        assert row["probes"] == (cost.probes if cost else None)
        assert row["text"] == told.text
        mass = told.saliency.astype(np.float64)
        assert row["map_x"] == pytest.approx(mass.sum(0) @ (np.arange(32) + 0.5) / mass.sum() / 32, abs=0.02)
        assert row["map_half"] == pytest.approx((mass > 0.5 * mass.max()).mean(), abs=0.05)


def test_a_target_is_explained_whatever_was_decided(job: Job) -> None:
    found = run(replace(job, method="grad-cam", target="3", preserve="topk:9"))
    assert {row["target_label"] for row in found if row["error"] is None} == {"three"}
    assert len({row["label"] for row in found}) > 2


def test_a_run_that_was_left_goes_on_with_the_same_rows(job: Job) -> None:
    whole = run(replace(job, folder=job.folder.with_name("whole")))
    steps = bulk(job, names_in(job.root), size=10, deal=ALONE)
    while next(steps)[0] < 25:
        pass
    steps.close()  # type: ignore[attr-defined]
    assert sorted(os.listdir(job.folder)) == [".lock", "part-00000.jsonl", "part-00001.jsonl", "plan.json"]

    opened: list[Path] = []

    def counted(path: Path) -> Picture:
        opened.append(path)
        return open_image(path)

    assert run(replace(job, opener=counted)) == whole
    assert len(opened) == 31, "30 pictures were left, and the first is looked at for its preprocessing"


def test_a_finished_run_computes_nothing(job: Job) -> None:
    before = run(job)
    assert list(bulk(job, names_in(job.root), size=10, deal=lambda *_: pytest.fail("computed again"))) == [(50, 50)]
    assert rows(job.folder) == before


def test_what_broke_off_is_swept_away(job: Job) -> None:
    run(job)
    (job.folder / "part-00001.jsonl").unlink()
    (job.folder / ".part-00001.jsonl.77").write_text("half a row")
    (job.folder / ".part-00001.maps.x").mkdir()
    (job.folder / "part-00001.maps").mkdir()
    assert len(run(job)) == 50
    assert not [name for name in os.listdir(job.folder) if "maps" in name or name.endswith("77")]


CHANGED = {
    "method": {"method": "grad-cam"},
    "target": {"target": "3", "preserve": "top1"},
    "preserve": {"preserve": "confidence:0.9"},
    "maps": {"maps": "png"},
    "text": {"text": True},
    "preprocessing": {"wishes": Wishes(mean=(0.5,))},
    "split": {"wishes": Wishes(units="cell")},
    "sha256": {"model": demo_path("digits_cnn_interacting")},
}


@pytest.mark.parametrize("key", CHANGED)
def test_another_question_is_refused_and_not_mixed(job: Job, key: str) -> None:
    names = names_in(job.root)[:5]
    before = run(job, names=names)
    with pytest.raises(OutputError, match=rf"holds a run with {'model' if key == 'sha256' else key} .*; choose anoth"):
        run(replace(job, **CHANGED[key]), names=names)
    assert rows(job.folder) == before


def test_other_pictures_or_shards_are_refused(job: Job) -> None:
    names = names_in(job.root)
    run(job, names=names[:5])
    with pytest.raises(OutputError, match="pictures 5, and this one has 6"):
        run(job, names=names[:6])
    with pytest.raises(OutputError, match="names '"):
        run(job, names=names[1:6])
    with pytest.raises(OutputError, match="shard 10, and this one has 2"):
        run(job, names=names[:5], size=2)


def test_only_a_run_is_begun_again(job: Job) -> None:
    run(job, names=names_in(job.root)[:5])
    restart(job.folder)
    assert os.listdir(job.folder) == [".lock"]
    assert len(run(replace(job, method="grad-cam"))) == 50
    (job.folder / "plan.json").unlink()
    with pytest.raises(OutputError, match=r"holds no plan\.json"):
        restart(job.folder)
    with pytest.raises(OutputError, match=r"holds no plan\.json"):
        run(job)


def test_two_runs_do_not_write_one_folder(job: Job) -> None:
    steps = bulk(job, names_in(job.root), size=10, deal=ALONE)
    next(steps)
    with pytest.raises(OutputError, match="another process is writing"):
        next(bulk(job, names_in(job.root), size=10, deal=ALONE))
    steps.close()  # type: ignore[attr-defined]
    assert len(run(job)) == 50


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("place", ["ddcam.engine.bulk_shard.png_bytes", "pathlib.Path.write_text", "os.fsync"])
def test_a_full_disk_leaves_whole_shards(job: Job, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    job = replace(job, maps="png")
    whole = run(replace(job, folder=job.folder.with_name("whole")))
    steps = bulk(job, names_in(job.root), size=10, deal=ALONE)
    while next(steps)[0] < 20:
        pass
    monkeypatch.setattr(place, full)
    with pytest.raises(OutputError, match=r"^cannot write .*: No space left on device$"):
        list(steps)
    names = [f"part-0000{i}.{suffix}" for i in (0, 1) for suffix in ("jsonl", "maps")]
    kept = set(os.listdir(job.folder)) - {".lock", "plan.json"}
    assert kept in (set(names), set(names[:2])), "a shard is whole, or not there"
    monkeypatch.undo()
    assert run(job) == whole


@pytest.mark.parametrize("maps", ["png", "npy", "zip"])
def test_maps_are_those_of_explain(job: Job, maps: Any) -> None:
    found = run(replace(job, method="grad-cam", maps=maps), names=names_in(job.root)[:12])
    row = found[11]
    expected = ddcam.explain(ddcam.load(MODEL), job.root / row["path"], method="grad-cam").saliency
    if maps == "zip":
        archive = ZipFile(job.folder / "part-00001.zip")
        assert archive.namelist() == ["00000010.png", "00000011.png"]
        content = archive.read(row["map"])
    else:
        content = (job.folder / row["map"]).read_bytes()
    if maps == "npy":
        np.testing.assert_allclose(np.load(BytesIO(content)), expected, atol=1e-6)
    else:
        np.testing.assert_allclose(np.asarray(Image.open(BytesIO(content))), expected * 255, atol=1)
    assert found[BROKEN]["map"] is None


def test_what_every_picture_would_be_told_is_refused_at_once(job: Job) -> None:
    with pytest.raises(OptionError, match="method"):
        run(replace(job, method="no-cam"))
    with pytest.raises(OptionError, match="expected pictures"):
        run(job, names=[])
    assert not job.folder.exists()


def test_a_model_without_a_gradient_is_refused_at_once(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ddcam.engine.explainer.Explainer.decide", lambda *_: [GradientError("it rounds")])
    with pytest.raises(GradientError, match="it rounds"):
        run(job)
    assert not job.folder.exists()


def test_a_model_that_was_replaced_is_seen_by_the_workers(job: Job) -> None:
    with pytest.raises(ModelError, match="another file than when the run was begun"):
        replace(job, sha256="0" * 64).explainer()


def test_a_doubtful_preprocessing_is_noted(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(bulk.__globals__, "doubts_of", lambda _, picture: (f"looked at {picture.name}",))
    notes: list[str] = []
    list(bulk(job, names_in(job.root)[BROKEN : BROKEN + 3], deal=ALONE, note=notes.append))
    assert notes[0].startswith("preprocessing ")
    assert notes[1:] == [f"looked at {BROKEN + 1:03d}.png"], "the first that opens"


def test_names_that_are_no_utf_8_are_written_escaped(job: Job) -> None:
    [row] = run(replace(job, root=Path("/no\udcffwhere")), names=["\udcff.png"])
    assert (row["path"], row["index"]) == ("\\udcff.png", 0)
    assert "found nothing" in row["error"]


def test_shards_are_small_where_pictures_are_few(job: Job) -> None:
    list(bulk(job, names_in(job.root), deal=ALONE))
    assert json.loads((job.folder / "plan.json").read_text())["shard"] == FEWEST


def test_memory_does_not_grow_with_the_pictures(job: Job) -> None:
    peaks = []
    for count in (1, 6):
        tracemalloc.start()
        names = names_in(job.root)[10:30] * count
        steps = bulk(replace(job, folder=job.folder / str(count)), names, size=20, deal=ALONE)
        next(steps)
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        for _ in steps:
            pass
        peaks.append(tracemalloc.get_traced_memory()[1] - before)
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 100_000, f"{peaks}: the inputs of 100 pictures more have 400 kB"


def refusing(_: Path) -> Picture:
    raise PictureError("not today")


def test_pictures_that_all_fail_are_rows_too(job: Job) -> None:
    assert {row["error"] for row in run(replace(job, opener=refusing))} == {"not today"}
