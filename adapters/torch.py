"""A PyTorch module, exported to ONNX, as a model that can be explained."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..engine.errors import MissingPackageError, ModelError, OptionError
from ..engine.exported import Records, Source, load_exported
from ..engine.model import Model
from ..engine.types import Wishes

try:
    import torch
except ImportError as error:
    raise MissingPackageError('ddcam.adapters.torch needs PyTorch; pip install "ddcam[torch]"') from error

Exporter = Literal["auto", "dynamo", "torchscript"]
Example: TypeAlias = torch.Tensor | Sequence[int]
TORCHSCRIPT_OPSET = 17
"""The newest that the TorchScript exporter knows for all that it translates."""


def load(  # noqa: PLR0913
    module: torch.nn.Module,
    example: Example,
    *,
    split: str | None = None,
    labels: Sequence[str] | Path | None = None,
    preprocessing: str | Mapping[str, Any] | None = None,
    file: str | Path | None = None,
    exporter: Exporter = "auto",
    **wishes: Any,
) -> Model:
    """Export a module with a free batch, and load the file as `ddcam.load` does.

    `example` is a tensor `[N, C, H, W]` like those the module takes, or its sizes (C, H, W). `split` is the name of
    an inner module ("layer4": its output is found in the exported graph by its values; of several calls the last
    counts) or a tensor of that graph. `labels` are the names of the classes, or a file of them; `preprocessing` is
    the name of a preset ("imagenet") or a mapping with mean, std, fit and further fields of `Preprocessing`. Both are
    written into the file's metadata, so that every reader of the file has them. `file` keeps the export, replacing
    what is there; without it the file is a temporary one that lives as long as the model. `exporter` "auto" is
    torch.export's (dynamo), and the older one by tracing (TorchScript) where that fails. `wishes` are those of
    `ddcam.load`.

    The module is put into evaluation mode for the export, and back afterwards. It must take one tensor and give class
    scores, alone or among several outputs. Raises MissingPackageError without PyTorch, ModelError where no exporter
    can write the module, CheckError where PyTorch's probabilities and ddcam's differ by more than 1e-4 on three
    photographs, and what `ddcam.load` raises. Cost: the export (8 s for a ResNet-18 by dynamo, 1 s by TorchScript; one
    core), then that of `ddcam.load`, which with `split` reads the file twice.
    """
    source = Source(
        type(module).__name__,
        partial(export, module, tensor_like(module, example), exporter),
        partial(predict, module),
        partial(layers, module),
    )
    with evaluating(module):
        return load_exported(source, Wishes(split=split, **wishes), Records(labels, preprocessing), file)


@contextmanager
def evaluating(module: torch.nn.Module) -> Iterator[None]:
    """Put a module into evaluation mode, and every part of it back into the mode that it was in."""
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for part, training in modes.items():
            part.training = training


def tensor_like(module: torch.nn.Module, example: Example) -> torch.Tensor:
    """Return two inputs on the module's device in its precision: torch.export takes a batch of one for fixed."""
    sizes = tuple(example.shape[1:] if isinstance(example, torch.Tensor) else example)
    if len(sizes) != 3 or not all(isinstance(size, int) and size > 0 for size in sizes):
        raise OptionError(f"expected a tensor [N, C, H, W] or its sizes (C, H, W) as the example, got {sizes}")
    place = placed(module)
    if isinstance(example, torch.Tensor) and not example.is_floating_point():
        return torch.zeros((2, *sizes), dtype=example.dtype, device=place.device)
    return torch.zeros((2, *sizes), dtype=place.dtype, device=place.device)


def placed(module: torch.nn.Module) -> torch.Tensor:
    """Return a tensor where the module's weights are, in their precision."""
    weights = [*module.parameters(), *module.buffers()]
    return next((weight for weight in weights if weight.is_floating_point()), torch.zeros(()))


def export(module: torch.nn.Module, inputs: torch.Tensor, exporter: Exporter, path: Path) -> str:
    """Write a module as ONNX with a free batch, and say by which exporter."""
    if exporter not in ("auto", *EXPORTERS):
        raise OptionError(f"expected auto or {' or '.join(EXPORTERS)} as the exporter, got {exporter!r}")
    failures = []
    for name in EXPORTERS if exporter == "auto" else (exporter,):
        try:
            EXPORTERS[name](module, inputs, path)
        except Exception as error:  # exporters raise whatever the module makes them stumble over
            failures.append(f"{name}: {' '.join(str(error).split())[:200]}")
        else:
            return "; ".join([f"torch.onnx ({name})", *failures])
    raise ModelError(f"PyTorch cannot export {type(module).__name__}: {'; '.join(failures)}")


def by_dynamo(module: torch.nn.Module, inputs: torch.Tensor, path: Path) -> None:
    shapes = ({0: torch.export.Dim("batch")},)
    torch.onnx.export(
        module, (inputs,), path, dynamo=True, dynamic_shapes=shapes, input_names=["input"],
        external_data=False, verbose=False,
    )  # fmt: skip


def by_torchscript(module: torch.nn.Module, inputs: torch.Tensor, path: Path) -> None:
    scores = [f"output_{i}" for i in range(len(arrays(module(inputs))))]
    torch.onnx.export(
        module, (inputs,), path, dynamo=False, opset_version=TORCHSCRIPT_OPSET, input_names=["input"],
        output_names=scores, dynamic_axes={name: {0: "batch"} for name in ("input", *scores)},
    )  # fmt: skip


EXPORTERS: Mapping[str, Callable[[torch.nn.Module, torch.Tensor, Path], None]] = {
    "dynamo": by_dynamo,
    "torchscript": by_torchscript,
}


def predict(module: torch.nn.Module, inputs: NDArray[Any]) -> list[NDArray[Any]]:
    """Return all outputs of a module, in the order in which exporters list them."""
    place = placed(module)
    given = torch.from_numpy(inputs).to(place.device)
    return arrays(module(given))


def layers(module: torch.nn.Module, inputs: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Return what every named part of a module puts out, where that is a tensor or begins with one."""
    found: dict[str, NDArray[Any]] = {}

    def keep(name: str, _module: torch.nn.Module, _inputs: Any, output: Any) -> None:
        if values := arrays(output)[:1]:
            found[name] = values[0].copy()  # an activation in place may follow

    hooks = [part.register_forward_hook(partial(keep, name)) for name, part in module.named_modules() if name]
    try:
        predict(module, inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def arrays(output: Any) -> list[NDArray[Any]]:
    """List the tensors of an output in order, however they are packed, as arrays."""
    if isinstance(output, torch.Tensor):
        plain = output.detach().cpu()
        return [np.asarray(plain.float() if plain.dtype == torch.bfloat16 else plain)]
    if isinstance(output, Mapping):
        output = tuple(output.values())
    return [array for part in output for array in arrays(part)] if isinstance(output, list | tuple) else []
