"""A saved network → an ONNX file."""

import os
from collections.abc import Sequence
from typing import Any

from depthwise import __version__
from depthwise.arguments import integer
from depthwise.compiler.ir.program import Program
from depthwise.compiler.lower import lower
from depthwise.data.formats.keras_file import check_target
from depthwise.data.formats.onnx.package import require_onnx
from depthwise.data.formats.onnx.writing.layout import Layout
from depthwise.data.formats.onnx.writing.nodes import BATCH, Nodes, Tensor, printable
from depthwise.data.formats.onnx.writing.rules import write
from depthwise.data.formats.onnx.writing.rules.convolution import channels_first
from depthwise.data.formats.onnx.writing.writer import Writer
from depthwise.data.formats.saved import SavedNetwork
from depthwise.errors import InvalidArgumentError, UnsupportedError, describe_value
from depthwise.files import atomic_write_bytes
from depthwise.network.graph import Graph

__all__ = ["DEFAULT_OPSET", "NEWEST_OPSET", "OLDEST_OPSET", "check_opset", "make_onnx", "write_onnx"]

PathLike = str | os.PathLike[str]
Shape = tuple[int, ...]

OLDEST_OPSET, DEFAULT_OPSET, NEWEST_OPSET = 13, 17, 22
"""Versions of ONNX' operators that are written: before the first, reductions and slices are other operators; the last is what
the oldest package onnx that we allow knows, and ONNX Runtime with it."""

LARGEST = 2**31 - 1
"""Bytes that a message of protobuf may have."""


def write_onnx(
    network: SavedNetwork,
    filepath: PathLike,
    opset: int = DEFAULT_OPSET,
    channels_first_borders: bool = False,
    overwrite: bool = True,
) -> None:
    """Writes what a network predicts as an ONNX file, wholly or not at all.

    Args:
        opset: the version of ONNX' operators.
        channels_first_borders: images come in and go out with their channels first, which saves the transposition.
        overwrite: replace a file that is there.

    Raises:
        InvalidArgumentError: the name does not end in .onnx, the file exists and `overwrite` is False, or an opset that is not written.
        UnsupportedError: the file would have more than 2 GiB, or a layer has nothing in ONNX; the message names it.
        DepthwiseError: the package onnx is not installed, or the folder cannot be written to; an old file is then as it was.
    """
    check_target(filepath, ".onnx", overwrite)
    model = make_onnx(network, opset, channels_first_borders)
    atomic_write_bytes(filepath, model.SerializeToString())


def check_opset(opset: object) -> int:
    """The version, if it is one that is written.

    Raises:
        InvalidArgumentError: it is not.
    """
    version = integer("ONNX", "opset", opset)
    if not OLDEST_OPSET <= version <= NEWEST_OPSET:
        raise InvalidArgumentError(
            f"ONNX: opset must be between {OLDEST_OPSET} and {NEWEST_OPSET}, got {describe_value(opset)}"
        )
    return version


def make_onnx(network: SavedNetwork, opset: int = DEFAULT_OPSET, channels_first_borders: bool = False) -> Any:
    """The network as an `onnx.ModelProto`; raises what `write_onnx` does."""
    require_onnx()
    version = check_opset(opset)
    size = sum(array.nbytes for array in network.weights.values())
    if size > LARGEST - 2**20:
        raise UnsupportedError(
            f"the weights have {size / 2**30:.2f} GiB, and an ONNX file can hold 2 GiB; save the model as .keras"
        )
    graph = network.graph
    if channels_first_borders:
        _check_channels_last(graph)
    program = lower(graph)
    inputs, outputs = _names(network)
    nodes = Nodes(version, {*inputs, *outputs})
    writer = Writer(program, network.weights, nodes)
    given = []
    for (value, shape), name in zip(program.inputs, inputs):
        layout = _border(shape, channels_first_borders)
        given.append(Tensor(name, layout.shape))
        writer.give(value, given[-1], layout)
    for operation in program.operations:
        write(writer, operation)
    results = _results(writer, program, channels_first_borders)
    return _model(network.tree.name, nodes, given, _called(nodes, results, outputs))


def _check_channels_last(graph: Graph) -> None:
    for call in graph.calls:
        if getattr(call.layer, "data_format", None) == "channels_first":
            raise InvalidArgumentError(
                f"the layer {describe_value(call.name)} has its channels first already, so that nothing is transposed; leave "
                "channels_first out"
            )


def _border(shape: Shape, first: bool) -> Layout:
    """How an input or an output lies."""
    return channels_first(shape) if first and len(shape) in (2, 3) else Layout.plain(shape)


def _names(network: SavedNetwork) -> tuple[list[str], list[str]]:
    """The names of inputs and outputs, all different: those of the layers and models, as Keras has them."""
    taken: set[str] = set()
    lists: list[list[str]] = []
    for ports in (network.tree.inputs, network.tree.outputs):
        names = []
        for port in ports:
            name, count = printable(port.member), 0
            while name in taken:
                count += 1
                name = f"{printable(port.member)}_{count}"
            taken.add(name)
            names.append(name)
        lists.append(names)
    return lists[0], lists[1]


def _results(writer: Writer, program: Program, first: bool) -> list[Tensor]:
    """A tensor for each output, in the order that the caller sees."""
    results = []
    for value, shape in program.outputs:
        writer.nodes.origin = value
        layout = _border(shape, first)
        results.append(writer.tensor(value, layout))
    return results


def _called(nodes: Nodes, results: Sequence[Tensor], names: Sequence[str]) -> list[Tensor]:
    """The outputs under their names: the node that makes one writes it so, unless it is an input or another output too."""
    outputs = []
    taken: set[str] = set()
    for result, name in zip(results, names):
        if result.name in nodes.made and result.name not in taken:
            taken.add(result.name)
        else:
            nodes.origin = name
            result = nodes.node("Identity", result, shape=result.shape)
        nodes.renamed[result.name] = name
        outputs.append(Tensor(name, result.shape))
    return outputs


def _model(name: str, nodes: Nodes, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> Any:
    onnx = require_onnx()
    helper = onnx.helper
    final = nodes.renamed

    def information(tensor: Tensor, own: str) -> Any:
        element = onnx.TensorProto.BOOL if tensor.boolean else onnx.TensorProto.FLOAT
        batch = [BATCH] if tensor.sampled else []
        return helper.make_tensor_value_info(own, element, [*batch, *tensor.shape])

    written = {output.name for output in outputs}
    made = [
        helper.make_node(
            node.operator, [final.get(read, read) for read in node.reads], [final.get(node.output, node.output)],
            name=node.name, **node.attributes,
        )
        for node in nodes.nodes
    ]  # fmt: skip
    between = [
        information(tensor, final.get(own, own))
        for own, tensor in nodes.made.items()
        if final.get(own, own) not in written
    ]
    graph = helper.make_graph(
        made,
        printable(name),
        [information(tensor, tensor.name) for tensor in inputs],
        [information(tensor, tensor.name) for tensor in outputs],
        _stored(nodes),
        value_info=between,
    )
    sets = [helper.make_opsetid("", nodes.opset)]
    return helper.make_model(
        graph,
        opset_imports=sets,
        ir_version=helper.find_min_ir_version_for(sets),
        producer_name="depthwise",
        producer_version=__version__,
    )


def _stored(nodes: Nodes) -> list[Any]:
    """The initializers; each array is let go once it is stored, so that all of them are in memory once."""
    onnx = require_onnx()
    stored = []
    for name in list(nodes.initializers):
        stored.append(onnx.numpy_helper.from_array(nodes.initializers.pop(name), name))
    return stored
