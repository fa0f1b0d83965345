"""Dense layers."""

import math
from dataclasses import field
from typing import TYPE_CHECKING, ClassVar

from depthwise.arguments import activation_name, integer
from depthwise.compiler.ir import operations as op
from depthwise.constraints import Constraint
from depthwise.dataclass import dataclass
from depthwise.initializers import Initializer
from depthwise.layers.description import Description
from depthwise.network.facts import LayerFacts, Shape, Weight, layer_facts, single, sizes
from depthwise.network.formula import number, product
from depthwise.regularizers import Regularizer

if TYPE_CHECKING:
    from depthwise.compiler.lower import Builder
    from depthwise.network.graph import Call

__all__ = ["Dense"]


@dataclass(frozen=True)
class Dense(Description):
    """Every output reads every value of the last axis: y = activation(x · kernel + bias)."""

    units: int
    activation: str | None = None
    use_bias: bool = True
    kernel_initializer: str | Initializer = "glorot_uniform"
    bias_initializer: str | Initializer = "zeros"
    kernel_regularizer: str | Regularizer | None = field(default=None, repr=False)
    bias_regularizer: str | Regularizer | None = field(default=None, repr=False)
    activity_regularizer: str | Regularizer | None = field(default=None, repr=False)
    kernel_constraint: str | Constraint | None = field(default=None, repr=False)
    bias_constraint: str | Constraint | None = field(default=None, repr=False)
    default_name: ClassVar[str] = "dense"

    def _normalise(self) -> None:
        self._set(
            units=integer(self._owner, "units", self.units),
            activation=activation_name(self._owner, self.activation),
        )
        self._regularizers()
        self._initializers()

    def facts(self, shapes: tuple[Shape, ...]) -> LayerFacts:
        shape = single(self, shapes)
        units, inputs = number(self.units, "units"), number(shape[-1], "inputs")
        leading = sizes(shape)[:-1]
        weights = [Weight("kernel", (shape[-1], self.units), units * inputs, self.trainable)]
        if self.use_bias:
            weights.append(Weight("bias", (self.units,), number(self.units, "biases"), self.trainable))
        macs = product([*leading, units, inputs])
        return layer_facts(self, shapes, (*leading, units), weights, macs, reads_all=len(shape) == 1)

    def lower(self, builder: "Builder", call: "Call") -> None:
        (source,) = builder.inputs(call)
        kernel = builder.weight(call, "kernel")
        if math.prod(builder.shape(source)[:-1]) == 1:
            result = builder.emit(call, op.Contract((source, kernel, *builder.bias(call)), (call.name,)))
        else:  # on a map: a pointwise convolution
            result = builder.pointwise(call, source, kernel)
        builder.activate(call, result, str(self.activation))
