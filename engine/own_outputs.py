"""The model as its file declares it: its own input under its own name, and its own outputs of inputs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .errors import PictureError
from .features import GAINS
from .graph.content import content_of
from .graph.forms import source_name
from .graph.interface import tensor_of
from .model import Model
from .runtime.batching import batches
from .runtime.session import Session
from .types import Tensor

Row = list[NDArray[np.generic]]


@dataclass(frozen=True)
class OwnOutputs:
    """A session of the whole file; `input` has the sizes that were chosen.

    `batch` is how many inputs share a run, `shared` names the outputs that have a row for each: boxes may have none.
    """

    model: Model
    session: Session
    input: Tensor
    outputs: tuple[Tensor, ...]
    batch: int
    shared: frozenset[str]

    def as_taken(self, values: NDArray[np.generic]) -> NDArray[np.generic]:
        """Bring `[N, ...]` as the file declares its input to what the model takes here; PictureError where it is not.

        Nothing is computed: a series or a row of pixels gets four axes.
        """
        wanted = (len(values) if values.ndim else 0, *self.input.shape[1:])
        if values.shape != wanted or not len(values) or values.dtype != self.input.dtype:
            got = f"{values.dtype}[{', '.join(map(str, values.shape))}]"
            raise PictureError(f"expected {self.input} for the model's own input, got {got}")
        opened = self.model.opened
        shape = opened.picture.shape(len(values), opened.preprocessing.height, opened.preprocessing.width)
        return np.ascontiguousarray(values).reshape(shape)

    def run(self, inputs: NDArray[np.generic], names: Sequence[str]) -> list[Row]:
        """Return for each of model inputs `[N, ...]` the outputs of these names, as a run of it alone shapes them.

        Raises RunError. Cost: a forward each; no other output is computed.
        """
        size = self.batch if self.shared.issuperset(names) else 1
        return [row for part in batches(inputs, size) for row in self._rows(part, names)]

    def _rows(self, inputs: NDArray[np.generic], names: Sequence[str]) -> list[Row]:
        values = self.session.run({self.model.opened.picture.name: inputs}, names)
        if len(inputs) == 1:
            return [values]
        return [[value[i : i + 1] for value in values] for i in range(len(inputs))]


def open_own_outputs(model: Model) -> OwnOutputs:
    """Open the whole file on the model's device; inputs share runs where that device gains by it and the file can."""
    opened, graph = model.opened, model.opened.graph.proto
    session = Session(content_of(graph), device=model.device, threads=model.backbone.threads, without=opened.without)
    taken = opened.measured.values[source_name(opened.picture)]
    outputs = [tensor_of(info) for info in graph.graph.output if info.type.HasField("tensor_type")]
    two = opened.measured.batch_two or {}
    shared = frozenset(output.name for output in outputs if two.get(output.name, ())[:1] == (2,))
    batch = model.whole.batch if model.device in GAINS and shared else 1
    source = Tensor(source_name(opened.picture), taken.dtype, (None, *taken.shape[1:]))
    return OwnOutputs(model, session, source, tuple(outputs), batch, shared)
