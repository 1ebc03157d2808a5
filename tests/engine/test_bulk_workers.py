"""Bulk runs in several processes: the same rows, whoever is killed, and nothing left running."""

import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from many import many_pictures

from ddcam import open_image
from ddcam.engine.bulk import bulk
from ddcam.engine.bulk_shard import Job, Shard
from ddcam.engine.bulk_workers import in_processes, locally
from ddcam.engine.errors import ModelError, RunError
from ddcam.models import demo_path

MODEL = demo_path("digits_cnn_additive")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    many_pictures(folder, 60)
    return folder


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for file in sorted(folder.glob("part-*.jsonl")) for line in file.read_text().splitlines()]


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def started(pictures: Path, out: Path, workers: int) -> "subprocess.Popen[str]":
    """Start the command in a group of its own, as a terminal does."""
    asked = ["batch", MODEL, pictures, "-o", out, "--format", "jsonl", "--shard", "4", "--workers", workers]
    command = [sys.executable, "-m", "ddcam.cli", *map(str, asked)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def wait_for(out: Path, shards: int, child: "subprocess.Popen[str]") -> None:
    while child.poll() is None and len(list(out.glob("part-*"))) < shards:
        time.sleep(0.005)


@pytest.mark.parametrize("workers", [2, pytest.param(1, marks=pytest.mark.slow)])
def test_killed_at_random_it_goes_on_with_the_same_rows(pictures: Path, tmp_path: Path, workers: int) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    list(bulk(Job(MODEL, whole, pictures, open_image), names_in(pictures), size=4, deal=partial(locally, workers=1)))
    child = started(pictures, killed, workers)
    wait_for(killed, 2, child)
    time.sleep(random.Random(3).uniform(0, 0.02))
    child.kill()
    child.communicate()
    assert child.returncode == -signal.SIGKILL
    assert 2 <= len(list(killed.glob("part-*"))) < 15
    require_ended(child.pid)
    child = started(pictures, killed, workers)
    _, told = child.communicate()

    assert child.returncode == 0, told
    assert rows(killed) == rows(whole)
    assert not list(killed.glob(".part-*"))


def require_ended(group: int) -> None:
    """Require that nothing outlives the process that was killed by more than some seconds."""
    end = time.monotonic() + 10
    while time.monotonic() < end and members(group):
        time.sleep(0.05)
    assert not members(group), "workers outlived the process that started them"


def members(group: int) -> list[int]:
    """Return the processes of a group that are no zombies."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        if int(fields[2]) == group and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


@pytest.mark.parametrize("workers", [2, pytest.param(1, marks=pytest.mark.slow)])
def test_ctrl_c_is_one_line(pictures: Path, tmp_path: Path, workers: int) -> None:
    child = started(pictures, tmp_path / "out", workers)
    wait_for(tmp_path / "out", 1, child)
    os.killpg(child.pid, signal.SIGINT)  # as a terminal does: to all
    _, told = child.communicate(timeout=60)

    assert child.returncode == 130, told
    assert told.splitlines()[-1] == "ddcam: interrupted"
    assert "Traceback" not in told
    assert not list((tmp_path / "out").glob(".part-*"))
    require_ended(child.pid)


def test_a_worker_that_dies_is_one_line_and_whole_shards_stay(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    steps = bulk(
        Job(MODEL, out, pictures, open_image), names_in(pictures) * 50, size=50, deal=partial(locally, workers=2)
    )
    with pytest.raises(RunError, match=r"a worker process ended before its shard was done .* finished shards stay"):
        any(kill_one() for _ in steps if list(out.glob("part-*")))
    kept = list(out.glob("part-*"))

    assert 0 < len(kept) < 60
    assert all(len(file.read_text().splitlines()) == 50 for file in kept)
    assert not multiprocessing.active_children()


def kill_one() -> bool:
    """Kill a worker, and let the run go on."""
    for child in multiprocessing.active_children()[:1]:
        child.kill()
    return False


def test_a_refusal_in_a_worker_comes_through(pictures: Path, tmp_path: Path) -> None:
    job = Job(tmp_path / "gone.onnx", tmp_path, pictures, open_image)
    with pytest.raises(ModelError, match=r"gone\.onnx"):
        list(in_processes(job, [Shard(0, 0, ["000.png"])], 1))
    assert not os.listdir(tmp_path)
