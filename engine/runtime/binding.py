"""A head whose features stay on the device: only masks travel to it and only logits back."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import RunError
from ..types import Device, Floats, Masks
from .batching import batches
from .device import runtime
from .session import Session, brief


class MaskedHead:
    """A head graph with the inputs `features` `[1, ...]` and `mask` `[B, n]` and the output `logits` `[B, classes]`."""

    def __init__(self, session: Session, names: tuple[str, str, str], features: Any, batch: int) -> None:
        """Bind features, an array to upload or the `uploaded` of another head on the same device.

        `names` are those of features, mask and logits, `batch` the most masks a run.
        """
        self.features, self.mask, self.logits = names
        self.session = session
        self.batch = batch
        self.binding = session.handle.io_binding()
        self.uploaded = upload(features, session.device) if isinstance(features, np.ndarray) else features
        self.binding.bind_ortvalue_input(self.features, self.uploaded)

    def score(self, masks: Masks) -> Floats:
        """Return the logits `[B, classes]` float32 of masks `[B, n]`; cost: one head forward per mask, batched."""
        return np.concatenate([self.run(part) for part in batches(masks, self.batch)])

    def run(self, masks: Masks) -> Floats:
        self.binding.bind_cpu_input(self.mask, np.ascontiguousarray(masks, np.float32))
        self.binding.bind_output(self.logits)
        try:
            self.session.handle.run_with_iobinding(self.binding)
        except Exception as error:  # ONNX Runtime's exceptions share no base class
            raise RunError(f"ONNX Runtime failed in the head: {brief(error)}") from error
        logits: Floats = self.binding.copy_outputs_to_cpu()[0]
        return logits


def upload(features: NDArray[Any], device: Device) -> Any:
    """Copy an array to a device, once."""
    return runtime().OrtValue.ortvalue_from_numpy(np.ascontiguousarray(features), device, 0)
