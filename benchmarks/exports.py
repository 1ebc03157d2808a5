"""Inspect, split, explain, differentiate and export what pipelines produce; print docs/exports.md.

Networks of torchvision and timm with random weights by both PyTorch exporters, and some of these quantised, in float16,
at other operator sets and with a fixed batch. Usage: python benchmarks/exports.py [--only NAME] > docs/exports.md
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "torch")
import keras
import numpy as np
import onnx
import onnxruntime
import torch
from keras import layers
from onnx import version_converter
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_dynamic, quantize_static
from onnxruntime.transformers.float16 import convert_float_to_float16
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from zoo import EXPORTERS, exported, network

import ddcam
from ddcam.adapters import keras as ddcam_keras
from ddcam.adapters import sklearn as ddcam_sklearn
from ddcam.engine import Export, export, load, split_files
from ddcam.engine.answer import plural
from ddcam.engine.preprocess import from_pixels
from ddcam.engine.types import Wishes

NAMES = ["resnet18", "mobilenet_v2", "mobilenet_v3_large", "efficientnet_b0", "shufflenet_v2_x1_0", "squeezenet1_0"]
NAMES += ["mnasnet1_0", "regnet_y_400mf", "densenet121", "googlenet", "convnext_tiny", "swin_t"]
NAMES += ["deit_tiny_patch16_224"]
CHANGED = ["resnet18", "mobilenet_v2", "squeezenet1_0", "deit_tiny_patch16_224"]
PICTURES = Path(ddcam.__file__).parent / "engine" / "check_pictures.npy"
HEADER = """# What exporters and converters produce

Made by `python benchmarks/exports.py` with ddcam {version}, ONNX Runtime {runtime} and PyTorch {torch}: networks of
torchvision and timm, random weights whose normalisation and quantisation were calibrated on photographs, on one of
these; Keras and scikit-learn on digits that they were fitted on. split: head(backbone(x)) is the model, from two
files. dd-cam: certified 1-minimal for `confidence:0.9`; units kept of all. gradient: saliency, its slopes compared
with differences. inside: the model with DD-CAM and with the Grad-CAM map inside, compared with model and engine.

| export | inspect | split | dd-cam | gradient | dd-cam inside | grad-cam inside |
|---|---|---|---|---|---|---|"""


class Photographs(CalibrationDataReader):
    """What static quantisation is calibrated on: photographs, since noise leaves those outside of every range."""

    def __init__(self) -> None:
        self.rest = iter([{"x": row[None]} for row in photographs().numpy()])

    def get_next(self) -> dict[str, Any] | None:
        return next(self.rest, None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="exports whose names contain this")
    asked = parser.parse_args()
    versions = {
        "version": ddcam.__version__,
        "runtime": onnxruntime.__version__,
        "torch": torch.__version__,
    }
    print(HEADER.format(**versions))
    reasons: dict[str, int] = {}
    worked = total = 0
    with tempfile.TemporaryDirectory() as folder:
        for title, make in exports(Path(folder)):
            if asked.only not in title:
                continue
            started = time.perf_counter()
            try:
                file = make()
            except Exception as error:  # of other people's converters
                print(f"{title}: the converter fails: {error}", file=sys.stderr, flush=True)
                continue
            cells = [cell(told, reasons) for told in examined(file, Path(folder))]
            total, worked = total + 1, worked + (" of " in cells[2])
            print(f"| {title} | {' | '.join(cells)} |", flush=True)
            print(f"{title}: {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
    print(f"\ndd-cam works for {worked} of {total}.")
    for reason, number in reasons.items():
        print(f"\n{number}. {reason}")


def cell(told: str | Exception, reasons: dict[str, int]) -> str:
    """Return what came out, or the number of the reason why not."""
    return told if isinstance(told, str) else f"({reasons.setdefault(str(told), len(reasons) + 1)})"


# ----- what is produced -----


def exports(folder: Path) -> Iterator[tuple[str, Callable[[], Path]]]:
    for name in NAMES:
        for exporter in EXPORTERS:
            yield f"{name}, {exporter}", lambda n=name, e=exporter: plain(n, e, folder)
    for name in CHANGED:
        for title, change in CHANGES.items():
            yield f"{name}, {title}", lambda n=name, c=change: changed(n, c, folder)
        yield f"{name}, batch of one", lambda n=name: plain(n, "script", folder, free=False)

    for title, write in OTHERS.items():
        yield title, lambda w=write: w(folder / "other.onnx")


def digits() -> tuple[np.ndarray, np.ndarray]:
    """Return scikit-learn's digits as 8 bit pixels `[N, 8, 8]`, and what they are."""
    found = load_digits()
    return np.rint(found.images * (255 / 16)).astype(np.uint8), found.target


def of_keras(build: Callable[[], Any]) -> Callable[[Path], Path]:
    """Train a Keras network on digits for an epoch and export it as the adapter does."""

    def write(file: Path) -> Path:
        keras.utils.set_random_seed(0)
        model, (pixels, target) = build(), digits()
        large = pixels.repeat(4, axis=1).repeat(4, axis=2)[..., None]
        model.compile("adam", "sparse_categorical_crossentropy")
        model.fit(large, target, batch_size=32, epochs=1, verbose=0)
        ddcam_keras.load(model, preprocessing="raw", file=file)
        return file

    return write


def of_sklearn(estimator: Any) -> Callable[[Path], Path]:
    """Fit an estimator on digits and export it as the adapter does."""

    def write(file: Path) -> Path:
        pixels, target = digits()
        estimator.fit(pixels.reshape(len(pixels), -1), target)
        ddcam_sklearn.load(estimator, (8, 8), preprocessing="raw", file=file)
        return file

    return write


