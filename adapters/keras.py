"""A Keras 3 model, exported to ONNX, as a model that can be explained."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..engine.errors import MissingPackageError, ModelError, OptionError
from ..engine.exported import Records, Source, load_exported
from ..engine.model import Model
from ..engine.types import Wishes

try:
    import keras
except ImportError as error:
    raise MissingPackageError(
        f'ddcam.adapters.keras needs Keras 3 and the backend that it is set to ({error}); pip install "ddcam[keras]"'
    ) from error


def load(
    model: Any,
    *,
    split: str | None = None,
    labels: Sequence[str] | Path | None = None,
    preprocessing: str | Mapping[str, Any] | None = None,
    file: str | Path | None = None,
    size: tuple[int, int] | None = None,
    **wishes: Any,
) -> Model:
    """Export a Keras model with a free batch, and load the file as `ddcam.load` does.

    The model takes one picture `[N, H, W, C]` (or `[N, C, H, W]`) and gives class scores, with a softmax or sigmoid
    at its end or not. `split` is the name of one of its layers (the layer's output is found in the exported graph by
    its values; layers inside a nested model have no name here) or a tensor of that graph. `labels` are the names of
    the classes, or a file of them; `preprocessing` is the name of a preset ("symmetric", "caffe", "raw" where a
    Rescaling layer is in the model) or a mapping with mean, std, fit and further fields of `Preprocessing`. Both are
    written into the file's metadata. `file` keeps the export, replacing what is there; without it the file is a
    temporary one that lives as long as the model. `size` is height and width, where the model leaves them free.
    `wishes` are those of `ddcam.load`.

    Keras exports by torch.onnx, tf2onnx or jax2onnx, depending on its backend; the same that the model was made with
    must be set. Raises MissingPackageError without Keras or a backend, ModelError where the model cannot be exported,
    CheckError where Keras' probabilities and ddcam's differ by more than 1e-4 on three photographs, and what
    `ddcam.load` raises. Cost: the export (2 s for a small network by the PyTorch backend) and that of `ddcam.load`,
    which with `split` reads the file twice.
    """
    source = Source(model.name, partial(export, model), partial(predict, model), partial(layers, model))
    with modes_kept(model):
        model(np.zeros(picture_shape(model, size), np.float32), training=False)  # Keras exports what was called once
        return load_exported(source, Wishes(split=split, size=size, **wishes), Records(labels, preprocessing), file)


def picture_shape(model: Any, size: tuple[int, int] | None) -> tuple[int, ...]:
    """Return the shape of one input, free sides set to `size`."""
    shape = getattr(model, "input_shape", None)
    if not isinstance(shape, tuple) or len(shape) != 4:
        raise OptionError(
            f"expected a Keras model of one picture [N, H, W, C], {model.name} takes {shape}; give it one keras.Input"
        )
    free = iter(size or (224, 224))
    return (1, *(next(free) if side is None else side for side in shape[1:]))


@contextmanager
def modes_kept(model: Any) -> Iterator[None]:
    """Leave a model in the mode that it is in: with the PyTorch backend the export puts it into evaluation mode."""
    parts = list(model.modules()) if keras.backend.backend() == "torch" else []
    modes = [(part, part.training) for part in parts]
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


def export(model: Any, path: Path) -> str:
    """Write a model as ONNX, and say by what."""
    backend = keras.backend.backend()
    try:
        model.export(str(path), format="onnx", verbose=False)
    except Exception as error:  # Keras and three exporters raise whatever the model makes them stumble over
        reason = " ".join(str(error).split())[:300]
        raise ModelError(f"Keras cannot export {model.name} with its {backend} backend: {reason}") from None
    return f"keras {keras.__version__} ({backend})"


def predict(model: Any, inputs: NDArray[Any]) -> list[NDArray[Any]]:
    """Return all outputs of a model, in the order in which Keras lists them."""
    return [as_array(value) for value in keras.tree.flatten(model(inputs, training=False))]


def layers(model: Any, inputs: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Return what the layers of a model put out that give one tensor each; a model of no graph of layers has none."""
    known = {layer.name: output for layer in model.layers if hasattr(output := output_of(layer), "shape")}
    if not known:
        return {}
    inner = keras.Model(model.input, list(known.values()))
    return dict(zip(known, map(as_array, inner(inputs, training=False)), strict=True))


def output_of(layer: Any) -> Any:
    """Return the tensor of a layer, or None: one that is called anew each time, or more than once, has none."""
    try:
        return layer.output
    except (AttributeError, ValueError):
        return None


def as_array(value: Any) -> NDArray[Any]:
    return np.asarray(keras.ops.convert_to_numpy(value))
