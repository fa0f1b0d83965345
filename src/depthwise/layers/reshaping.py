"""Layers that give the same numbers another shape or order: Reshape, Permute, RepeatVector, Identity."""

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, ClassVar

from depthwise.arguments import integer
from depthwise.compiler.ir import operations as op
from depthwise.dataclass import dataclass
from depthwise.errors import InvalidArgumentError, ShapeError, describe_value
from depthwise.layers.description import Description
from depthwise.network.facts import LayerFacts, Shape, layer_facts, number, single, sizes

if TYPE_CHECKING:
    from depthwise.compiler.lower import Builder
    from depthwise.network.graph import Call

__all__ = ["Identity", "Permute", "RepeatVector", "Reshape"]


@dataclass(frozen=True)
class Reshape(Description):
    """The same numbers, rows first, channels innermost, in the shape `target_shape` of one sample.

    Args:
        target_shape: one of its sizes may be -1: it follows from the others.
    """

    target_shape: tuple[int, ...]
    default_name: ClassVar[str] = "reshape"

    def _normalise(self) -> None:
        given = self.target_shape
        if not isinstance(given, Sequence) or isinstance(given, str) or not given:
            raise InvalidArgumentError(
                f"Reshape: target_shape must hold at least one size, for example (28, 28, 1), got {describe_value(given)}"
            )
        shape = tuple(-1 if size in (-1, None) else integer(self._owner, "target_shape", size) for size in given)
        if shape.count(-1) > 1:
            raise InvalidArgumentError(f"Reshape: one size of target_shape may be -1, got {describe_value(given)}")
        self._set(target_shape=shape)

    def facts(self, shapes: tuple[Shape, ...]) -> LayerFacts:
        shape = single(self, shapes)
        known = prod(size for size in self.target_shape if size != -1)
        free = prod(shape) // known
        result = tuple(free if size == -1 else size for size in self.target_shape)
        if prod(result) != prod(shape):
            raise ShapeError(
                f"{self.label}: a sample of the shape {shape} has {prod(shape):,} numbers, which do not fill "
                f"{self.target_shape}"
            )
        return layer_facts(self, shapes, sizes(result))

    def lower(self, builder: "Builder", call: "Call") -> None:
        (source,) = builder.inputs(call)
        builder.give(call, builder.reshape(call, source, call.output_shape, "reshaped"))


@dataclass(frozen=True)
class Permute(Description):
    """The axes in another order: axis i of the result is axis `dims[i]` of the input, counted from 1."""

    dims: tuple[int, ...]
    default_name: ClassVar[str] = "permute"

    def _normalise(self) -> None:
        dims = (
            tuple(integer(self._owner, "dims", axis) for axis in self.dims) if isinstance(self.dims, Sequence) else ()
        )
        if sorted(dims) != list(range(1, len(dims) + 1)) or not dims:
            raise InvalidArgumentError(
                f"Permute: dims must hold each of 1, 2, … once, for example (2, 1, 3), got {describe_value(self.dims)}"
            )
        self._set(dims=dims)

    def facts(self, shapes: tuple[Shape, ...]) -> LayerFacts:
        shape = single(self, shapes)
        if len(shape) != len(self.dims):
            raise ShapeError(f"{self.label} takes samples with {len(self.dims)} axes, got the shape {shape}")
        return layer_facts(self, shapes, sizes(tuple(shape[axis - 1] for axis in self.dims)))

    def lower(self, builder: "Builder", call: "Call") -> None:
        (source,) = builder.inputs(call)
        builder.give(call, builder.transpose(call, source, [axis - 1 for axis in self.dims], "permuted"))


@dataclass(frozen=True)
class RepeatVector(Description):
    """A vector `n` times: (features,) → (n, features)."""

    n: int
    default_name: ClassVar[str] = "repeat_vector"

    def _normalise(self) -> None:
        self._set(n=integer(self._owner, "n", self.n))

    def facts(self, shapes: tuple[Shape, ...]) -> LayerFacts:
        shape = single(self, shapes)
        if len(shape) != 1:
            raise ShapeError(f"{self.label} takes vectors, got a sample of the shape {shape}; add a Flatten before it")
        return layer_facts(self, shapes, (number(self.n), number(shape[0], "input_size")))

    def lower(self, builder: "Builder", call: "Call") -> None:
        (source,) = builder.inputs(call)
        repeated = builder.emit(call, op.Repeat((source,), (f"{call.name}/repeated",), self.n))
        columns = builder.reshape(call, repeated, call.output_shape[::-1], "columns")
        builder.give(call, builder.transpose(call, columns, (1, 0), "rows"))


@dataclass(frozen=True)
class Identity(Description):
    """The input as it is."""

    default_name: ClassVar[str] = "identity"

    def lower(self, builder: "Builder", call: "Call") -> None:
        builder.give(call, builder.inputs(call)[0])
