"""Graph → program: every layer becomes operations on maps, with nothing fused yet.

The operations of a layer are written by its own `lower`, in its file of `depthwise.layers`; here are the loop and what all of
them use.
"""

import math
from typing import Any

from depthwise import operations as op
from depthwise.arithmetic import Shape
from depthwise.graph import Call, Graph
from depthwise.program import MapShape, Operation, Padding, Parameter, Program

__all__ = ["Builder", "lower"]


def lower(graph: Graph, *, training: bool = False) -> Program:
    """The program that computes `graph`'s outputs; with `training`, dropout and batch statistics are in it."""
    builder = Builder(training)
    for call in graph.calls:
        builder.add(call)
    return Program(
        tuple((name, graph.by_name[name].output_shape) for name in graph.inputs),
        tuple((builder.tensor_of[name], graph.by_name[name].output_shape) for name in graph.outputs),
        tuple(builder.operations),
        builder.tensors,
        builder.parameters,
    )


def map_shape(shape: Shape) -> MapShape:
    """A sample's shape as (height, width, channels)."""
    if len(shape) == 3:
        return shape[0], shape[1], shape[2]
    return (1, 1, shape[0]) if len(shape) == 1 else (1, math.prod(shape[:-1]), shape[-1])


class Builder:
    """The program as it grows: layers put their operations here.

    Attributes:
        training: whether dropout works and batch normalisation uses the batch's statistics.
        tensors: the shape of every tensor so far.
        tensor_of: the tensor that holds each call's output.
    """

    def __init__(self, training: bool) -> None:
        self.training = training
        self.operations: list[Operation] = []
        self.tensors: dict[str, MapShape] = {}
        self.parameters: dict[str, Parameter] = {}
        self.tensor_of: dict[str, str] = {}

    def add(self, call: Call) -> None:
        """Lowers one call; its weights become parameters."""
        for weight in call.weights:
            name = self.weight(call, weight.name)
            self.parameters[name] = Parameter(name, weight.shape, weight.trainable)
        call.layer.lower(self, call)

    def weight(self, call: Call, name: str) -> str:
        """The parameter that holds the layer's weight `name`."""
        return call.key(name)

    def bias(self, call: Call) -> str | None:
        """The parameter that holds the layer's bias, None where it has none."""
        layer: Any = call.layer
        return self.weight(call, "bias") if layer.use_bias else None

    def derive(self, call: Call, rule: str, sources: tuple[str, ...], constants: tuple[float, ...]) -> str:
        """A parameter, a number a channel, computed from others: `normalisation_scale` becomes `…/scale`."""
        name = self.weight(call, rule.rpartition("_")[2])
        self.parameters[name] = Parameter(name, (self.shape(call)[2],), False, rule, sources, constants)
        return name

    def shape(self, call: Call) -> MapShape:
        """The shape of the call's output as a map."""
        return map_shape(call.output_shape)

    def padding(self, call: Call) -> Padding:
        """The cells that the call's window adds at (top, bottom, left, right)."""
        rows, columns = call.facts.rows, call.facts.columns
        assert rows is not None
        assert columns is not None
        return rows.pad_before, rows.pad_after, columns.pad_before, columns.pad_after

    def inputs(self, call: Call) -> tuple[str, ...]:
        """The tensors that the call reads."""
        return tuple(self.tensor_of[name] for name in call.reads)

    def start(self, call: Call) -> None:
        """The call is an input of the network."""
        self.tensors[call.name] = self.shape(call)
        self.tensor_of[call.name] = call.name

    def emit(self, call: Call, operation: Operation, shape: MapShape | None = None, *, last: bool = True) -> None:
        """One more operation; `shape` is the call's unless given. The `last` one writes the call's output."""
        self.operations.append(operation)
        self.tensors[operation.output] = self.shape(call) if shape is None else shape
        if last:
            self.tensor_of[call.name] = operation.output

    def emit_pointwise(self, call: Call, source: str, kernel: str) -> None:
        """A 1×1 convolution with the layer's bias."""
        window: tuple[Any, ...] = ((1, 1), (1, 1), (1, 1), (0, 0, 0, 0))
        self.emit(call, op.Convolve((source,), call.name, kernel, self.bias(call), *window))

    def activate(self, call: Call, source: str, activation: str) -> None:
        """Ends a layer: its activation as an operation of its own; `source` is the layer's output without it."""
        if activation == "softmax":
            self.emit(call, op.Softmax((source,), f"{call.name}/softmax"))
        elif activation == "linear":
            self.tensor_of[call.name] = source
        else:
            self.emit(call, op.Activate((source,), f"{call.name}/activation", activation))
