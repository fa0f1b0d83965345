"""Normalisation of each sample by itself: over groups of channels, by the root of a mean square, and to vectors of length 1."""

from dataclasses import field
from math import prod
from typing import TYPE_CHECKING, ClassVar

from depthwise.arguments import axes_argument, integer, sorted_axes
from depthwise.compiler.ir import operations as op
from depthwise.compiler.ir.expression import Expression, Operand, apply
from depthwise.constraints import Constraint
from depthwise.dataclass import dataclass
from depthwise.errors import InvalidArgumentError, ShapeError, UnsupportedError, describe_value
from depthwise.initializers import Initializer, Ones
from depthwise.layers.description import Description
from depthwise.layers.merging import unit_length
from depthwise.network.facts import LayerFacts, Shape, Weight, layer_facts, number, sample_axes, single, sizes
from depthwise.network.formula import product
from depthwise.regularizers import Regularizer

if TYPE_CHECKING:
    from depthwise.compiler.lower import Builder
    from depthwise.network.graph import Call

__all__ = ["GroupNormalization", "RMSNormalization", "UnitNormalization"]


@dataclass(frozen=True)
class GroupNormalization(Description):
    """y = gamma · (x − mean) / √(variance + epsilon) + beta, each group of channels over the whole map (Wu and He 2018,
    arXiv:1803.08494).

    Args:
        groups: how many groups of neighbouring channels; -1 makes each channel a group of its own.
        axis: that of the channels.
    """

    groups: int = 32
    axis: int = -1
    epsilon: float = 1e-3
    center: bool = True
    scale: bool = True
    beta_initializer: str | Initializer = "zeros"
    gamma_initializer: str | Initializer = "ones"
    beta_regularizer: str | Regularizer | None = field(default=None, repr=False)
    gamma_regularizer: str | Regularizer | None = field(default=None, repr=False)
    beta_constraint: str | Constraint | None = field(default=None, repr=False)
    gamma_constraint: str | Constraint | None = field(default=None, repr=False)
    default_name: ClassVar[str] = "group_normalization"

    def _normalise(self) -> None:
        if self.groups != -1:
            self._set(groups=integer(self._owner, "groups", self.groups))
        if not isinstance(self.axis, int) or isinstance(self.axis, bool):
            raise UnsupportedError(f"GroupNormalization: axis must be one integer, got {describe_value(self.axis)}")
        if not self.epsilon > 0.0:
            raise InvalidArgumentError(f"GroupNormalization: epsilon must be above 0, got {self.epsilon}")
        self._regularizers()
        self._initializers()

    def moved_axis(self, shapes: tuple[Shape, ...]) -> int | None:
        return self._moved(self.axis, shapes)

    def _groups(self, channels: int) -> int:
        return channels if self.groups == -1 else self.groups

    def facts(self, shapes: tuple[Shape, ...]) -> LayerFacts:
        shape = single(self, shapes)
        if shape[-1] % self._groups(shape[-1]):
            raise ShapeError(
                f"{self.label}: {shape[-1]} channels cannot be divided into {self.groups} groups; choose a divisor"
            )
        names = [*(["gamma"] if self.scale else []), *(["beta"] if self.center else [])]
        channels = number(shape[-1], "input_channels")
        weights = [Weight(name, (shape[-1],), channels, self.trainable) for name in names]
        return layer_facts(self, shapes, sizes(shape), weights, reads_all=True)

    def lower(self, builder: "Builder", call: "Call") -> None:
        (source,) = builder.inputs(call)
        shape = builder.shape(source)
        groups = self._groups(shape[-1])
        parts = builder.reshape(call, source, (prod(shape[:-1]), groups, shape[-1] // groups), "groups")

        def run(rows: str) -> str:
            return builder.emit(call, op.NormaliseRows((rows,), (f"{call.name}/normalised",), self.epsilon))

        normalised = builder.along(call, parts, (0, 2), run)
        operands = [builder.reshape(call, normalised, shape, "channels")]
        builder.give(call, operands[0])
        expression: Expression = Operand(0)
        if self.scale:
            operands.append(builder.weight(call, "gamma"))
            expression = expression * Operand(len(operands) - 1)
        if self.center:
            operands.append(builder.weight(call, "beta"))
            expression = expression + Operand(len(operands) - 1)
        if len(operands) > 1:
            builder.elementwise(call, expression, *operands)


@dataclass(frozen=True)
class RMSNormalization(Description):
    """y = scale · x / √(mean of x² + epsilon) over the last axis of each place (Zhang and Sennrich 2019, arXiv:1910.07467).

    Args:
        axis: the last axis, or the last ones together: scale has a number for each of their values.
    """

    axis: int | tuple[int, ...] = -1
    epsilon: float = 1e-6
    default_name: ClassVar[str] = "rms_normalization"
    scale_initializer: ClassVar[Initializer] = Ones()

    def _normalise(self) -> None:
        self._set(axis=sorted_axes(self._owner, self.axis))
        if not self.epsilon > 0.0:
            raise InvalidArgumentError(f"RMSNormalization: epsilon must be above 0, got {self.epsilon}")

    def _axes(self, shape: Shape) -> tuple[int, ...]:
        axes = sample_axes(self, self.axis, shape)
        if axes != tuple(range(len(shape) - len(axes), len(shape))) or 2 < len(axes) < len(shape):
            raise ShapeError(
                f"{self.label}: axis must name the last axis, the last two or all (Keras' scale fits no others), got {self.axis} "
                f"for samples of the shape {shape}"
            )
        return axes

    def facts(self, shapes: tuple[Shape, ...]) -> LayerFacts:
        shape = single(self, shapes)
        axes, every = self._axes(shape), sizes(shape)
        size = product([every[axis] for axis in axes])
        scale = Weight("scale", tuple(shape[axis] for axis in axes), size, self.trainable)
        return layer_facts(self, shapes, every, [scale], reads_all=len(axes) > 1)

    def lower(self, builder: "Builder", call: "Call") -> None:
        (source,) = builder.inputs(call)
        shape = builder.shape(source)

        def run(rows: str) -> str:
            x, squares, kept = Operand(0), f"{call.name}/squares", builder.shape(rows)
            builder.emit(call, op.Elementwise((rows,), (squares,), x * x))
            total = builder.emit(call, op.Sum((squares,), (f"{call.name}/sum of squares",), (*kept[:-1], 1)))
            size = apply("sqrt", Operand(1) / float(kept[-1]) + self.epsilon)
            return builder.emit(call, op.Elementwise((rows, total), (f"{call.name}/normalised",), x / size))

        normalised = builder.along(call, source, self._axes(shape), run)
        builder.elementwise(call, Operand(0) * Operand(1), normalised, builder.weight(call, "scale"))


@dataclass(frozen=True)
class UnitNormalization(Description):
    """x divided by its length √Σx² along `axis`, or along several axes together."""

    axis: int | tuple[int, ...] = -1
    default_name: ClassVar[str] = "unit_normalization"

    def _normalise(self) -> None:
        self._set(axis=axes_argument(self._owner, "axis", self.axis))

    def facts(self, shapes: tuple[Shape, ...]) -> LayerFacts:
        shape = single(self, shapes)
        axes = sample_axes(self, self.axis, shape)
        return layer_facts(self, shapes, sizes(shape), reads_all=axes != (len(shape) - 1,))

    def lower(self, builder: "Builder", call: "Call") -> None:
        (source,) = builder.inputs(call)
        axes = sample_axes(self, self.axis, builder.shape(source))

        def run(rows: str) -> str:
            return unit_length(builder, call, rows, (*builder.shape(rows)[:-1], 1), 1e-12**2, "unit")

        builder.give(call, builder.along(call, source, axes, run))
