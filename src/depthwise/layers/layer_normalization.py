"""Normalisation of each sample by itself."""

from dataclasses import field
from math import prod
from typing import TYPE_CHECKING, ClassVar

from depthwise.arguments import sorted_axes
from depthwise.compiler.ir import operations as op
from depthwise.compiler.ir.expression import Expression, Operand
from depthwise.constraints import Constraint
from depthwise.dataclass import dataclass
from depthwise.errors import InvalidArgumentError, ShapeError, UnsupportedError
from depthwise.initializers import Initializer
from depthwise.layers.description import Description
from depthwise.network.facts import LayerFacts, Shape, Weight, layer_facts, sample_axes, single, sizes
from depthwise.network.formula import product
from depthwise.regularizers import Regularizer

if TYPE_CHECKING:
    from depthwise.compiler.lower import Builder
    from depthwise.network.graph import Call

__all__ = ["LayerNormalization"]


@dataclass(frozen=True)
class LayerNormalization(Description):
    """y = gamma · (x − mean) / √(variance + epsilon) + beta over the last axis of each place (Ba et al. 2016, arXiv:1607.06450).

    Prediction and training compute the same: the statistics are those of the values that a place has.

    Args:
        axis: the axis whose values are normalised together, or several: gamma and beta have a number for each of these values.
    """

    axis: int | tuple[int, ...] = -1
    epsilon: float = 1e-3
    center: bool = True
    scale: bool = True
    beta_initializer: str | Initializer = "zeros"
    gamma_initializer: str | Initializer = "ones"
    beta_regularizer: str | Regularizer | None = field(default=None, repr=False)
    gamma_regularizer: str | Regularizer | None = field(default=None, repr=False)
    beta_constraint: str | Constraint | None = field(default=None, repr=False)
    gamma_constraint: str | Constraint | None = field(default=None, repr=False)
    rms_scaling: bool = field(default=False, repr=False, kw_only=True)
    default_name: ClassVar[str] = "layer_normalization"

    def _normalise(self) -> None:
        axis = sorted_axes(self._owner, self.axis)
        if self.rms_scaling:
            raise UnsupportedError("LayerNormalization: rms_scaling is not supported; leave it out")
        if not self.epsilon > 0.0:
            raise InvalidArgumentError(f"LayerNormalization: epsilon must be above 0, got {self.epsilon}")
        self._set(axis=axis)
        self._regularizers()
        self._initializers()

    def moved_axis(self, shapes: tuple[Shape, ...]) -> int | None:
        return self._moved(self.axis, shapes) if isinstance(self.axis, int) else None

    def _axes(self, shape: Shape) -> tuple[int, ...]:
        """The places in `shape` of the axes that are normalised together; a single axis was moved to the end."""
        return (len(shape) - 1,) if isinstance(self.axis, int) else sample_axes(self, self.axis, shape)

    def facts(self, shapes: tuple[Shape, ...]) -> LayerFacts:
        shape = single(self, shapes)
        axes = self._axes(shape)
        if 2 < len(axes) < len(shape):
            raise ShapeError(
                f"{self.label}: of samples with {len(shape)} axes, one, two or all can be normalised together, got {self.axis}"
            )
        names = [*(["gamma"] if self.scale else []), *(["beta"] if self.center else [])]
        every = sizes(shape)
        size = product([every[axis] for axis in axes])
        weights = [Weight(name, tuple(shape[axis] for axis in axes), size, self.trainable) for name in names]
        is_last = axes == (len(shape) - 1,) and self.axis in (-1, len(shape))
        return layer_facts(self, shapes, every, weights, reads_all=not is_last)

    def lower(self, builder: "Builder", call: "Call") -> None:
        (source,) = builder.inputs(call)
        shape = builder.shape(source)
        axes = self._axes(shape)
        if axes == (len(shape) - 1,):
            self._normalised(builder, call, source, shape)
            return
        order = [*(axis for axis in range(len(shape)) if axis not in axes), *axes]
        moved = builder.transpose(call, source, order, "moved")
        kept = builder.shape(moved)
        row = prod(shape[axis] for axis in axes)
        rows = builder.reshape(call, moved, (*kept[: len(shape) - len(axes)], row), "rows")
        self._normalised(builder, call, rows, kept)
        back = [order.index(axis) for axis in range(len(shape))]
        builder.give(call, builder.transpose(call, builder.tensor_of[call.name], back, "back"))

    def _normalised(self, builder: "Builder", call: "Call", rows: str, shape: Shape) -> None:
        """Normalises the last axis of `rows`, and scales and shifts the result in the shape `shape`."""
        normalised = builder.emit(call, op.NormaliseRows((rows,), (f"{call.name}/normalised",), self.epsilon))
        operands = [builder.reshape(call, normalised, shape, "unfolded")]
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
