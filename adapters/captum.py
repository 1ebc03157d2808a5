"""ddcam's methods behind the verb that Captum's attributions have."""

from dataclasses import dataclass
from typing import Any

from ..engine.maps import maps_of
from ..engine.model import Model
from ..engine.types import Floats


@dataclass(frozen=True)
class Attribution:
    """A method on a loaded model that is called like Captum's: `Attribution(model, "grad-cam").attribute(inputs)`.

    `method` is a name of `ddcam methods` with options, `preserve` the predicate of methods that search
    (by default `confidence:0.9` of the target).
    """

    model: Model
    method: str = "dd-cam"
    preserve: str | None = None

    def attribute(self, inputs: Any, target: Any = None) -> Floats:
        """Return maps `[N, 1, H, W]` of model inputs `[N, ...]`, tensors or arrays.

        `target` is a class index, one for each input, or nothing for the class decided for.
        Captum returns a tensor of the inputs' shape; this is an array with one channel, for a map has no colours.
        Raises what `explain` raises. Cost: the method's for each input.
        """
        targets = [target] * len(inputs) if isinstance(target, int) else target
        return maps_of(self.model, inputs, targets, self.method, self.preserve)
