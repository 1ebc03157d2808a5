"""Gradients beside PyTorch's: how exact, and how fast forward plus backward, for many networks and both exporters.

Errors are relative L2 errors against PyTorch in float64 over many pictures: one flipped sign of a number near 0 (a
ReLU, a maximum) can make 1e-3 of 1e-6 in either. Times are of the processor, one thread each, measured in turn.
Usage: python benchmarks/gradients.py [--part errors|cores|onnx-ad] [--only NAME...]
"""

import argparse
import copy
import importlib
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from zoo import EXPORTERS, NAMES, exported, network, pictures

import ddcam
from ddcam.engine.autodiff.forward import prepare_forward
from ddcam.engine.autodiff.gradient_graph import SEED, gradient_graph
from ddcam.engine.runtime.session import Session

Array = NDArray[Any]
PICTURES, BATCH, ROUNDS = 32, 8, 5
HEADS = {
    "resnet50": "/layer4/",
    "mobilenet_v2": "/features/features.18/",
    "vgg16": "/features/",
    "vit_b_16": "/encoder/layers/encoder_layer_10/",
}
"""Where Grad-CAM looks: what the last node so named makes; for ViT that is what the last block reads."""
PEERS = ["resnet18", "resnet50", "mobilenet_v2", "efficientnet_b0", "densenet121", "vgg16"]
HEADER = """# Gradients beside PyTorch's

ddcam {version}, ONNX Runtime {runtime}, PyTorch {torch}, {cores} cores of {machine}; made by
`python benchmarks/gradients.py`. Random weights, 224 x 224 (Inception 299 x 299), a free batch; the gradient of one
score by the picture."""
ERRORS = """
Errors: relative L2 against PyTorch in float64 over {pictures} pictures, {batch} in a batch, with those of PyTorch in
float32 behind the stroke: the median and the geometric mean, as one flipped sign (of a number near 0 before a ReLU,
say) makes 1e-3 of 1e-6 in either. Times: milliseconds of the processor for forward and backward of one picture, one
thread each, in turn, medians of {rounds}.

| network | exporter | median error | mean error | ddcam ms | PyTorch ms | ratio |
|---|---|---|---|---|---|---|"""
CORES = """
By the clock, with one thread and with all {cores}, nothing else running; ddcam's time and PyTorch's.

| network | ddcam, one ms | PyTorch, one ms | ddcam, all ms | PyTorch, all ms | ratio, all |
|---|---|---|---|---|---|"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=PARTS, action="append", help="all by default; cores wants a calm machine")
    parser.add_argument("--only", nargs="*", default=NAMES, help="networks")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    versions = {"version": ddcam.__version__, "runtime": onnxruntime.__version__, "torch": torch.__version__}
    print(HEADER.format(**versions, cores=os.cpu_count(), machine=platform.machine()), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for part in asked.part or PARTS:
            PARTS[part](Path(folder), asked.only)


def compare_errors(folder: Path, names: Sequence[str]) -> None:
    print(ERRORS.format(pictures=PICTURES, batch=BATCH, rounds=ROUNDS))
    ratios, further = [], []
    for name in names:
        net = network(name)
        judge = Judge(net, pictures(name, PICTURES))
        for exporter in EXPORTERS:
            try:
                ratios.append(row(name, judge, exported(name, net, exporter, folder), exporter))
            except Exception as problem:  # an exporter's, or a gap of ours: say which, go on
                print(f"| {name} | {exporter} | {type(problem).__name__}: {brief(problem)} |", flush=True)
        further += [head_row(name, net, folder)] if name in HEADS else []
    print(f"\nRatio over {len(ratios)} exports: geometric mean {statistics.geometric_mean(ratios):.2f}, ", end="")
    print(f"largest {max(ratios):.2f}.\n\n| network | forward ms | forward and gradient of the features ms | ratio |")
    print("|---|---|---|---|", *further, sep="\n")


def compare_cores(folder: Path, names: Sequence[str]) -> None:
    print(CORES.format(cores=os.cpu_count()))
    shares = [cores_row(name, network(name), folder) for name in names]
    print(f"\nRatio with all cores: geometric mean {statistics.geometric_mean(shares):.2f}, largest {max(shares):.2f}.")


def compare_peer(folder: Path, names: Sequence[str]) -> None:
    print("\n| network, one picture | ddcam ms | onnx-ad ms | times | difference |\n|---|---|---|---|---|")
    for name in PEERS:
        if name in names:
            print(peer_row(name, folder), flush=True)


PARTS = {"errors": compare_errors, "cores": compare_cores, "onnx-ad": compare_peer}


class Judge:
    """PyTorch's gradients of a network: the true ones, in float64, and its own errors in float32."""

    def __init__(self, net: torch.nn.Module, x: torch.Tensor) -> None:
        self.net, self.x, self.label = net, x, common_label(net, x)
        exact = copy.deepcopy(net).double()
        self.true = in_batches(lambda some: by_torch(exact, some.double(), self.label), x, 1)
        self.errors = self.errors_of(lambda some: by_torch(net, some, self.label))

    def errors_of(self, work: Callable[[torch.Tensor], Array]) -> tuple[float, float]:
        """Return the median error and the geometric mean over pictures."""
        found = errors(in_batches(work, self.x, BATCH), self.true)
        return statistics.median(found), statistics.geometric_mean(found)


def in_batches(work: Callable[[torch.Tensor], Array], x: torch.Tensor, size: int) -> Array:
    return np.concatenate([work(some) for some in x.split(size)])


