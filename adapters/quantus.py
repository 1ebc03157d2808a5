"""ddcam's methods as the function that Quantus calls for explanations."""

from collections.abc import Callable
from typing import Any

from ..engine.maps import maps_of
from ..engine.model import Model
from ..engine.types import Floats


def explain_func(made: Model, method: str = "dd-cam", preserve: str | None = None) -> Callable[..., Floats]:
    """Return `f(model, inputs, targets, **kwargs)` for the `explain_func` of Quantus' metrics.

    `made` is the same network as loaded by ddcam, `method` a name of `ddcam methods` with options, `preserve` the
    predicate of methods that search (by default `confidence:0.9` of the target). The function takes what Quantus hands
    it: inputs `[N, C, H, W]` as the network takes them, targets `[N]`; it returns maps `[N, 1, H, W]`. The network that
    Quantus passes is not asked: where a metric changes it (randomised weights), ddcam does not see that, so such
    metrics mean nothing here (`ddcam evaluate` has its own). Raises what `explain` raises. Cost: the method's for each
    input.
    """

    def explain(model: Any, inputs: Any, targets: Any, **_: Any) -> Floats:  # noqa: ARG001  (Quantus' signature)
        return maps_of(made, inputs, targets, method, preserve)

    return explain
