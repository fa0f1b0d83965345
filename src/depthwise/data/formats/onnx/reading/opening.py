"""An ONNX file → a saved network: which axis is the batch, what is folded, and each node by its rule."""

import os
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthwise.data.formats.onnx.reading import (
    operators_arithmetic,
    operators_shapes,
    operators_sums,
    operators_windows,
)
from depthwise.data.formats.onnx.reading.folding import EVALUATORS, MOST_FOLDED
from depthwise.data.formats.onnx.reading.functions import branch_nodes, check_ends, function_nodes
from depthwise.data.formats.onnx.reading.network import (
    Constant,
    ConstantNeededError,
    Network,
    NotBatchedError,
    RefusedError,
    Tensor,
    Value,
)
from depthwise.data.formats.onnx.reading.proto import MOST_AXES, Ends, Node, OnnxGraph, parse, read_model_proto
from depthwise.data.formats.onnx.reading.recognition import Recogniser
from depthwise.data.formats.onnx.reading.registry import RULES, Given
from depthwise.data.formats.onnx.shapes import ShapesNeededError
from depthwise.data.formats.saved import SavedNetwork
from depthwise.dataclass import dataclass
from depthwise.errors import DepthwiseError, InvalidFileError, UnsupportedError, describe_value
from depthwise.layers import descriptions as layer
from depthwise.network.facts import Shape

__all__ = ["OnnxNetwork", "OnnxOutput", "ShapesNeededError", "input_names", "load", "read_onnx"]

_RULE_FILES = (operators_arithmetic, operators_shapes, operators_sums, operators_windows)
"""Importing them registers the rules."""

FLOAT, INT32, INT64, BOOL, FLOAT16 = 1, 6, 7, 9, 10
DEEPEST = 8
_MARK_FIRST, _MARK_SECOND = 2, 3
"""Sizes of the batch that a network with a free one is read for: it must come out the same."""

PathLike = str | os.PathLike[str]


@dataclass(frozen=True)
class OnnxOutput:
    """An output as the file has it: `shape` without the batch where there is one; `constant`: it depends on no input."""

    name: str
    element: int
    shape: Shape
    constant: NDArray[Any] | None = None


@dataclass(frozen=True)
class OnnxNetwork:
    """What was read.

    Attributes:
        saved: the network.
        inputs: the file's inputs that the network takes, in its order.
        outputs: the file's outputs; those without a constant are the network's, in its order.
        is_batched: whether the first axis of the file is the batch; else a sample has all of the file's axes.
        transposes: names of the layers that move axes.
    """

    saved: SavedNetwork
    inputs: tuple[str, ...]
    outputs: tuple[OnnxOutput, ...]
    is_batched: bool
    transposes: tuple[str, ...]


def load(
    filepath: PathLike, shapes: Mapping[str, Sequence[int]] | None = None, external_data: PathLike | None = None
) -> OnnxNetwork:
    """The network in a file; see `read_onnx`."""
    model, what = read_model_proto(filepath)
    try:
        found = read_onnx(parse(model, what, external_data), shapes)
    except ConstantNeededError as error:
        names = ", ".join(map(describe_value, sorted(error.inputs)))
        raise UnsupportedError(
            f"{what}: the input {names} holds weights, shapes or whole numbers, which must be in the file itself; only "
            "depthwise.onnx_backend, which reads a file again for other values of these, takes them as inputs"
        ) from error
    constant = [item.name for item in found.outputs if item.constant is not None]
    if constant:
        warnings.warn(
            f"{what}: the outputs {describe_value(constant)} do not depend on the inputs and are left out", stacklevel=5
        )
    return found


def input_names(filepath: PathLike) -> list[str]:
    """What a file calls its inputs; see `read_model_proto` for errors."""
    graph = read_model_proto(filepath)[0].graph
    weights = {item.name for item in graph.initializer}
    return [str(item.name) for item in graph.input if item.name not in weights]


