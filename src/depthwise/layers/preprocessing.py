"""Layers that prepare the data: Rescaling."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from depthwise import operations as op
from depthwise.errors import UnsupportedError, describe_value
from depthwise.layers.description import Description

if TYPE_CHECKING:
    from depthwise.graph import Call
    from depthwise.passes.lower import Builder

__all__ = ["Rescaling"]


@dataclass(frozen=True)
class Rescaling(Description):
    """y = x · scale + offset."""

    scale: float
    offset: float = 0.0
    default_name: ClassVar[str] = "rescaling"

    def _normalise(self) -> None:
        for name in ("scale", "offset"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise UnsupportedError(f"Rescaling: {name} must be one number, got {describe_value(value)}")

    def lower(self, builder: "Builder", call: "Call") -> None:
        (source,) = builder.inputs(call)
        builder.emit(call, op.Scale((source,), call.name, float(self.scale), float(self.offset)))