def sequential() -> Any:
    parts = [
        keras.Input((32, 32, 1)),
        layers.Rescaling(1 / 255),
        layers.Conv2D(16, 3, strides=2, padding="same"),
        layers.BatchNormalization(),
        layers.ReLU(),
        layers.SeparableConv2D(32, 3, padding="same", activation="relu"),
        layers.GlobalAveragePooling2D(),
        layers.Dense(10, activation="softmax"),
    ]
    return keras.Sequential(parts)


def functional() -> Any:
    start = keras.Input((32, 32, 1))
    x = layers.Conv2D(16, 3, strides=2, padding="same", activation="relu")(layers.Rescaling(1 / 255)(start))
    x = layers.Add()([x, layers.Conv2D(16, 3, padding="same", activation="relu")(x)])
    x = layers.Flatten()(layers.MaxPooling2D()(x))
    return keras.Model(start, layers.Dense(10, activation="softmax")(layers.Dense(32, activation="relu")(x)))


def plain(name: str, exporter: str, folder: Path, free: bool = True) -> Path:
    exported(name, settled(name), exporter, folder, free)
    return folder / f"{name}.{exporter}{'' if free else '.one'}.onnx"


def settled(name: str) -> torch.nn.Module:
    """Make a network whose normalisations have seen pictures: untrained ones of many layers ignore theirs else."""
    net = network(name)
    for part in net.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.train()
            part.momentum = None  # averages over all that it sees
    with torch.no_grad():
        net(torch.cat([photographs(), photographs().flip(3)]))
    return net.eval()


def photographs() -> torch.Tensor:
    """Return the engine's own photographs as these networks take them."""
    rows = torch.from_numpy(np.load(PICTURES)).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(values).reshape(1, 3, 1, 1) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    return torch.nn.functional.interpolate((rows - mean) / std, (224, 224), mode="bilinear")


def changed(name: str, change: Callable[[str, Path, Path], None], folder: Path) -> Path:
    out = folder / "changed.onnx"
    change(name, plain(name, "script", folder), out)
    return out


def static(form: QuantFormat) -> Callable[[str, Path, Path], None]:
    return lambda _, file, out: quantize_static(file, out, Photographs(), quant_format=form)


def half(_: str, file: Path, out: Path) -> None:
    onnx.save(convert_float_to_float16(onnx.load(file), keep_io_types=True), out)


def at_opset(version: int) -> Callable[[str, Path, Path], None]:
    return lambda _, file, out: onnx.save(version_converter.convert_version(onnx.load(file), version), out)


CHANGES: dict[str, Callable[[str, Path, Path], None]] = {
    "static QDQ": static(QuantFormat.QDQ),
    "static QOperator": static(QuantFormat.QOperator),
    "dynamic int8": lambda _, file, out: quantize_dynamic(file, out),
    "float16": half,
    "operator set 21": at_opset(21),
    "operator set 16": at_opset(16),
}


OTHERS: dict[str, Callable[[Path], Path]] = {
    "Keras, Sequential with pooling": of_keras(sequential),
    "Keras, functional with a residual": of_keras(functional),
    "skl2onnx, MLPClassifier": of_sklearn(make_pipeline(StandardScaler(), MLPClassifier((64,), random_state=0))),
    "skl2onnx, RandomForestClassifier": of_sklearn(RandomForestClassifier(50, random_state=0)),
    "skl2onnx, LogisticRegression": of_sklearn(make_pipeline(StandardScaler(), LogisticRegression())),
    "skl2onnx, SVC": of_sklearn(make_pipeline(StandardScaler(), SVC(probability=True, random_state=0))),
}


# ----- what works -----


def examined(file: Path, folder: Path) -> list[str | Exception]:
    own = file.stem == "other"
    wishes, work = Wishes(preprocessing=None if own else "imagenet"), tempfile.mkdtemp(dir=folder)
    picture = from_pixels(digits()[0][1405] if own else np.load(PICTURES)[0], "digit" if own else "photograph")
    model: list[ddcam.Model] = []

    def inspected() -> str:
        report = ddcam.inspect(file, wishes)
        if report["refusal"]:
            raise ddcam.DdcamError(report["refusal"])
        model.append(load(file, wishes))
        return f"{model[0].split.count} {plural(model[0].split.units)}"

    def searched() -> str:
        found = ddcam.explain(model[0], picture, preserve="confidence:0.9").attribution
        certificate = found.certificate
        if certificate is None or not certificate.holds:
            raise SystemExit(f"{file.name}: not certified ({found.outcome})")
        return f"{len(found.subset or ())} of {model[0].split.count}"

    def differentiated() -> str:
        ddcam.explain(model[0], picture, preserve="confidence:0.9", method="saliency")
        return "yes"

    def split() -> str:
        return f"within {split_files(file, Path(work) / 'split', wishes)[1]:.0e}"

    def embedded(method: str) -> str:
        found = export(file, Path(work) / f"{method}.onnx", Export(method), wishes)
        return f"within {found.maps:.0e}"

    exports = [partial(embedded, method) for method in ("dd-cam", "grad-cam")]
    return [tried(what) for what in (inspected, split, searched, differentiated, *exports)]


def tried(work: Callable[[], str]) -> str | Exception:
    try:
        return work()
    except ddcam.DdcamError as refusal:
        return refusal
    except IndexError:
        return ddcam.DdcamError("it could not be loaded")


if __name__ == "__main__":
    main()
