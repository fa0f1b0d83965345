"""Layers that prepare the data: Rescaling."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from depthwise.compiler.ir.expression import Operand
from depthwise.errors import UnsupportedError, describe_value
from depthwise.layers.description import Description

if TYPE_CHECKING:
    from depthwise.compiler.lower import Builder
    from depthwise.network.graph import Call

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
        scaled = Operand(0) * float(self.scale)
        builder.elementwise(call, scaled + float(self.offset) if self.offset else scaled)
