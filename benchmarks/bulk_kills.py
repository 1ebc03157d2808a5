"""A bulk run that is killed 20 times at random, compared with one that was left alone.

The pictures are those of DDCAM_DATA's cifar10-200, moved, mirrored and brightened at random. Usage:
DDCAM_DATA=... python benchmarks/bulk_kills.py [--pictures 10000] [--kills 20]
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

MODEL = "cifar10/resnet20_akamaster_f32_opset11.onnx"
SHARD = 50


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pictures", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    data = Path(os.environ.get("DDCAM_DATA") or parser.error("set DDCAM_DATA to the folder with the real models"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        augmented(data / "images" / "cifar10-200", folder / "pictures", asked.pictures)
        command = [sys.executable, "-m", "ddcam.cli", "batch", data / "models" / MODEL, folder / "pictures"]
        command += ["--format", "jsonl", "--shard", SHARD, "--workers", asked.workers, "--preprocessing", "imagenet"]
        started = time.perf_counter()
        memory = left_alone([*map(str, command), "-o", str(folder / "whole")], folder / "whole", asked.pictures)
        seconds = time.perf_counter() - started
        early = killed([*map(str, command), "-o", str(folder / "killed")], folder / "killed", asked)
        report(folder, asked, seconds, memory, early)


def augmented(source: Path, folder: Path, count: int) -> None:
    folder.mkdir()
    draw = np.random.default_rng(0)
    pictures = [np.asarray(Image.open(path).convert("RGB")) for path in sorted(source.rglob("*.*"))]
    for i in range(count):
        moved = np.roll(pictures[i % len(pictures)], draw.integers(-4, 5, 2), (0, 1))
        moved = moved[:, ::-1] if draw.random() < 0.5 else moved
        bright = np.clip(moved * draw.uniform(0.7, 1.3), 0, 255).astype(np.uint8)
        Image.fromarray(bright).save(folder / f"{i:05d}.png")


def left_alone(command: list[str], out: Path, count: int) -> list[int]:
    """Run to the end; return the bytes of all processes when a tenth, a half and nine tenths were done."""
    memory = []
    with subprocess.Popen(command, start_new_session=True) as child:
        for share in (0.1, 0.5, 0.9):
            wait_for(out, round(share * count / SHARD), child)
            memory.append(sum(resident(child.pid)))
    assert child.returncode == 0
    return memory


def killed(command: list[str], out: Path, asked: argparse.Namespace) -> int:
    """Kill a run when random shares of it are done, some while it starts; then let it end. Return the early kills."""
    chance, early = random.Random(asked.seed), 0
    shards = asked.pictures // SHARD
    targets = sorted(chance.randrange(shards - 5) for _ in range(asked.kills))
    for target in (0 if i % 4 == 3 else target for i, target in enumerate(targets)):
        with subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL) as child:
            starting = done(out) >= target
            wait_for(out, target, child)
            time.sleep(chance.uniform(0, 4 if starting else 0.5))
            assert child.poll() is None, "the run ended before it was killed"
            child.kill()
            early += starting
    subprocess.run(command, check=True)
    return early


def wait_for(out: Path, shards: int, child: "subprocess.Popen[bytes]") -> None:
    while child.poll() is None and done(out) < shards:
        time.sleep(0.02)


def done(out: Path) -> int:
    return sum(1 for _ in out.glob("part-*.jsonl"))


def resident(group: int) -> Iterator[int]:
    """Yield the bytes in memory of each process of a group."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if int((folder / "stat").read_text().rpartition(")")[2].split()[2]) == group:
                yield int((folder / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except OSError:  # it has just ended
            continue


def report(folder: Path, asked: argparse.Namespace, seconds: float, memory: list[int], early: int) -> None:
    parts = {run: sorted((folder / run).glob("part-*.jsonl")) for run in ("whole", "killed")}
    same = [one.read_bytes() == other.read_bytes() for one, other in zip(*parts.values(), strict=True)]
    rows = [json.loads(line) for part in parts["killed"] for line in part.read_text().splitlines()]
    counts = Counter(row["path"] for row in rows)
    once = sum(count == 1 for count in counts.values())
    left = [path.name for path in (folder / "killed").iterdir() if path.name.startswith(".part")]
    sizes = ", ".join(f"{value / 1e6:.0f}" for value in memory)
    print(f"""# A bulk run killed at random

{asked.pictures} pictures, {asked.workers} workers, shards of {SHARD}; {asked.kills} kills -9 of the parent at random
shares of the run, {early} of them while it started; made by `python benchmarks/bulk_kills.py`.

| what | found |
|---|---|
| pictures with exactly one row | {once} of {asked.pictures} |
| rows in the order of the input | {[row["index"] for row in rows] == list(range(asked.pictures))} |
| files that are the same, byte by byte, as those of a run left alone | {sum(same)} of {len(same)} |
| temporary files left behind | {len(left)} |
| rows with an error | {sum(row["error"] is not None for row in rows)} |
| seconds of the run left alone | {seconds:.0f} |
| MB of all its processes at a tenth, a half and nine tenths of the way | {sizes} |""")


if __name__ == "__main__":
    main()
