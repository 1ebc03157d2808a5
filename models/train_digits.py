"""Train the demo models with PyTorch, draw their pictures: `python -m ddcam.models.train_digits`.

To be run by hand; nothing imports it, and nothing else here needs PyTorch.
"""

import hashlib
import importlib.metadata
import json
import math
import platform
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import NodeProto, helper
from PIL import Image

from .digits import HELD_OUT, INK, LABELS, SIZE, SPLIT_SEED, held_out_digits, raw_digits, training_digits
from .digits_graphs import GRAPHS, Draft, to_model

Floats = NDArray[np.float32]
Rules = Mapping[str, Callable[..., Any]]

FOLDER = Path(__file__).parent
SEED = 1
BATCH = 64
PICTURED = ("zero", "two", "three", "four", "five", "six")
PICTURE_SIZE = 256
UNDECIDED = [0.19 if label == "eight" else 0.09 for label in LABELS]
"""What nothing should look like: not ten equal chances, or the smallest trace of the digit decides."""

SOURCE = "Optical Recognition of Handwritten Digits, E. Alpaydin and C. Kaynak, 1998, as scikit-learn ships it"
METADATA = {
    "preprocessing": json.dumps({"name": "unit"}),
    "labels": json.dumps(LABELS),
    "author": "the ddcam contributors",
    "licence": "Apache-2.0",
    "training_data": SOURCE,
}


@dataclass(frozen=True)
class Recipe:
    """How a network is trained: epochs, highest learning rate, weight of `decidedness` in the loss."""

    epochs: int
    rate: float
    against_decidedness: float


RECIPES = {
    "digits_cnn_additive": Recipe(60, 4e-3, 0),
    "digits_cnn_interacting": Recipe(60, 4e-3, 0),
    # With 0 the ViT's class token had read the picture before the last block: on 40 of 40 held-out digits
    # it kept the decision there with no patch token left, and there was nothing to explain.
    "digits_vit": Recipe(120, 2e-3, 1),
}


def main() -> None:
    """Train, check and write three models, then six pictures that all of them get right, then digits.json."""
    import torch  # noqa: PLC0415 - only people who train the models again have it

    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    record = {
        "script": "models/train_digits.py",
        "data": {"source": SOURCE, "split_seed": SPLIT_SEED, "held_out": HELD_OUT, "input_size": SIZE},
        "models": {name: make_model(torch, name) for name in GRAPHS},
        "pictures": draw_pictures(),
        "versions": versions(),
    }
    (FOLDER / "digits.json").write_text(json.dumps(record, indent=2) + "\n")


def make_model(torch: Any, name: str) -> dict[str, Any]:
    """Train one network, write its .onnx file, and return what is to be known of it."""
    started = time.perf_counter()
    torch.manual_seed(SEED)
    draft = GRAPHS[name](SEED)
    train(torch, draft, RECIPES[name])
    file = FOLDER / f"{name}.onnx"
    write(file, draft)
    entry = {"file": file.name, **asdict(RECIPES[name]), **measure(torch, draft, file)}
    print(f"{entry}, trained and checked in {time.perf_counter() - started:.0f} s")
    return entry


def train(torch: Any, draft: Draft, recipe: Recipe) -> None:
    """Set the draft's weights by AdamW with warm-up and cosine decay, the pictures moved anew each epoch."""
    digits = training_digits()
    inputs, classes = torch.tensor(digits.inputs), torch.tensor(digits.classes)
    values = constants(torch, draft)
    weights = {key: value.requires_grad_() for key, value in values.items() if trainable(value)}
    optimizer = torch.optim.AdamW(weights.values(), lr=recipe.rate, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        recipe.rate,
        epochs=recipe.epochs,
        steps_per_epoch=math.ceil(len(inputs) / BATCH),
        cycle_momentum=False,
    )
    for _ in range(recipe.epochs):
        for batch in torch.randperm(len(inputs)).split(BATCH):
            optimizer.zero_grad()
            tensors = run(operators(torch), draft.nodes, {**values, "input": moved(torch, inputs[batch])})
            loss = torch.nn.functional.cross_entropy(tensors["logits"], classes[batch])
            (loss + recipe.against_decidedness * decidedness(torch, draft, tensors)).backward()
            optimizer.step()
            schedule.step()
    draft.constants.update({key: tensor.detach().numpy() for key, tensor in weights.items()})


