"""An ONNX file as plain values: nodes, arrays and the shapes at its ends. Nothing in it is believed before it is checked."""

import os
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthwise.data.formats.keras_file import open_file
from depthwise.data.formats.onnx.package import require_onnx
from depthwise.dataclass import dataclass
from depthwise.errors import InvalidFileError, UnsupportedError, describe_value

__all__ = ["MOST_AXES", "Ends", "Node", "OnnxGraph", "attributes_of", "parse", "read_model_proto"]

PathLike = str | os.PathLike[str]

MOST_NODES = 100_000
OLDEST_OPSET, MOST_NUMBERS = 6, 2**31 - 1
DEEPEST_GRAPH = 16
MOST_AXES = 32
"""What every version of NumPy computes with."""
LARGEST_FILE = 2**31 - 1
"""A protocol buffer cannot be larger."""
LARGEST_OFFSET = 2**62


@dataclass(frozen=True)
class Node:
    """One node: `attributes` are Python values, arrays, and graphs as messages; `message` is what it was read from, `scope` what
    the names inside its graphs mean where it comes from a function."""

    operator: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    message: Any = None
    scope: Any = None

    @property
    def reads_inside(self) -> set[str]:
        """What its graphs read of the values around it."""
        graphs = [item for item in self.attributes.values() if hasattr(item, "initializer")]
        names = {name for graph in graphs for name in _free_names(graph, 0)}
        return {self.scope[name] if self.scope is not None else name for name in names}


def _free_names(graph: Any, depth: int) -> set[str]:
    """What a graph reads that it does not make itself."""
    if depth > DEEPEST_GRAPH:
        raise UnsupportedError(f"graphs inside graphs more than {DEEPEST_GRAPH} deep are not supported")
    own = {name for node in graph.node for name in node.output}
    own |= {item.name for item in (*graph.initializer, *graph.input)}
    read = {name for node in graph.node for name in node.input} | {item.name for item in graph.output}
    for node in graph.node:
        for item in node.attribute:
            if item.HasField("g"):
                read |= _free_names(item.g, depth + 1)
    return read - own - {""}


@dataclass(frozen=True)
class Ends:
    """An input or output: `element` is ONNX' number of its type; a size is a number, a symbol's name, or None. `shape` None:
    it does not say."""

    name: str
    element: int
    shape: tuple[int | str | None, ...] | None


@dataclass(frozen=True)
class OnnxGraph:
    """A file taken apart; the nodes are in an order in which each comes after what it reads."""

    what: str
    name: str
    opset: int
    nodes: tuple[Node, ...]
    arrays: Mapping[str, NDArray[Any]]
    inputs: tuple[Ends, ...]
    outputs: tuple[Ends, ...]


def read_model_proto(filepath: PathLike) -> tuple[Any, str]:
    """The message in a file, and what errors call the file.

    Raises:
        InvalidFileError: it cannot be read, or is not an ONNX file.
    """
    onnx = require_onnx()
    what = describe_value(os.fspath(filepath), 200)
    try:
        with open_file(filepath, what) as file:
            size = os.fstat(file.fileno()).st_size
            if size > LARGEST_FILE:
                raise InvalidFileError(f"{what} is {size:,} bytes large; an ONNX file has at most {LARGEST_FILE:,}")
            data = file.read()
    except OSError as error:
        raise InvalidFileError(f"{what} cannot be read: {describe_value(str(error))[1:-1]}") from error
    try:
        return onnx.load_model_from_string(data), what
    except Exception as error:  # the package's own class of errors depends on its protobuf
        raise InvalidFileError(f"{what} is not an ONNX file, or a damaged one") from error


def _whole(text: str | None, default: int) -> int:
    """A whole number from 0 that a file gives as text; −1 for any other text."""
    if not text:
        return default
    return int(text) if len(text) < 20 and text.isascii() and text.isdigit() else -1