def read_onnx(
    graph: OnnxGraph,
    shapes: Mapping[str, Sequence[int]] | None = None,
    constants: Mapping[str, NDArray[Any]] | None = None,
) -> OnnxNetwork:
    """The network of a graph.

    Args:
        shapes: of inputs that the file leaves open, whole, with the batch.
        constants: inputs whose values are known beforehand.

    Raises:
        InvalidFileError: the file contradicts itself.
        UnsupportedError: an operator, or what a node asks of one; the message names it.
        ShapesNeededError: sizes that the file leaves open and `shapes` does not give.
        ConstantNeededError: an input must be among `constants`.
    """
    shapes, constants = dict(shapes or {}), dict(constants or {})
    graph = replace(graph, nodes=_live(graph.nodes, [item.name for item in graph.outputs]))
    given = [item for item in graph.inputs if item.name not in constants]
    for name in shapes:
        if name not in {item.name for item in given}:
            known = ", ".join(describe_value(item.name) for item in given)
            raise UnsupportedError(f"{graph.what} has no input {describe_value(name)} to give a shape; it has {known}")
    try:
        whole = {item.name: _whole(item, shapes.get(item.name), graph.what) for item in given}
    except ShapesNeededError as error:
        error.inputs = tuple(item.name for item in given)
        first_sizes = [item.shape[0] if item.shape else None for item in given]
        error.batches = tuple(size if isinstance(size, int) else None for size in first_sizes)
        raise
    first = {shape[0] if shape else 0 for shape in whole.values()}
    batch = first.pop() if len(first) == 1 else 0
    if batch == 0:
        return _trace(graph, _fixed(whole), constants, None)
    if not isinstance(batch, int):
        found = _free_batch(graph, whole, constants)
        if found is not None:
            return found
        batch = 1
    try:
        return _trace(graph, _fixed(whole, batch), constants, batch)
    except NotBatchedError:
        return _trace(graph, _fixed(whole, batch), constants, None)


def _free_batch(graph: OnnxGraph, whole: Mapping[str, Any], constants: Mapping[str, Any]) -> OnnxNetwork | None:
    """The network for any size of the batch; None where it is not the same for all."""
    try:
        first, second = (_trace(graph, _fixed(whole, batch), constants, batch) for batch in (_MARK_FIRST, _MARK_SECOND))
    except (NotBatchedError, DepthwiseError):
        return None
    same = first.saved.tree == second.saved.tree and all(
        np.array_equal(array, second.saved.weights[name]) for name, array in first.saved.weights.items()
    )
    return first if same and not any(item.constant is not None for item in first.outputs) else None


def _whole(ends: Ends, given: Sequence[int] | None, what: str) -> tuple[Any, ...]:
    """An input's shape: numbers, but for the first size, which may stay open.

    Raises:
        ShapesNeededError: other sizes are open.
    """
    name, shape = describe_value(ends.name), ends.shape
    if given is not None:
        sizes = tuple(int(size) for size in given)
        fits = shape is None or (
            len(shape) == len(sizes) and all(not isinstance(own, int) or own == size for own, size in zip(shape, sizes))
        )
        if not fits or min(sizes, default=1) < 1:
            raise UnsupportedError(
                f"{what}: the input {name} has the shape {_written(shape)}, which {sizes} does not fit"
            )
        open_first = bool(shape) and shape is not None and not isinstance(shape[0], int)
        return (None, *sizes[1:]) if open_first else sizes
    if shape is None or any(not isinstance(size, int) for size in shape[1:]):
        raise ShapesNeededError(
            f"{what}: the input {name} has the shape {_written(shape)}; say which sizes it shall have: --shape "
            f"{name[1:-1]}=1,3,224,224 for example, or shapes={{{name}: (1, 3, 224, 224)}}; each shape is compiled once"
        )
    if 0 in shape:
        raise UnsupportedError(f"{what}: the input {name} of the shape {_written(shape)} is empty")
    return (shape[0] if isinstance(shape[0], int) else None, *shape[1:]) if shape else ()


def _written(shape: Sequence[int | str | None] | None) -> str:
    if shape is None:
        return "that the file does not say"
    return f"({', '.join('?' if size is None else str(size) for size in shape)})"


def _fixed(whole: Mapping[str, tuple[Any, ...]], batch: int = 1) -> dict[str, Shape]:
    return {name: tuple(batch if size is None else size for size in shape) for name, shape in whole.items()}


def _live(nodes: Sequence[Node], outputs: Sequence[str]) -> tuple[Node, ...]:
    """The nodes that an output depends on, with the outputs that somebody reads."""
    wanted = {*outputs} - {""}
    kept = []
    for node in reversed(nodes):
        if any(name in wanted for name in node.outputs):
            wanted.update(node.inputs)
            wanted.update(node.reads_inside)
            kept.append(replace(node, outputs=tuple(name if name in wanted else "" for name in node.outputs)))
    return tuple(reversed(kept))


