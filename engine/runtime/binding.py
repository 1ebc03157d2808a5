"""A head whose fixed inputs stay on the device: only masks travel to it and only logits back."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import RunError
from ..types import Device, Floats, Masks
from .batching import batches
from .device import runtime
from .session import Session, brief


class Bound:
    """A graph of which all inputs but one are bound once; what is missing is given to every run."""

    def __init__(self, session: Session, fixed: Mapping[str, Any], missing: str, output: str) -> None:
        """Bind arrays, which are uploaded, or what another binding on the same device has `uploaded`."""
        self.session, self.missing, self.output = session, missing, output
        self.binding = session.handle.io_binding()
        self.uploaded = {
            name: upload(value, session.device) if isinstance(value, np.ndarray) else value
            for name, value in fixed.items()
        }
        for name, value in self.uploaded.items():
            self.binding.bind_ortvalue_input(name, value)

    def run(self, value: NDArray[Any], also: Sequence[tuple[str, NDArray[Any]]] = ()) -> Floats:
        """Run once with the missing input, a contiguous array of the right type, and others by name."""
        for name, array in ((self.missing, value), *also):
            self.binding.bind_cpu_input(name, array)
        self.binding.bind_output(self.output)
        try:
            self.session.handle.run_with_iobinding(self.binding)
        except Exception as error:  # ONNX Runtime's exceptions share no base class
            raise RunError(f"ONNX Runtime failed in the head: {brief(error)}") from error
        logits: Floats = self.binding.copy_outputs_to_cpu()[0]
        return logits


class MaskedHead:
    """A head from masks `[B, n]` to logits `[B, classes]`, with a second graph for masks that keep few units."""

    def __init__(self, dense: Bound, batch: int, sparse: Bound | None = None, few: int = 0) -> None:
        """Take graphs whose missing inputs are masks float32 `[B, n]` and, for `sparse`, indices int64 `[B, k]`.

        The indices of a row are n, then the units kept, then n + 1 as often as another row keeps more; `few` is
        the most units for which the sparse graph is asked, `batch` the most masks a run.
        """
        self.dense, self.sparse, self.few, self.batch = dense, sparse, few, batch

    def score(self, masks: Masks) -> Floats:
        """Return the logits `[B, classes]` float32 of masks `[B, n]`; cost: one head forward per mask, batched."""
        return np.concatenate([self.run(part) for part in batches(masks, self.batch)])

    def run(self, masks: Masks) -> Floats:
        if self.sparse is not None and int(masks.sum(axis=1).max()) <= self.few:
            return self.sparse.run(indices(masks))
        return self.dense.run(np.ascontiguousarray(masks, np.float32))


def indices(masks: Masks) -> NDArray[np.int64]:
    """Return what `MaskedHead` gives a sparse graph."""
    rows, units = np.nonzero(masks)
    counts = np.bincount(rows, minlength=len(masks))
    count = masks.shape[1]
    found = np.full((len(masks), 1 + int(counts.max())), count + 1, np.int64)
    found[:, 0] = count
    found[rows, 1 + np.arange(len(rows)) - np.repeat(counts.cumsum() - counts, counts)] = units
    return found


def upload(value: NDArray[Any], device: Device) -> Any:
    """Copy an array to a device, once."""
    return runtime().OrtValue.ortvalue_from_numpy(np.ascontiguousarray(value), device, 0)
