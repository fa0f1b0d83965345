"""Activations as layers of their own."""

import math
from typing import TYPE_CHECKING, ClassVar

from depthwise.arguments import activation_name
from depthwise.compiler.ir.expression import Operand, apply
from depthwise.dataclass import dataclass
from depthwise.errors import InvalidArgumentError, describe_value
from depthwise.layers.description import Description

if TYPE_CHECKING:
    from depthwise.compiler.lower import Builder
    from depthwise.network.graph import Call

__all__ = ["Activation", "ReLU"]


@dataclass(frozen=True)
class Activation(Description):
    """One of Keras' activations, value by value (softmax: over the last axis)."""

    activation: str
    default_name: ClassVar[str] = "activation"

    def _normalise(self) -> None:
        self._set(activation=activation_name(self._owner, self.activation))

    def lower(self, builder: "Builder", call: "Call") -> None:
        (source,) = builder.inputs(call)
        builder.activate(call, source, self.activation)


@dataclass(frozen=True)
class ReLU(Description):
    """x where x > threshold (or ≥ for a threshold of 0), else negative_slope · (x − threshold); at most max_value."""

    max_value: float | None = None
    negative_slope: float = 0.0
    threshold: float = 0.0
    default_name: ClassVar[str] = "re_lu"

    def _normalise(self) -> None:
        for name in ("max_value", "negative_slope", "threshold"):
            value = getattr(self, name)
            if value is None and name == "max_value":
                continue
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0.0:
                raise InvalidArgumentError(f"ReLU: {name} must be at least 0, got {describe_value(value)}")

    def lower(self, builder: "Builder", call: "Call") -> None:
        (source,) = builder.inputs(call)
        if self.negative_slope == 0 and self.threshold == 0 and self.max_value in (None, 6.0):
            builder.activate(call, source, "relu" if self.max_value is None else "relu6")
            return
        limit = math.inf if self.max_value is None else float(self.max_value)
        relu = apply("relu_layer", Operand(0), limit, float(self.negative_slope), float(self.threshold))
        builder.elementwise(call, relu)