def decidedness(torch: Any, draft: Draft, tensors: Mapping[str, Any]) -> Any:
    """Return the cross-entropy of the head's answer to empty features against `UNDECIDED`."""
    head = draft.nodes[1 + [node.name for node in draft.nodes].index("features") :]
    nothing = run(operators(torch), head, {**tensors, "features": emptied(tensors["features"])})
    return -(nothing["logits"].log_softmax(1) @ torch.tensor(UNDECIDED)).mean()


def emptied(features: Any) -> Any:
    """Set all channels of `[N, C, H, W]` to zero, or all tokens of `[N, T, D]` but the class token."""
    keep = features.new_zeros(features.shape[1:])
    if features.ndim == 3:
        keep[0] = 1
    return features * keep


def moved(torch: Any, inputs: Any) -> Any:
    """Shift by up to 3 pixels, turn by up to 10 degrees, scale by 0.84 to 1.19; each by its own draw."""
    draw = torch.rand(len(inputs), 4) * 2 - 1
    angle, scale = draw[:, 0] * math.radians(10), torch.exp2(draw[:, 1] * 0.25)
    cos, sin, shift = torch.cos(angle) * scale, torch.sin(angle) * scale, draw[:, 2:] * 6 / SIZE
    rows = [torch.stack([cos, -sin, shift[:, 0]], 1), torch.stack([sin, cos, shift[:, 1]], 1)]
    grid = torch.nn.functional.affine_grid(torch.stack(rows, 1), inputs.shape, align_corners=False)
    return torch.nn.functional.grid_sample(inputs, grid, align_corners=False)


def constants(torch: Any, draft: Draft) -> dict[str, Any]:
    """Return the graph's constants as PyTorch tensors."""
    return {key: torch.tensor(values) for key, values in draft.constants.items()}


def trainable(value: Any) -> bool:
    """Say whether a constant is a weight; whole numbers are shapes and scalars belong to formulas."""
    return bool(value.is_floating_point() and value.ndim > 0)


def run(rules: Rules, nodes: Iterable[NodeProto], tensors: Mapping[str, Any]) -> dict[str, Any]:
    """Run ONNX nodes in PyTorch; return the tensors that were given and those that were computed."""
    known = dict(tensors)
    for node in nodes:
        attributes = {each.name: helper.get_attribute_value(each) for each in node.attribute}
        operands = [known[name] for name in node.input]
        known[node.output[0]] = rules[node.op_type](*operands, **attributes)
    return known


def operators(torch: Any) -> Rules:
    """Return what each ONNX operator of the three graphs is in PyTorch; only the cases that occur in them."""
    nn = torch.nn.functional
    return {
        "Add": torch.add,
        "AveragePool": lambda x, kernel_shape, **_: nn.avg_pool2d(x, kernel_shape),
        "Concat": lambda *x, axis: torch.cat(x, axis),
        "Conv": lambda x, w, b, strides, pads=(0,), **_: nn.conv2d(x, w, b, strides, pads[0]),
        "Div": torch.div,
        "Erf": torch.erf,
        "Expand": lambda x, shape: x.expand(shape.tolist()),
        "Flatten": lambda x, axis: x.flatten(axis),
        "Gather": lambda x, index, axis: x.select(axis, int(index)),
        "Gemm": lambda x, w, b, **_: nn.linear(x, w, b),
        "GlobalAveragePool": lambda x: x.mean((2, 3), keepdim=True),
        "LayerNormalization": lambda x, w, b, epsilon, **_: nn.layer_norm(x, w.shape, w, b, epsilon),
        "MatMul": torch.matmul,
        "Mul": torch.mul,
        "Relu": torch.relu,
        "Reshape": lambda x, shape: x.reshape([d or x.shape[i] for i, d in enumerate(shape.tolist())]),
        "Shape": lambda x: torch.tensor(x.shape),
        "Slice": lambda x, start, end: x[int(start) : int(end)],
        "Softmax": lambda x, axis: x.softmax(axis),
        "Transpose": lambda x, perm: x.permute(perm),
    }


