"""Layers that work in training only: Dropout."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from depthwise.compiler.ir import operations as op
from depthwise.errors import InvalidArgumentError, UnsupportedError, describe_value
from depthwise.layers.description import Description

if TYPE_CHECKING:
    from depthwise.compiler.lower import Builder
    from depthwise.network.graph import Call

__all__ = ["Dropout"]


@dataclass(frozen=True)
class Dropout(Description):
    """In training, sets a share `rate` of the values to 0 and divides the rest by 1 − rate; in prediction, nothing."""

    rate: float
    noise_shape: None = None
    seed: int | None = None
    default_name: ClassVar[str] = "dropout"

    def _normalise(self) -> None:
        if isinstance(self.rate, bool) or not 0.0 <= self.rate <= 1.0:
            raise InvalidArgumentError(f"Dropout: rate must be between 0 and 1, got {describe_value(self.rate)}")
        if self.noise_shape is not None:
            raise UnsupportedError("Dropout: noise_shape is not supported; leave it out")

    def lower(self, builder: "Builder", call: "Call") -> None:
        (source,) = builder.inputs(call)
        if builder.training and self.rate > 0:
            count = sum(isinstance(operation, op.Dropout) for operation in builder.operations)
            builder.emit(call, op.Dropout((source,), (call.name,), self.rate, count))
        else:
            builder.tensor_of[call.name] = source
