"""Normalisation of each sample by itself."""

from dataclasses import field
from typing import TYPE_CHECKING, ClassVar

from depthwise.compiler.ir import operations as op
from depthwise.compiler.ir.expression import Expression, Operand
from depthwise.constraints import Constraint
from depthwise.dataclass import dataclass
from depthwise.errors import InvalidArgumentError, ShapeError, UnsupportedError, describe_value
from depthwise.initializers import Initializer
from depthwise.layers.description import Description
from depthwise.network.facts import LayerFacts, Shape, Weight, layer_facts, single, sizes
from depthwise.network.formula import number
from depthwise.regularizers import Regularizer

if TYPE_CHECKING:
    from depthwise.compiler.lower import Builder
    from depthwise.network.graph import Call

__all__ = ["LayerNormalization"]


@dataclass(frozen=True)
class LayerNormalization(Description):
    """y = gamma · (x − mean) / √(variance + epsilon) + beta over the last axis of each place (Ba et al. 2016, arXiv:1607.06450).

    Prediction and training compute the same: the statistics are those of the values that a place has.
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
        axis = self.axis[0] if isinstance(self.axis, (list, tuple)) and len(self.axis) == 1 else self.axis
        if not isinstance(axis, int) or isinstance(axis, bool):
            raise UnsupportedError(f"LayerNormalization: axis must be the last one (-1), got {describe_value(axis)}")
        if self.rms_scaling:
            raise UnsupportedError("LayerNormalization: rms_scaling is not supported; leave it out")
        if not self.epsilon > 0.0:
            raise InvalidArgumentError(f"LayerNormalization: epsilon must be above 0, got {self.epsilon}")
        self._set(axis=axis)
        self._regularizers()
        self._initializers()

    def facts(self, shapes: tuple[Shape, ...]) -> LayerFacts:
        shape = single(self, shapes)
        if self.axis not in (-1, len(shape)):
            raise ShapeError(f"{self.label}: axis must be the last one (-1 or {len(shape)}), got {self.axis}")
        names = [*(["gamma"] if self.scale else []), *(["beta"] if self.center else [])]
        channels = number(shape[-1], "input_channels")
        weights = [Weight(name, (shape[-1],), channels, self.trainable) for name in names]
        return layer_facts(self, shapes, sizes(shape), weights)

    def lower(self, builder: "Builder", call: "Call") -> None:
        normalised = op.NormaliseRows(builder.inputs(call), (f"{call.name}/normalised",), self.epsilon)
        operands = [builder.emit(call, normalised)]
        expression: Expression = Operand(0)
        if self.scale:
            operands.append(builder.weight(call, "gamma"))
            expression = expression * Operand(len(operands) - 1)
        if self.center:
            operands.append(builder.weight(call, "beta"))
            expression = expression + Operand(len(operands) - 1)
        if len(operands) > 1:
            builder.elementwise(call, expression, *operands)