def write(file: Path, draft: Draft) -> None:
    """Write the graph with its weights and the shapes of all tensors, if onnx finds no fault in it."""
    model = to_model(draft, file.stem, METADATA)
    model = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, file)


def measure(torch: Any, draft: Draft, file: Path) -> dict[str, Any]:
    """Return size, hash, held-out accuracy in ONNX Runtime and the largest difference from PyTorch."""
    digits = held_out_digits()
    scores = run_file(file, digits.inputs)
    values = constants(torch, draft)
    tensors = run(operators(torch), draft.nodes, {**values, "input": torch.tensor(digits.inputs)})
    return {
        "bytes": file.stat().st_size,
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "weights": sum(value.numel() for value in values.values() if trainable(value)),
        "features": list(tensors["features"].shape[1:]),
        "held_out_accuracy": round(float((scores.argmax(1) == digits.classes).mean()), 4),
        "largest_difference_from_torch": float(np.abs(scores - tensors[draft.nodes[-1].name].numpy()).max()),
    }


def draw_pictures() -> dict[str, dict[str, Any]]:
    """Write one PNG of each pictured class and return which row of the data set each shows."""
    folder = FOLDER / "pictures"
    folder.mkdir(exist_ok=True)
    digits, raw = held_out_digits(), raw_digits()[0]
    shown = {}
    for label in PICTURED:
        rows = digits.rows[digits.classes == LABELS.index(label)]
        row = next(row for row in rows if clearly(label, enlarged(raw[row])))
        enlarged(raw[row]).save(folder / f"{label}_0.png", optimize=True)
        shown[f"{label}_0.png"] = {"label": label, "row": int(row)}
    return shown


def enlarged(raw: Floats) -> Image.Image:
    """Return an 8 x 8 digit as a large grey picture, white on black."""
    grey = Image.fromarray(np.rint(raw * (255 / INK)).astype(np.uint8))
    return grey.resize((PICTURE_SIZE, PICTURE_SIZE), Image.Resampling.BICUBIC)


def clearly(label: str, picture: Image.Image) -> bool:
    """Say whether every model reads the picture as `label`, whole or cropped, however it is made small."""
    border = PICTURE_SIZE // 16
    cropped = picture.crop((border, border, PICTURE_SIZE - border, PICTURE_SIZE - border))
    filters = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.NEAREST)
    small = [each.resize((SIZE, SIZE), way) for each in (picture, cropped) for way in filters]
    inputs = np.stack([np.asarray(each, np.float32)[None] for each in small]) / np.float32(255)
    answers = [run_file(FOLDER / f"{name}.onnx", inputs).argmax(1) for name in GRAPHS]
    return bool((np.stack(answers) == LABELS.index(label)).all())


def run_file(file: Path, inputs: Floats) -> Floats:
    """Return what the model says of `[N, 1, 32, 32]`: `[N, 10]`."""
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    scores: Floats = session.run(None, {"input": inputs})[0]
    return scores


def versions() -> dict[str, str]:
    """Return the versions that the files were made with."""
    packages = ("numpy", "onnx", "onnxruntime", "pillow", "scikit-learn", "torch")
    return {
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in packages},
    }


if __name__ == "__main__":
    main()