def row(name: str, judge: Judge, model: onnx.ModelProto, exporter: str) -> float:
    session, first = gradient_session(model, judge.x.numpy()), judge.x[:1]
    errors = judge.errors_of(lambda some: run(session, some.numpy(), judge.label))
    ours, theirs = in_turn(
        [lambda: run(session, first.numpy(), judge.label), lambda: by_torch(judge.net, first, judge.label)]
    )
    cells = [f"{own:.0e} / {peer:.0e}" for own, peer in zip(errors, judge.errors, strict=True)]
    cells += [f"{ours:.1f}", f"{theirs:.1f}", f"{ours / theirs:.2f}"]
    print(f"| {name} | {exporter} | {' | '.join(cells)} |", flush=True)
    return ours / theirs


def cores_row(name: str, net: torch.nn.Module, folder: Path) -> float:
    """Compare with PyTorch by the clock, with one thread and with all; return the ratio with all."""
    x, model, taken = pictures(name, 1), exported(name, net, "script", folder), []
    label = common_label(net, x)
    for threads in (1, os.cpu_count() or 1):
        torch.set_num_threads(threads)
        session = gradient_session(model, x.numpy(), threads=threads)
        works = [partial(run, session, x.numpy(), label), partial(by_torch, net, x, label)]
        taken += in_turn(works, time.perf_counter)
    torch.set_num_threads(1)
    print(f"| {name} | {' | '.join(f'{each:.1f}' for each in taken)} | {taken[2] / taken[3]:.2f} |", flush=True)
    return taken[2] / taken[3]


def head_row(name: str, net: torch.nn.Module, folder: Path) -> str:
    x, model = pictures(name, 2).numpy(), exported(name, net, "script", folder)
    features = [node.output[0] for node in model.graph.node if node.name.startswith(HEADS[name])][-1]
    session, plain = gradient_session(model, x, features), Session(model.SerializeToString(), threads=1)
    forward, both = in_turn([lambda: plain.run({plain.inputs[0]: x[:1]}), lambda: run(session, x[:1], 0)])
    return f"| {name} | {forward:.1f} | {both:.1f} | {both / forward:.2f} |"


def peer_row(name: str, folder: Path) -> str:
    """Compare with onnx-ad on an export of one picture."""
    onnx_ad = importlib.import_module("onnx_ad")
    net, x = network(name), pictures(name, 1).numpy()
    label = common_label(net, pictures(name, 1))
    model = exported(name, net, "script", folder, free=False)
    try:
        peer = Session(onnx_ad.reverse(model, layout="onnx").SerializeToString(), threads=1)
        seed = np.zeros((1, 1000, 1), np.float32)
        seed[0, label] = 1
        feeds = dict(zip(peer.inputs, (x, seed), strict=True))
        found = peer.run(feeds)[-1].reshape(x.shape)
    except Exception as problem:  # whatever it does not cover
        return f"| {name} | | refuses: {brief(problem)} | | |"
    session = gradient_session(model, x)
    ours, theirs = in_turn([lambda: run(session, x, label), lambda: peer.run(feeds)])
    [apart] = errors(found, run(session, x, label))
    return f"| {name} | {ours:.1f} | {theirs:.1f} | {theirs / ours:.1f} | {apart:.0e} |"


def gradient_session(model: onnx.ModelProto, x: Array, wrt: str = "", threads: int = 1) -> Session:
    """Open `picture, seed -> scores, gradient` of a model."""
    picture, scores = model.graph.input[0].name, model.graph.output[0].name
    free = not model.graph.input[0].type.tensor_type.shape.dim[0].dim_value
    two = {picture: np.concatenate([x, x])[:2]} if free else None
    forward = prepare_forward(model, [scores, *filter(None, [wrt])], {picture: x[:1]}, two)
    return Session(gradient_graph(forward, scores, [wrt or picture]).SerializeToString(), threads=threads)


def run(session: Session, x: Array, label: int) -> Array:
    seed = np.zeros((len(x), 1000), np.float32)
    seed[:, label] = 1
    picture = next(name for name in session.inputs if name != SEED)
    return session.run({picture: x, SEED: seed})[1]


def by_torch(net: torch.nn.Module, x: torch.Tensor, label: int) -> Array:
    given = x.clone().requires_grad_(True)
    [found] = torch.autograd.grad(net(given)[:, label].sum(), given)
    return found.numpy()


def common_label(net: torch.nn.Module, x: torch.Tensor) -> int:
    """Return a class that all pictures score high: SqueezeNet ends in a ReLU, which leaves others no gradient."""
    with torch.no_grad():
        return int(net(x).amin(0).argmax())


def errors(found: Array, true: Array) -> list[float]:
    """Return the relative L2 error of each picture's gradient."""
    return [float(np.linalg.norm(f - t) / np.linalg.norm(t)) for f, t in zip(found, true, strict=True)]


def in_turn(works: Sequence[Callable[[], object]], clock: Callable[[], float] = time.process_time) -> list[float]:
    """Return the median milliseconds of each, measured in turn after a first go."""
    taken: list[list[float]] = [[] for _ in works]
    for _ in range(ROUNDS + 1):
        for work, times in zip(works, taken, strict=True):
            started = clock()
            work()
            times.append((clock() - started) * 1000)
    return [statistics.median(times[1:]) for times in taken]


def brief(problem: Exception) -> str:
    return " ".join(str(problem).split())[:90]


if __name__ == "__main__":
    main()