def _text(value: Any) -> str:
    """A name; the protobuf of today gives bytes where it is not UTF-8."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def parse(model: Any, what: str, external_data: PathLike | None = None) -> OnnxGraph:
    """The graph of a `ModelProto`.

    Args:
        external_data: the folder in which arrays outside the file are looked for; no other place is read.

    Raises:
        InvalidFileError: it contradicts itself.
        UnsupportedError: an operator set before 6, operators of another domain, or too many nodes.
    """
    model = _inlined_functions(model, what)
    opset = _opset(model, what)
    graph = model.graph
    if len(graph.node) > MOST_NODES:
        raise UnsupportedError(f"{what} has {len(graph.node):,} nodes; at most {MOST_NODES:,} are read")
    if graph.sparse_initializer:
        raise UnsupportedError(f"{what} has sparse weights, which are not supported; store them as ordinary tensors")
    reader = _Arrays(what, external_data)
    arrays = {}
    for item in graph.initializer:
        name = _text(item.name)
        if name in arrays:
            raise InvalidFileError(f"{what}: two weights are named {describe_value(name)}")
        arrays[name] = reader.array(item)
    nodes = _ordered([_node(node, what, reader) for node in graph.node], arrays, graph, what)
    inputs = tuple(_ends(item, what) for item in graph.input if _text(item.name) not in arrays)
    outputs = tuple(_ends(item, what) for item in graph.output)
    if not outputs:
        raise InvalidFileError(f"{what} has no outputs")
    return OnnxGraph(what, _text(graph.name), opset, nodes, arrays, inputs, outputs)


def _inlined_functions(model: Any, what: str) -> Any:
    """The model with its own functions put in their place."""
    if not model.functions:
        return model
    if len(model.functions) > 1000 or len(model.graph.node) > MOST_NODES:
        raise UnsupportedError(f"{what} has {len(model.functions):,} functions of its own; at most 1,000 are read")
    import onnx.inliner

    _refuse_recursion(model, what)
    try:
        return onnx.inliner.inline_local_functions(model)
    except Exception as error:
        raise InvalidFileError(f"{what}: its functions cannot be put in their place") from error


def _refuse_recursion(model: Any, what: str) -> None:
    """InvalidFileError for functions that call themselves, or so many others that the result would be too large."""
    calls = {(item.domain, item.name): [(node.domain, node.op_type) for node in item.node] for item in model.functions}
    sizes: dict[tuple[str, str], int] = {}
    for start in calls:
        stack = [(start, False)]
        entered = set()
        while stack:
            own, left = stack.pop()
            if own in sizes or own not in calls:
                continue
            if left:
                sizes[own] = sum(sizes.get(item, 1) for item in calls[own])
                continue
            if own in entered:
                raise InvalidFileError(f"{what}: the function {describe_value(own[1])} calls itself")
            entered.add(own)
            stack.append((own, True))
            inner = [item for item in calls[own] if item in calls and item not in sizes]
            if any(item in entered and item not in sizes for item in inner):
                raise InvalidFileError(f"{what}: the function {describe_value(own[1])} calls itself")
            stack.extend((item, False) for item in inner)
    total = sum(sizes.get((node.domain, node.op_type), 1) for node in model.graph.node)
    if total > MOST_NODES:
        raise UnsupportedError(
            f"{what} has {total:,} nodes with its functions in their place; at most {MOST_NODES:,} are read"
        )


def _opset(model: Any, what: str) -> int:
    versions = [int(item.version) for item in model.opset_import if item.domain in ("", "ai.onnx")]
    if not versions and not model.graph.node:
        raise InvalidFileError(f"{what} is not an ONNX file, or an empty one")
    opset = max(versions, default=1)
    if opset < OLDEST_OPSET:
        raise UnsupportedError(
            f"{what} is of the operator set {opset}; {OLDEST_OPSET} and later are read, onnx.version_converter brings it there"
        )
    return opset


def _node(node: Any, what: str, arrays: "_Arrays") -> Node:
    if node.domain not in ("", "ai.onnx"):
        raise UnsupportedError(
            f"{what}: the operator {describe_value(node.op_type)} of the domain {describe_value(node.domain)} is not supported; "
            "only ONNX' own operators are"
        )
    return Node(
        _text(node.op_type), _text(node.name), tuple(map(_text, node.input)), tuple(map(_text, node.output)),
        attributes_of(node, what, arrays), node,
    )  # fmt: skip


def attributes_of(node: Any, what: str, arrays: "_Arrays | None" = None) -> dict[str, Any]:
    """The attributes of a node message: numbers, bytes as text, lists, arrays; graphs as messages."""
    arrays = arrays or _Arrays(what, None)
    found: dict[str, Any] = {}
    for item in node.attribute:
        kind = int(item.type)
        plain = {1: "f", 2: "i", 3: "s", 5: "g", 6: "floats", 7: "ints", 8: "strings", 10: "graphs"}.get(kind)
        if kind == 4:
            found[_text(item.name)] = arrays.array(item.t)
        elif plain is None:
            raise UnsupportedError(
                f"{what}: the attribute {describe_value(item.name)} of {describe_value(node.op_type)} is of a kind that is "
                "not supported"
            )
        else:
            value = getattr(item, plain)
            if kind in (6, 7, 8):
                value = list(value)
            if kind == 3:
                value = value.decode("utf-8", "replace")
            found[_text(item.name)] = value
    return found


def _ends(item: Any, what: str) -> Ends:
    if not item.type.HasField("tensor_type"):
        raise UnsupportedError(
            f"{what}: {describe_value(item.name)} is no tensor but a sequence, map or optional value, which is not supported"
        )
    tensor = item.type.tensor_type
    if not tensor.HasField("shape"):
        return Ends(_text(item.name), int(tensor.elem_type), None)
    shape: list[int | str | None] = []
    for size in tensor.shape.dim:
        given: int | str | None = int(size.dim_value) if size.HasField("dim_value") else _text(size.dim_param) or None
        if given == -1:
            given = None  # how older exporters leave it open
        if isinstance(given, int) and not 0 <= given <= MOST_NUMBERS:
            raise InvalidFileError(f"{what}: {describe_value(item.name)} has an axis of {given} numbers")
        shape.append(given)
    if len(shape) > MOST_AXES:
        raise UnsupportedError(
            f"{what}: {describe_value(item.name)} has {len(shape)} axes; at most {MOST_AXES} are read"
        )
    return Ends(_text(item.name), int(tensor.elem_type), tuple(shape))


def _ordered(nodes: list[Node], arrays: Mapping[str, Any], graph: Any, what: str) -> tuple[Node, ...]:
    """The nodes, each after what it reads.

    Raises:
        InvalidFileError: a circle, a name written twice, or one that nothing writes.
    """
    known = {"", *arrays, *(_text(item.name) for item in graph.input)}
    writer: dict[str, int] = {}
    for i, node in enumerate(nodes):
        for name in node.outputs:
            if name and (name in writer or name in known):
                raise InvalidFileError(f"{what}: the value {describe_value(name)} is written twice")
            writer[name] = i
    reads = [[*node.inputs, *sorted(node.reads_inside)] for node in nodes]
    if all(name in known or writer.get(name, len(nodes)) < i for i, names in enumerate(reads) for name in names):
        return tuple(nodes)
    order: dict[int, Node] = {}
    for start in range(len(nodes)):
        stack, entered = [(start, False)], set()
        while stack:
            i, left = stack.pop()
            if i in order:
                continue
            if left:
                order[i] = nodes[i]
                continue
            entered.add(i)
            stack.append((i, True))
            for name in reads[i]:
                if name in known:
                    continue
                if name not in writer:
                    raise InvalidFileError(
                        f"{what}: the node {describe_value(nodes[i].name or nodes[i].operator)} reads {describe_value(name)}, "
                        "which nothing writes"
                    )
                before = writer[name]
                if before in entered and before not in order:
                    raise InvalidFileError(
                        f"{what}: the nodes form a circle through {describe_value(nodes[before].name or nodes[before].operator)}"
                    )
                if before not in order:
                    stack.append((before, False))
    return tuple(order.values())


class _Arrays:
    """Reads tensors; what they say of their size is compared with what is there before anything is made of it."""

    def __init__(self, what: str, folder: PathLike | None) -> None:
        self.what, self.folder = what, folder

    def array(self, tensor: Any) -> NDArray[Any]:
        onnx = require_onnx()
        name, shape = describe_value(tensor.name or "without a name"), tuple(int(size) for size in tensor.dims)
        if any(size < 0 for size in shape) or prod(shape) > MOST_NUMBERS or len(shape) > MOST_AXES:
            raise InvalidFileError(f"{self.what}: the tensor {name} has the impossible shape {describe_value(shape)}")
        if tensor.HasField("segment"):
            raise UnsupportedError(f"{self.what}: the tensor {name} is stored in segments, which is not supported")
        try:
            bits = self._bits(onnx, int(tensor.data_type))
            if int(tensor.data_location) == int(onnx.TensorProto.EXTERNAL):
                tensor = self._with_external(onnx, tensor, name, -(-prod(shape) * bits // 8))
            if tensor.HasField("raw_data") and len(tensor.raw_data) * 8 < prod(shape) * bits:
                raise ValueError("too few bytes")
            found: NDArray[Any] = np.asarray(onnx.numpy_helper.to_array(tensor))
        except InvalidFileError:
            raise
        except (ValueError, TypeError, KeyError, OverflowError) as error:
            raise InvalidFileError(
                f"{self.what}: the tensor {name} does not hold the numbers of its shape {describe_value(shape)}"
            ) from error
        if found.shape != shape:
            raise InvalidFileError(
                f"{self.what}: the tensor {name} does not have its own shape {describe_value(shape)}"
            )
        return found

    def _bits(self, onnx: Any, element: int) -> int:
        narrow = {"UINT4": 4, "INT4": 4, "FLOAT4E2M1": 4, "UINT2": 2, "INT2": 2}
        label = onnx.TensorProto.DataType.Name(element)
        if label == "STRING":
            return 0
        return narrow.get(label) or 8 * onnx.helper.tensor_dtype_to_np_dtype(element).itemsize

    def _with_external(self, onnx: Any, tensor: Any, name: str, needed: int) -> Any:
        """The same tensor with the bytes of its file in it."""
        said = {item.key: item.value for item in tensor.external_data}
        location = said.get("location", "")
        if self.folder is None:
            raise InvalidFileError(
                f"{self.what}: the tensor {name} lies in another file, {describe_value(location)}; name the folder that it is in: "
                "load_model(…, external_data=folder)"
            )
        if not location or Path(location).name != location or location in (".", ".."):
            raise InvalidFileError(
                f"{self.what}: the tensor {name} lies in {describe_value(location)}, which is no plain file name; only files "
                "directly in the folder given as external_data are read"
            )
        path = Path(self.folder) / location
        offset, length = (_whole(said.get(key), default) for key, default in (("offset", 0), ("length", needed)))
        if not 0 <= offset < LARGEST_OFFSET or length != needed or path.is_symlink():
            raise InvalidFileError(f"{self.what}: what the tensor {name} says of its file does not fit its shape")
        try:
            with open_file(path, describe_value(location)) as file:
                file.seek(offset)
                data = file.read(length)
        except (OSError, InvalidFileError) as error:
            raise InvalidFileError(
                f"{self.what}: the file {describe_value(location)} of the tensor {name} cannot be read in the folder "
                f"{describe_value(os.fspath(self.folder), 200)}"
            ) from error
        found = onnx.TensorProto()
        found.CopyFrom(tensor)
        del found.external_data[:]
        found.data_location = onnx.TensorProto.DEFAULT
        found.raw_data = data
        return found
