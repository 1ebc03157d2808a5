"""Maps for a batch of model inputs, as libraries ask for them that bring their own pictures and targets."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import OptionError, PictureError
from .explain import at_input
from .methods import method_named
from .model import Model
from .problem import Problem
from .types import Floats


def maps_of(
    model: Model, inputs: Any, targets: Iterable[Any] | None, method: str, preserve: str | None = None
) -> Floats:
    """Return the maps `[N, 1, H, W]` of model inputs `[N, ...]`, prepared already, of targets `[N]`.

    Without targets the class decided for is explained, each time. By default a target keeps nine tenths of its
    probability (`confidence:0.9`), since `top1` is refused for all classes but the one decided for. Raises
    PictureError for inputs of another shape, OptionError for targets of another number, and what `explain` raises.
    Cost: the method's for each input.
    """
    arrays = as_arrays(inputs, model)
    wanted = [None] * len(arrays) if targets is None else [str(int(target)) for target in np.ravel(as_numbers(targets))]
    if len(wanted) != len(arrays):
        raise OptionError(f"expected a target for each of {len(arrays)} inputs, got {len(wanted)}")
    attribute = method_named(method)
    found = []
    for index, target in enumerate(wanted):
        kept = preserve or (None if target is None else "confidence:0.9")
        problem = Problem(model, arrays[index : index + 1], target=target, preserve=kept)
        found.append(at_input(attribute(problem).grid_map, model.split, model.opened.preprocessing))
    return np.stack(found)[:, None]


def as_arrays(inputs: Any, model: Model) -> NDArray[Any]:
    picture, shown = model.opened.picture, model.opened.preprocessing
    arrays = np.ascontiguousarray(as_numbers(inputs), picture.dtype)
    shape = picture.shape(len(arrays) if arrays.ndim else 0, shown.height, shown.width)
    if arrays.shape != shape or not len(arrays):
        raise PictureError(f"expected model inputs [N, {', '.join(map(str, shape[1:]))}], got {list(arrays.shape)}")
    return arrays


def as_numbers(values: Any) -> NDArray[Any]:
    """Return an array of what may be a tensor that holds gradients or lies on another device."""
    plain = values.detach().cpu() if hasattr(values, "detach") else values
    return np.asarray(plain)