# -- node by node ----------------------------------------------------------------------------------------------------


_CONTRADICTIONS = (
    ValueError,
    IndexError,
    KeyError,
    TypeError,
    ZeroDivisionError,
    OverflowError,
    MemoryError,
    RuntimeError,
)
"""What NumPy and Python raise of numbers that do not fit together."""


class _Tracer:
    def __init__(self, graph: OnnxGraph, network: Network) -> None:
        self.graph, self.network = graph, network
        self.values: dict[str, Value] = {name: Constant(array) for name, array in graph.arrays.items()}
        self.folded, self.depth, self.opset = 0, 0, graph.opset
        self.recogniser = Recogniser(self.values, lambda tensor: len(network.full(tensor)))

    def run(self, node: Node) -> None:
        """Gives the node's outputs their values."""
        what = f"{self.graph.what}: the node {describe_value(node.name or node.outputs[0])} ({describe_value(node.operator)[1:-1]})"
        inputs = [self.values[name] if name else None for name in node.inputs]
        self.network.prefix = node.name or next(name for name in node.outputs if name)
        try:
            check_ends(node, self.opset)
            results = self._results(node, inputs)
            missing = [name for name in node.outputs[len(results) :] if name]
            if missing:
                raise RefusedError(f"it does not give its output {describe_value(missing[0])}")
            axes = max((len(self._shape(value)) for value in results), default=0)
            if axes > MOST_AXES:
                raise RefusedError(f"its result has {axes} axes; at most {MOST_AXES} are supported")
        except RefusedError as error:
            raise UnsupportedError(
                f"{self.graph.what}: the operator {describe_value(node.operator)[1:-1]} is not supported as the node "
                f"{describe_value(node.name or node.outputs[0])} uses it: {error}"
            ) from error
        except (UnsupportedError, InvalidFileError):
            raise  # of a node inside
        except DepthwiseError as error:
            raise InvalidFileError(f"{what}: {error}") from error
        except _CONTRADICTIONS as error:
            raise InvalidFileError(f"{what} contradicts itself: {describe_value(str(error), 200)[1:-1]}") from error
        for name, value in zip(node.outputs, results):
            if name:
                self.values[name] = value
        self.recogniser.add(node)

    def _shape(self, value: Value) -> Shape:
        return value.array.shape if isinstance(value, Constant) else self.network.full(value)

    def _results(self, node: Node, inputs: list[Value | None]) -> Sequence[Value]:
        known = [item for item in inputs if item is not None]
        constants = [item for item in known if isinstance(item, Constant)]
        if len(constants) == len(known) and node.operator in EVALUATORS:
            arguments = [item.array if isinstance(item, Constant) else None for item in inputs]
            if arguments and arguments[0] is None:
                raise ValueError("its input 0 is missing")
            with np.errstate(all="ignore"):  # infinities and NaN are numbers of a file like others
                found = EVALUATORS[node.operator](node, arguments, self.opset)
            arrays = found if isinstance(found, list) else [found]
            self.folded += sum(array.size for array in arrays if 0 not in array.strides)
            if self.folded > MOST_FOLDED:
                raise RefusedError(f"its constants would hold more than {MOST_FOLDED:,} numbers")
            source = frozenset[str]().union(*(item.inputs for item in constants))
            return [Constant(np.asarray(array), source) for array in arrays]
        rule = RULES.get(node.operator)
        spelled = self.recogniser.spelled(node) if len(constants) < len(known) else None
        if spelled is not None:
            self.values.update(spelled.constants)
            with suppress(UnsupportedError, InvalidFileError):  # then it stays what the file says
                for item in spelled.nodes:
                    self.run(item)
                return [self.values[node.outputs[0]]]
            self.network.prefix = node.name or node.outputs[0]
        if rule is not None and len(constants) < len(known):
            result = rule(Given(self.network, node, inputs, self.opset))
            return result if isinstance(result, list) else [result]
        inner = self._spelled_out(node, inputs)
        if inner is None:
            raise RefusedError(_reason(node.operator))
        nodes, opset = inner
        before, self.opset, self.depth = self.opset, opset, self.depth + 1
        if self.depth > DEEPEST:
            raise RefusedError("it stands for operators that stand for others, too deep")
        for item in _live(nodes, node.outputs):
            self.run(item)
        self.opset, self.depth = before, self.depth - 1
        return [self.values[name] if name else Constant(np.zeros(0)) for name in node.outputs]

    def _spelled_out(self, node: Node, inputs: list[Value | None]) -> tuple[list[Node], int] | None:
        """The nodes that stand for one."""
        if node.operator == "If" and isinstance(inputs[0], Constant):
            return branch_nodes(node, bool(np.ravel(inputs[0].array)[0]), self.graph.what), self.opset
        return function_nodes(node, inputs, self.network, self.opset, self.graph.what)


