"""Find the attention probabilities of every block of a transformer, for methods that follow what attends to what."""

from collections.abc import Mapping, Sequence

import onnx

from ..errors import GradientError
from ..types import Candidate, Tensor, Value
from .split import ATTENTION, is_attention
from .walk import downstream, path_nodes, producers

OTHERWISE = "explain with another method, such as nested or grad-cam"


def attention_layers(
    graph: onnx.GraphProto, ends: tuple[str, str], candidates: Sequence[Candidate], values: Mapping[str, Value]
) -> list[Candidate]:
    """Return the probabilities of every attention in order, and behind them the last tokens that the head reads.

    Raises GradientError where there is no attention, where an operator keeps its probabilities to itself, and where
    rows are not all the tokens (windows, pooled keys, class attention).
    """
    path, made = path_nodes(graph, *ends), producers(graph)
    found = [node for node in path if is_attention(node, path, made)]
    tokens = [candidate for candidate in candidates if candidate.form == "tokens"]
    if not found or not tokens:
        raise GradientError(f"the model has no attention between tokens; {OTHERWISE}")
    for node in found:
        if node.op_type in ATTENTION:
            raise GradientError(f"{node.op_type} (node {node.name!r}) keeps its probabilities to itself; {OTHERWISE}")
    last, count = tokens[-1], tokens[-1].tensor.shape[1]
    for shape in (values[node.output[0]].shape for node in found):
        if shape[-2:] != (count, count) or len(shape) not in (3, 4):
            raise GradientError(f"attention {list(shape)} is not between all {count} tokens, but windows; {OTHERWISE}")
    names = [node.output[0] for node in found]
    if last.tensor.name not in downstream(graph, names[-1:]):
        raise GradientError(f"the last attention is not followed by a row of all tokens; {OTHERWISE}")
    return [*(probabilities(name, values[name], last) for name in names), last]


def probabilities(name: str, value: Value, tokens: Candidate) -> Candidate:
    """Describe what holds one block's probabilities, `[N, heads, T, T]` or `[N * heads, T, T]`."""
    return Candidate(Tensor(name, value.dtype, value.shape), "attention", 1, tokens.grid, tokens.fixed)
