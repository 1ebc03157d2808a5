"""Weights kept outside the .onnx file: find them, refuse what lies elsewhere, bring them inside.

The containment check is our own because ONNX Runtime 1.31 follows hard links out of the folder (measured).
"""

import math
import os
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath

import onnx

from ..errors import ModelError, UnsafeModelError
from .walk import subgraphs

LARGEST_TOTAL = 2**34
"""Bytes of weights that are read: they are held in memory, some of them several times."""

BYTES: dict[int, int] = {
    int(kind): onnx.helper.tensor_dtype_to_np_dtype(kind).itemsize
    for kind in onnx.TensorProto.DataType.values()
    if kind not in (onnx.TensorProto.UNDEFINED, onnx.TensorProto.STRING)
}
"""Of an element, of every type of one size; of those under a byte too, which lie in fewer."""


def inline_external_data(proto: onnx.ModelProto, path: Path) -> list[bytes]:
    """Bring all external tensors inside `proto`; return the blocks that were read, for the model's sha256.

    Raises UnsafeModelError for a location outside the model's folder (absolute, `..`, symbolic or hard link)
    and ModelError for data that is missing or too short.
    """
    blocks: list[bytes] = []
    outside = [tensor for tensor in tensors(proto) if tensor.data_location == onnx.TensorProto.EXTERNAL]
    refuse_over(sum(map(size_of, outside)), path)  # before anything of it is read
    total = 0
    for tensor in outside:
        block = read_block(tensor, path.parent)
        total += len(block)
        refuse_over(total, path)
        tensor.raw_data = block
        tensor.data_location = onnx.TensorProto.DEFAULT
        del tensor.external_data[:]
        blocks.append(block)
    return blocks


def refuse_over(total: int, path: Path) -> None:
    if total > LARGEST_TOTAL:
        raise ModelError(
            f"the weights of {path} are {total / 2**30:.1f} GiB; ddcam reads models of up to "
            f"{LARGEST_TOTAL >> 30} GiB, so export it as float16 or a smaller variant of it"
        )


def size_of(tensor: onnx.TensorProto) -> int:
    """Return the bytes that a tensor has by its type and shape; 0 where elements have no size, or no known type."""
    return int(math.prod(tensor.dims)) * BYTES.get(tensor.data_type, 0)


def read_block(tensor: onnx.TensorProto, folder: Path) -> bytes:
    entries = {item.key: item.value for item in tensor.external_data}
    file = contained(entries.get("location", ""), folder, tensor.name)
    try:
        offset = int(entries.get("offset", 0))
        length = int(entries.get("length", max(0, file.stat().st_size - offset)))
    except ValueError as error:
        raise ModelError(f"external data of {tensor.name!r}: offset and length must be numbers") from error
    if offset < 0 or length < 0 or offset + length > file.stat().st_size:
        raise ModelError(
            f"external data of {tensor.name!r}: expected {length} bytes at {offset} in {file.name}, "
            f"the file has {file.stat().st_size}; copy the weights again"
        )
    with file.open("rb") as stream:
        stream.seek(offset)
        return stream.read(length)


def contained(location: str, folder: Path, tensor: str) -> Path:
    """Return the file of a location that lies in the model's folder as a regular file with one name."""
    where = f"external data of {tensor!r} lies at {location!r}"
    absolute = PurePosixPath(location).is_absolute() or PureWindowsPath(location).is_absolute()
    if not location or absolute or ".." in PureWindowsPath(location).parts:
        raise UnsafeModelError(f"{where}, outside the model's folder; only files beside the model are read")
    file = folder / location
    try:
        status = os.lstat(file)
    except (OSError, ValueError) as error:
        raise ModelError(f"{where}, but there is no such file; put the weights beside the model") from error
    if file.parent.resolve() != folder.resolve() / PurePosixPath(location).parent:
        raise UnsafeModelError(f"{where}, which a link leads out of the model's folder; use real files")
    if stat.S_ISLNK(status.st_mode) and (blob := hub_blob(file)):
        return blob
    if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
        raise UnsafeModelError(f"{where}, which is a link or no regular file; copy the weights beside the model")
    return file


def hub_blob(link: Path) -> Path | None:
    """Return what a link of the Hugging Face cache means: `snapshots/REVISION/file -> blobs/HASH` of one repository."""
    target = link.resolve()
    revision = next((p for p in link.absolute().parents if p.parent.name == "snapshots"), None)
    if revision is None or target.parent != revision.parent.parent.resolve() / "blobs":
        return None
    return target if target.is_file() and target.stat().st_nlink == 1 else None


def tensors(proto: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Yield every tensor of a model: initializers and attributes, of subgraphs and functions too."""
    yield from graph_tensors(proto.graph)
    for function in proto.functions:
        for node in function.node:
            yield from node_tensors(node)


def graph_tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        yield from node_tensors(node)


def node_tensors(node: onnx.NodeProto) -> Iterator[onnx.TensorProto]:
    for item in node.attribute:
        if item.HasField("t"):
            yield item.t
        if item.HasField("sparse_tensor"):
            yield from (item.sparse_tensor.values, item.sparse_tensor.indices)
        yield from item.tensors
    for graph in subgraphs(node):
        yield from graph_tensors(graph)