def _reason(operator: str) -> str:
    if operator in RULES:
        return "it is not computed from constants alone"
    return REASONS.get(operator, "there is no such operator here")


_RECURRENT = "recurrent networks are not supported"
_CONTROL = "its result depends on values that are not known beforehand"
REASONS: Mapping[str, str] = {
    **dict.fromkeys(("LSTM", "GRU", "RNN"), _RECURRENT),
    **dict.fromkeys(("Loop", "Scan", "If", "NonZero", "Unique", "Compress", "NonMaxSuppression", "TopK"), _CONTROL),
    **dict.fromkeys(("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"), "activations are float32; only weights may be quantised"),
    **dict.fromkeys(("QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger"), "activations are float32; only weights may be quantised"),
    "LpPool": "no layer or kernel computes it",
}  # fmt: skip


def _trace(
    graph: OnnxGraph, shapes: Mapping[str, Shape], constants: Mapping[str, NDArray[Any]], batch: int | None
) -> OnnxNetwork:
    network = Network(batch)
    tracer = _Tracer(graph, network)
    inside = [name for node in graph.nodes for name in (*node.inputs, *node.reads_inside, *node.reads_inside)]
    network.readers = Counter([*inside, *(item.name for item in graph.outputs)])
    inputs = []
    for ends in graph.inputs:
        if ends.name in constants:
            tracer.values[ends.name] = Constant(np.asarray(constants[ends.name]), frozenset([ends.name]))
            continue
        element = {FLOAT: "float", FLOAT16: "float", BOOL: "bool"}.get(ends.element)
        if element is None:
            raise ConstantNeededError(frozenset([ends.name]))
        whole = shapes[ends.name]
        tensor = network.start(ends.name, whole if batch is None else whole[1:], element)
        tracer.values[ends.name] = tensor
        inputs.append((ends.name, tensor.port))
    for node in graph.nodes:
        tracer.run(node)
    outputs, ports = _outputs(graph, tracer, [port for _, port in inputs])
    if not ports:
        raise UnsupportedError(f"{graph.what}: no output depends on a float32 input, so there is nothing to compute")
    tree = network.tree(network.unique(graph.name or "onnx"), [port for _, port in inputs], ports)
    kept = {call.member for call in tree.calls}
    weights = {name: array for name, array in network.weights.items() if name.rpartition("/")[0] in kept}
    saved = SavedNetwork(tree, weights)
    names = tuple(name for name, _ in inputs)
    return OnnxNetwork(saved, names, outputs, batch is not None, tuple(network.transposes))


def _outputs(graph: OnnxGraph, tracer: _Tracer, inputs: Sequence[str]) -> tuple[tuple[OnnxOutput, ...], list[str]]:
    """The file's outputs, and the layers that give those which are computed; these are named after them."""
    network = tracer.network
    found, ports = [], []
    for ends in graph.outputs:
        value = tracer.values.get(ends.name)
        if value is None:
            raise InvalidFileError(f"{graph.what}: nothing writes the output {describe_value(ends.name)}")
        if isinstance(value, Constant):
            if value.inputs:
                raise UnsupportedError(
                    f"{graph.what}: the output {describe_value(ends.name)} depends on whole numbers alone; networks compute "
                    "with float32"
                )
            found.append(OnnxOutput(ends.name, ends.element, value.array.shape, value.array))
            continue
        tensor: Tensor = network.plain(network.settled(value))
        if tensor.batch_axis:
            raise NotBatchedError
        port = tensor.port
        if port in inputs or port in ports:
            port = network.add(layer.Identity(), [port], name=ends.name)
        else:
            port = network.renamed(port, ends.name)
        ports.append(port)
        found.append(OnnxOutput(ends.name, ends.element, tensor.shape))
    return tuple(found), ports
