"""Methods beside their peers' implementations on the same weights: processor time per picture, one thread each.

pytorch-grad-cam 1.5.7 and captum 0.9.0 run the network in PyTorch, dianna 1.8.1 its ONNX export, as ddcam does.
Usage: python benchmarks/peers.py [NETWORK...]; needs `pip install --no-deps` of these three, xarray and scikit-image.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"

import contextlib
import io
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from zoo import exported, network, pictures

import ddcam
from ddcam.engine.methods import method_named
from ddcam.engine.problem import Problem

from captum.attr import Occlusion  # isort: skip  (these need what `zoo` declares for torchvision)
from dianna.methods.rise_image import RISEImage  # isort: skip
from pytorch_grad_cam import AblationCAM, EigenCAM, ScoreCAM  # isort: skip
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget  # isort: skip

NETWORKS = {"resnet18": "layer4", "mobilenet_v2": "features", "vgg16": "features"}
"""The part of each network whose last map the CAM methods read."""
ROUNDS, MASKS, BATCH, WINDOW, STRIDE = 3, 512, 32, 32, 16
HEADER = """# Methods beside their peers'

ddcam {version}, ONNX Runtime {runtime}, PyTorch {torch}, {machine}; made by `python benchmarks/peers.py`. Seconds of
the processor for one picture of 224 x 224, from the picture to the map, one thread each, in turn, medians of {rounds};
random weights, the same in both. RISE: {masks} masks of 8 x 8; occlusion: squares of {window} pixels every {stride};
peers run batches of {batch}.

| network | method | peer | ddcam s | peer s | ratio |
|---|---|---|---|---|---|"""


@dataclass(frozen=True)
class Both:
    """A network in PyTorch and in ddcam, and a picture for both."""

    net: torch.nn.Module
    layer: torch.nn.Module
    file: Path
    model: ddcam.Model
    inputs: np.ndarray
    target: int

    @property
    def tensor(self) -> torch.Tensor:
        return torch.from_numpy(self.inputs)

    def ours(self, name: str) -> Any:
        """Explain from the picture on, as a first question about it."""
        problem = Problem(self.model, self.inputs, target=str(self.target))
        return method_named(name)(problem).grid_map

    def cam(self, kind: Any) -> Any:
        with kind(self.net, [self.layer]) as method:
            method.batch_size = BATCH
            return method(self.tensor, [ClassifierOutputTarget(self.target)])


def occlusion(both: Both) -> Any:
    sizes = {"sliding_window_shapes": (3, WINDOW, WINDOW), "strides": (3, STRIDE, STRIDE)}
    return Occlusion(both.net).attribute(both.tensor, target=both.target, perturbations_per_eval=BATCH, **sizes)


def rise(both: Both) -> Any:
    session = onnxruntime.InferenceSession(both.file, one_thread())
    name = session.get_inputs()[0].name

    def run(batch: np.ndarray) -> np.ndarray:
        logits = session.run(None, {name: np.asarray(batch, np.float32)})[0]
        return np.exp(logits) / np.exp(logits).sum(1, keepdims=True)

    method = RISEImage(n_masks=MASKS, feature_res=8, p_keep=0.5, axis_labels={0: "channels"})
    return method.explain(run, both.inputs[0], labels=[both.target], batch_size=BATCH)


def one_thread() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return options


PAIRS: dict[str, tuple[str, str, Callable[[Both], Any]]] = {
    "Score-CAM": ("score-cam", "pytorch-grad-cam", lambda both: both.cam(ScoreCAM)),
    "Ablation-CAM": ("ablation-cam", "pytorch-grad-cam", lambda both: both.cam(AblationCAM)),
    "EigenCAM": ("eigen-cam", "pytorch-grad-cam", lambda both: both.cam(EigenCAM)),
    "occlusion": (f"occlusion:window={WINDOW}:stride={STRIDE}", "captum", occlusion),
    "RISE": (f"rise:samples={MASKS}:cells=8", "dianna", rise),
}


def main(names: list[str]) -> None:
    torch.set_num_threads(1)
    versions = {"version": ddcam.__version__, "runtime": onnxruntime.__version__, "torch": torch.__version__}
    sizes = {"rounds": ROUNDS, "masks": MASKS, "window": WINDOW, "stride": STRIDE, "batch": BATCH}
    print(HEADER.format(**versions, **sizes, machine=platform.machine()))
    for name in names or NETWORKS:
        with tempfile.TemporaryDirectory() as folder:
            measure(name, pair(name, Path(folder)))


def pair(name: str, folder: Path) -> Both:
    net = network(name)
    exported(name, net, "script", folder)
    file = folder / f"{name}.script.onnx"
    model = ddcam.load(file, preprocessing="imagenet", units="channel", threads=1)
    inputs = pictures(name, 1).numpy()
    target = int(net(torch.from_numpy(inputs)).argmax())
    return Both(net, getattr(net, NETWORKS[name])[-1], file, model, inputs, target)


def measure(name: str, both: Both) -> None:
    for title, (ours, peer, theirs) in PAIRS.items():
        both.ours(ours)  # opens what is opened once a model
        times = [(taken(partial(both.ours, ours)), taken(partial(theirs, both))) for _ in range(ROUNDS)]
        mine, other = (statistics.median(column) for column in zip(*times, strict=True))
        print(f"| {name} | {title} | {peer} | {mine:.3f} | {other:.3f} | {mine / other:.2g} |", flush=True)


def taken(work: Callable[[], Any]) -> float:
    """Return seconds of the processor; what peers print of their progress is not shown."""
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        started = time.process_time()
        work()
        return time.process_time() - started


if __name__ == "__main__":
    main(sys.argv[1:])
