"""The straightforward way, to compare with: the whole model with a mask in its middle, one probe at a time."""

import numpy as np
import onnx
from onnx import helper

from ddcam.engine import Model
from ddcam.engine.graph.cut import FEATURES, LOGITS, MASK, assemble, logit_nodes, mask_nodes
from ddcam.engine.graph.walk import initializers, reads
from ddcam.engine.problem import Problem
from ddcam.engine.runtime.session import Session
from ddcam.engine.search import SEARCHES, Gate, Outcome, search_with
from ddcam.engine.search.additive import additive_ask


def masked_model(model: Model) -> Session:
    """Open the whole model with a second input, the mask, that is applied where the model is split."""
    opened, split, quantized = model.opened, model.split, model.head.quantized
    proto, logits = opened.graph.proto, opened.logits
    masking, tensors = mask_nodes(split, quantized.get(split.tensor), None)
    reading, more = logit_nodes(logits, quantized.get(logits.tensor))
    nodes: list[onnx.NodeProto] = []
    for node in needed(proto.graph, logits.tensor):
        nodes.append(renamed(node, split.tensor))
        nodes += masking if split.tensor in node.output else []
    inputs = [value for value in proto.graph.input if value.name == opened.picture.name]
    inputs.append(helper.make_tensor_value_info(MASK, onnx.TensorProto.FLOAT, ["masks", split.count]))
    outputs = [onnx.ValueInfoProto(name=LOGITS)]
    whole = assemble(proto, [*nodes, *reading], inputs, outputs, [*tensors, *more])
    return Session(whole.SerializeToString(), device=model.device, without=opened.without)


def renamed(node: onnx.NodeProto, tensor: str) -> onnx.NodeProto:
    """Let the node that makes `tensor` make the features; what reads `tensor` then reads the masked features."""
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    copy.output[:] = [FEATURES if name == tensor else name for name in node.output]
    return copy


def needed(graph: onnx.GraphProto, last: str) -> list[onnx.NodeProto]:
    """List the nodes that lead to `last`, in order."""
    names, kept = {last}, []
    for node in reversed(graph.node):
        if names.intersection(node.output):
            kept.append(node)
            names.update(reads(node))
    missing = names - initializers(graph).keys() - {name for node in kept for name in node.output}
    assert missing <= {value.name for value in graph.input}, missing
    return kept[::-1]


def index_ddmin(problem: Problem) -> tuple[tuple[int, ...], int]:
    """Run the paper's ddmin, one probe after the other in index order; return the subset and the number of probes.

    The answers are those of the whole model, but asked of the head, which is faster; `run_index_ddmin` asks the model.
    """
    table = problem.table
    ask = problem.keeps if table is None else additive_ask(table, problem.predicate, problem.keeps_alone)
    return counted(Gate(ask, problem.units, 1))


def run_index_ddmin(problem: Problem, whole: Session) -> tuple[tuple[int, ...], int]:
    """Do the same with one run of the whole model per probe."""

    def ask(masks: np.ndarray) -> np.ndarray:
        feeds = {problem.model.opened.picture.name: problem.input, MASK: masks.astype(np.float32)}
        return problem.predicate.keeps(whole.run(feeds)[0].astype(np.float64))

    return counted(Gate(ask, problem.units, 1))


def counted(gate: Gate) -> tuple[tuple[int, ...], int]:
    subset, outcome = search_with(SEARCHES["ddmin"], gate)
    assert outcome in (Outcome.ONE_MINIMAL, Outcome.EMPTY_SUFFICES), outcome
    return subset, gate.probes
