"""Graph → program: every layer becomes operations, with nothing fused yet.

The operations of a layer are written by its own `lower`, in its file of `depthwise.layers`; here are the loop and what all of
them use.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod
from typing import Any

from depthwise.collection import without_collections
from depthwise.compiler.ir import operations as op
from depthwise.compiler.ir.expression import Expression
from depthwise.compiler.ir.program import Operation, Program
from depthwise.compiler.ir.types import NO_BORDER, Derived, Drawn, Padding, Role, Shape, TensorType, Value
from depthwise.network.facts import broadcast, merged, to_end
from depthwise.network.graph import Call, Graph

__all__ = ["Builder", "lower"]


@without_collections()
def lower(graph: Graph, *, training: bool = False) -> Program:
    """The program that computes `graph`'s outputs; with `training`, dropout and batch statistics are in it."""
    builder = Builder(training)
    for call in graph.calls:
        builder.add(call)
    return Program(
        (*((name, graph.by_name[name].output_shape) for name in graph.inputs), *builder.drawn),
        tuple((builder.tensor_of[name], graph.by_name[name].output_shape) for name in graph.outputs),
        tuple(builder.operations),
        builder.values,
    )


class Builder:
    """The program as it grows: layers put their operations here.

    Attributes:
        training: whether dropout works and batch normalisation uses the batch's statistics.
        values: every value so far, the weights among them.
        tensor_of: the value that holds each call's output.
    """

    def __init__(self, training: bool) -> None:
        self.training = training
        self.operations: list[Operation] = []
        self.values: dict[str, Value] = {}
        self.tensor_of: dict[str, str] = {}
        self.drawn: list[tuple[str, Shape]] = []
        """Inputs that the training step draws, behind the network's own."""
        self._back: tuple[int, ...] = ()
        """Of a call lowered with an axis moved to the end: the order of axes that moves it back."""

    def add(self, call: Call) -> None:
        """Lowers one call; its weights become parameters."""
        for weight in call.weights:
            name = self.weight(call, weight.name)
            value = Value(name, TensorType(weight.shape), Role.PARAMETER, weight.trainable)
            if self.training and weight.trainable:
                regularizer = call.layer.regularizer_of(weight.name)
                constraint = call.layer.constraint_of(weight.name)
                for item in (regularizer, constraint):
                    if item is not None:
                        item.check(call.layer.label, weight.shape)
                value = replace(value, regularizer=regularizer, constraint=constraint)
            self.values[name] = value
        first = len(self.operations)
        if call.facts.moved_axis is None:
            call.layer.lower(self, call)
        else:
            self._lower_moved(call, call.facts.moved_axis)
        self.operations[first:] = [replace(operation, origin=call.name) for operation in self.operations[first:]]

    def _lower_moved(self, call: Call, axis: int) -> None:
        """Lowers a call between transposes, so that the axis that it works on is the last; a pass lets neighbours cancel."""
        given = dict(self.tensor_of)
        rank = len(call.facts.input_shapes[0])
        order = list(range(rank - 1))
        order.insert(axis, rank - 1)
        for i, read in enumerate(dict.fromkeys(call.reads)):
            self.tensor_of[read] = self._to_end(call, given[read], axis, f"{call.name}/last {i}")
        self._back = tuple(order)
        call.layer.lower(self, replace(call, facts=call.facts.channels_last))
        self._back = ()
        result = self.tensor_of[call.name]
        self.tensor_of = {**given, call.name: result}
        if len(self.shape(result)) == rank:
            self.emit(call, op.Transpose((result,), (f"{call.name}/as given",), tuple(order)))

    def _to_end(self, call: Call, source: str, axis: int, result: str) -> str:
        axes = to_end(tuple(range(len(self.shape(source)))), axis)
        return self.emit(call, op.Transpose((source,), (result,), axes))

    # -- what a call reads -------------------------------------------------------------------------------------------

    def inputs(self, call: Call) -> tuple[str, ...]:
        """The values that the call reads."""
        return tuple(self.tensor_of[name] for name in call.reads)

    def shape(self, name: str) -> Shape:
        """The shape of a value."""
        return self.values[name].shape

    def weight(self, call: Call, name: str) -> str:
        """The parameter that holds the layer's weight `name`."""
        return call.key(name)

    def bias(self, call: Call) -> tuple[str, ...]:
        """The parameter that holds the layer's bias; nothing where it has none."""
        layer: Any = call.layer
        return (self.weight(call, "bias"),) if layer.use_bias else ()

    def derive(self, call: Call, rule: str, sources: tuple[str, ...], constants: tuple[float, ...]) -> str:
        """A parameter, a number a channel, computed from others: `normalisation_scale` becomes `…/scale`."""
        name = self.weight(call, rule.rpartition("_")[2])
        type_ = TensorType((call.output_shape[-1],))
        self.values[name] = Value(name, type_, Role.PARAMETER, derived=Derived(rule, sources, constants))
        return name

    @property
    def draws(self) -> int:
        """The number of the next random layer."""
        return len({self.values[name].drawn for name, _ in self.drawn})

    def draw(self, name: str, type_: TensorType, drawn: Drawn) -> str:
        """An input of the program that the training step draws for each sample."""
        name = f"/drawn {name}"
        self.values[name] = Value(name, type_, Role.INPUT, drawn=drawn)
        self.drawn.append((name, type_.shape))
        return name

    def padding(self, call: Call) -> Padding:
        """The cells that the call's window adds at (top, bottom, left, right)."""
        rows, columns = call.facts.rows, call.facts.columns
        assert rows is not None
        assert columns is not None
        return rows.pad_before, rows.pad_after, columns.pad_before, columns.pad_after

    # -- what it writes ----------------------------------------------------------------------------------------------

    def start(self, call: Call) -> None:
        """The call is an input of the network."""
        self.values[call.name] = Value(call.name, TensorType(call.output_shape), Role.INPUT)
        self.tensor_of[call.name] = call.name

    def emit(self, call: Call, operation: Operation) -> str:
        """One more operation, whose result is the call's output unless another follows; the result's name."""
        types = operation.infer(*(self.values[name].type for name in operation.operands))
        self.operations.append(operation)
        for name, type_ in zip(operation.results, types):
            self.values[name] = Value(name, type_, Role.COMPUTED)
        self.tensor_of[call.name] = operation.output
        return operation.output

    def elementwise(self, call: Call, expression: Expression, *operands: str) -> None:
        """The call's output as an expression of `operands`, the call's inputs where none are given."""
        names = operands or self.inputs(call)
        shapes = [self.shape(name) for name in names]
        result = TensorType(broadcast(call.name, shapes)).map
        if all(size in (1, whole) for shape in shapes for size, whole in zip(TensorType(shape).map, result)):
            self.emit(call, op.Elementwise(names, (call.name,), expression))
            return
        constants = [name for name in names if self.values[name].role is Role.PARAMETER]
        if constants:
            raise AssertionError(f"{call.name}: a weight is broadcast along more axes than a map has")
        self.broadcast(call, expression, names)

    def broadcast(
        self,
        call: Call,
        expression: Expression,
        names: Sequence[str],
        constants: Sequence[str] = (),
        constant_shapes: Sequence[Shape] = (),
    ) -> None:
        """The call's output as an expression of tensors of any rank, and then of parameters that are in the shapes of `merged`
        already."""
        result = call.output_shape
        maps = merged([*(self.shape(name) for name in names), *constant_shapes])
        if maps is None:
            names = [self.expanded(call, name, result, f"whole {i}") for i, name in enumerate(names)]
            maps = [(prod(result),)] * len(names)
        read = [self.reshape(call, name, shape, f"map {i}") for i, (name, shape) in enumerate(zip(names, maps))]
        done = op.Elementwise((*read, *constants), (f"{call.name}/map",), expression)
        self.give(call, self.reshape(call, self.emit(call, done), result, "result"))

    def expanded(self, call: Call, source: str, shape: Shape, part: str) -> str:
        """A value broadcast to `shape`, each of its numbers as often as it is read."""
        given = self.shape(source)
        padded = (1,) * (len(shape) - len(given)) + given
        source = self.reshape(call, source, padded, f"{part}/axes")
        if padded == shape:
            return source
        steps = tuple((axis, int(size == whole and size > 1)) for axis, (size, whole) in enumerate(zip(padded, shape)))
        repeated = op.Rearrange((source,), (f"{call.name}/{part}",), shape, (0,) * len(shape), steps)
        return self.emit(call, repeated)

    def give(self, call: Call, result: str) -> None:
        """The call's output is a value that there is already."""
        self.tensor_of[call.name] = result

    def reshape(self, call: Call, source: str, shape: Shape, part: str) -> str:
        """The numbers of `source` under another shape; from a map to another kind of map by way of a vector."""
        given, wanted = self.values[source].type, TensorType(shape)
        if given == wanted:
            return source
        if given.map != wanted.map and given.map[:2] != (1, 1) and wanted.map[:2] != (1, 1):
            source = self.emit(call, op.Reshape((source,), (f"{call.name}/{part}/flat",), (given.size,)))
        return self.emit(call, op.Reshape((source,), (f"{call.name}/{part}",), shape))

    def transpose(self, call: Call, source: str, axes: Sequence[int], part: str) -> str:
        """The axes of `source` in another order. An axis of size 1 may change its place without a number doing so."""
        shape = self.shape(source)
        if [axis for axis in axes if shape[axis] > 1] == [axis for axis, size in enumerate(shape) if size > 1]:
            return self.reshape(call, source, tuple(shape[axis] for axis in axes), part)
        return self.emit(call, op.Transpose((source,), (f"{call.name}/{part}",), tuple(axes)))

    def along(self, call: Call, source: str, axes: Sequence[int], run: Callable[[str], str]) -> str:
        """What `run` makes of the last axis of a matrix whose rows are `axes` of `source` taken together, in the shape of `source`."""
        shape = self.shape(source)
        order = [*(axis for axis in range(len(shape)) if axis not in axes), *axes]
        moved = self.transpose(call, source, order, "moved")
        kept = self.shape(moved)
        row = prod(shape[axis] for axis in axes)
        result = run(self.reshape(call, moved, (*kept[: len(shape) - len(axes)], row), "rows"))
        back = self.reshape(call, result, kept, "unfolded")
        return self.transpose(call, back, [order.index(axis) for axis in range(len(shape))], "back")

    def pointwise(self, call: Call, source: str, kernel: str) -> str:
        """A 1×1 convolution with the layer's bias."""
        operands = (source, kernel, *self.bias(call))
        return self.emit(call, op.Convolve(operands, (call.name,), (1, 1), (1, 1), (1, 1), NO_BORDER))

    def activate(self, call: Call, source: str, activation: str) -> None:
        """Ends a layer: its activation as an operation of its own; `source` is the layer's output without it."""
        if activation in ("softmax", "log_softmax"):
            back = self._back if len(self.shape(source)) == len(self._back) else ()
            if back:  # as in Keras, over the last axis that the user sees
                source = self.emit(call, op.Transpose((source,), (f"{call.name}/seen",), back))
            result = self.emit(call, op.Softmax((source,), (f"{call.name}/softmax",), activation == "log_softmax"))
            if back:
                self._to_end(call, result, back.index(len(back) - 1), f"{call.name}/shares")
        elif activation == "linear":
            self.tensor_of[call.name] = source
        else:
            self.emit(call, op.unary(activation, source, f"{call.name}/activation"))
