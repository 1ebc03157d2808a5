"""Read an ONNX file without trusting it: syntax, external data, operators, sizes; nothing is run here."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnx
import onnx.inliner
from numpy.typing import NDArray

from ..errors import CheckError, ModelError, UnsafeModelError
from ..types import Content, Parted
from .content import is_heavy, require_light, without_weights
from .external import inline_external_data, tensors
from .safety import refuse_unsafe
from .skeleton import skeleton
from .walk import sort_nodes

LARGEST_FILE = 2**31 - 1
"""Protobuf's own limit on one message."""


@dataclass(frozen=True)
class Graph:
    """A model file as read: its protobuf with all weights inside, and the sha256 of the file(s).

    `held` are inputs that were made weights since, with their values.
    """

    proto: onnx.ModelProto
    path: Path
    sha256: str
    notes: tuple[str, ...] = ()
    held: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    @property
    def opset(self) -> int:
        return opset(self.proto)

    @property
    def metadata(self) -> dict[str, str]:
        return {item.key: item.value for item in self.proto.metadata_props}


def read_model(path: str | Path) -> Graph:
    """Read and check a model file.

    External data is accepted only from regular files inside the model's own folder; local functions are
    inlined. Raises ModelError when the file is not a valid model, UnsafeModelError when it asks for what a
    model has no business with. Cost: a parse, the checker and shape inference; nothing is run.
    """
    path = Path(path)
    content = read_bytes(path)
    proto = parse(content, path)
    external = inline_external_data(proto, path)
    digest = hashlib.sha256(content)
    for block in external:
        digest.update(block)
    sort_nodes(proto.graph)
    refuse_unsafe(proto)
    proto = inline_functions(proto)
    notes = check(proto)
    return Graph(proto, path, digest.hexdigest(), notes)


def read_bytes(path: Path) -> bytes:
    try:
        if not path.exists():
            raise ModelError(f"no such model file: {path}; give the path of an .onnx file")
        if not path.is_file():
            raise ModelError(f"expected an .onnx file, {path} is not a regular file; give the file itself")
        if path.stat().st_size > LARGEST_FILE:
            raise ModelError(f"{path} is over 2 GB, more than an ONNX file can hold; save its weights as external data")
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror}; check the file's name and permissions") from error
    if not content:
        raise ModelError(f"{path} is empty (0 bytes); give a complete .onnx file")
    if content.startswith(b"version https://git-lfs"):
        raise ModelError(f"{path} is not an ONNX model but a Git LFS pointer to one; fetch it with git lfs pull")
    return content


def parse(content: bytes, path: Path) -> onnx.ModelProto:
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(content)
        require_text(proto)
    except Exception as error:  # protobuf's DecodeError has no public home that is stable across backends
        raise ModelError(f"{path} is not an ONNX model (protobuf cannot parse it); is it complete?") from error
    if not proto.graph.node:
        raise ModelError(f"{path} is not an ONNX model: it holds no graph with nodes; give an .onnx file")
    if not proto.opset_import:
        raise ModelError(f"{path} names no operator set, so its operators have no meaning; export it again")
    return proto


def require_text(message: Any) -> None:
    """Raise ValueError where a string of a message is not UTF-8: protobuf hands it out as bytes, or raises later."""
    for kind, value in message.ListFields():
        items = [value] if isinstance(value, str | bytes) or hasattr(value, "ListFields") else value
        if kind.type == kind.TYPE_MESSAGE:
            for item in items:
                require_text(item)
        elif kind.type == kind.TYPE_STRING and not all(isinstance(item, str) for item in items):
            raise ValueError(f"{kind.name} is not UTF-8")


def inline_functions(proto: onnx.ModelProto) -> onnx.ModelProto:
    if not proto.functions:
        return proto
    heavy = is_heavy(proto)  # the binding takes one message
    try:
        inlined: onnx.ModelProto = onnx.inliner.inline_local_functions(without_weights(proto) if heavy else proto)
    except Exception as error:  # the binding raises bare RuntimeErrors and ValueErrors of C++
        raise ModelError(f"the model's local functions cannot be inlined: {one_line(error)}") from error
    inlined.graph.initializer.extend(proto.graph.initializer if heavy else ())
    return inlined


def check(proto: onnx.ModelProto) -> tuple[str, ...]:
    """Run onnx's checker; a shape that contradicts inference is only a note, since runtimes accept such files."""
    newest = onnx.defs.onnx_opset_version()
    if opset(proto) > newest:
        raise ModelError(
            f"the model uses operator set {opset(proto)}, the installed onnx knows those up to {newest}; "
            "update onnx and onnxruntime, or export with an older one"
        )
    bare = skeleton(proto)
    try:
        onnx.checker.check_model(bare)
    except Exception as error:  # ValidationError, and RuntimeErrors from the C++ side
        raise ModelError(f"the model is not valid ONNX: {one_line(error)}") from error
    for tensor in tensors(proto):
        require_readable(tensor)
    try:
        onnx.shape_inference.infer_shapes(bare, strict_mode=True)
    except Exception as error:  # InferenceError, and RuntimeErrors from the C++ side
        return (f"shape inference disagrees with the file: {one_line(error)}",)
    return ()


def require_readable(tensor: onnx.TensorProto) -> None:
    """Raise where a tensor's type, shape and bytes do not fit together, which onnx's checker does not always see."""
    try:
        onnx.numpy_helper.to_array(tensor)
    except Exception as error:  # ValueError, KeyError, TypeError, ..., by what is wrong
        raise ModelError(
            f"the weight {tensor.name!r} is damaged: its type, shape and bytes do not fit together; copy the file again"
        ) from error


def read_graph(content: Content) -> onnx.ModelProto:
    """Read a graph of our own making; ModelError where it is over 2 GB."""
    if isinstance(content, Parted):
        raise ModelError("a graph of over 2 GB does not go into another; take a smaller variant of the model")
    return onnx.load_from_string(content)


def valid_bytes(proto: onnx.ModelProto, what: str) -> bytes:
    """Serialise a graph of our own making once onnx's checker agrees with it; raises CheckError, ModelError."""
    require_light(proto, what)
    try:
        onnx.checker.check_model(proto)
    except Exception as error:  # ValidationError, and RuntimeErrors from the C++ side
        raise CheckError(f"{what} came out invalid: {one_line(error)}; please report this model") from error
    content: bytes = proto.SerializeToString()
    return content


def one_line(error: BaseException, limit: int = 200) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= limit else text[: limit - 3] + "..."


def opset(proto: onnx.ModelProto) -> int:
    """Return the version of the standard operator set."""
    for item in proto.opset_import:
        if item.domain in ("", "ai.onnx"):
            return int(item.version)
    raise UnsafeModelError("the model imports no standard operator set (ai.onnx); export it as plain ONNX")
