"""Layers that prepare the data: Rescaling."""

from collections.abc import Sequence
from math import isfinite
from typing import TYPE_CHECKING, ClassVar

from depthwise.compiler.ir.expression import Constant, Expression, Operand
from depthwise.dataclass import dataclass
from depthwise.errors import InvalidArgumentError, ShapeError, describe_value
from depthwise.layers.description import Description
from depthwise.network.facts import LayerFacts, Shape, layer_facts, single, sizes

if TYPE_CHECKING:
    from depthwise.compiler.lower import Builder
    from depthwise.network.graph import Call

__all__ = ["Rescaling"]


@dataclass(frozen=True)
class Rescaling(Description):
    """y = x · scale + offset.

    Args:
        scale: one number, or one for each channel.
        offset: like scale.
    """

    scale: float | tuple[float, ...]
    offset: float | tuple[float, ...] = 0.0
    default_name: ClassVar[str] = "rescaling"

    def _normalise(self) -> None:
        for name in ("scale", "offset"):
            value = getattr(self, name)
            given = value.tolist() if hasattr(value, "tolist") else value
            several = isinstance(given, Sequence) and not isinstance(given, str)
            numbers = tuple(given) if several else (given,)
            if not numbers or not all(
                isinstance(item, (int, float)) and not isinstance(item, bool) and isfinite(item) for item in numbers
            ):
                raise InvalidArgumentError(
                    f"Rescaling: {name} must be a number or a list of one for each channel, got {describe_value(value)}"
                )
            if several:
                self._set(**{name: tuple(map(float, numbers))})
            elif given is not value:
                self._set(**{name: given})

    @property
    def by_channel(self) -> bool:
        """Whether channels have numbers of their own."""
        return isinstance(self.scale, tuple) or isinstance(self.offset, tuple)

    def facts(self, shapes: tuple[Shape, ...]) -> LayerFacts:
        shape = single(self, shapes)
        for name in ("scale", "offset"):
            value = getattr(self, name)
            if isinstance(value, tuple) and len(value) not in (1, shape[-1]):
                raise ShapeError(f"{self.label}: the {len(value)} numbers of {name} do not fit {shape[-1]} channels")
        return layer_facts(self, shapes, sizes(shape))

    def lower(self, builder: "Builder", call: "Call") -> None:
        operands = list(builder.inputs(call))

        def part(name: str) -> Expression:
            value = getattr(self, name)
            if not isinstance(value, tuple):
                return Constant(float(value))
            channels = float(call.output_shape[-1])
            operands.append(builder.derive(call, f"given_{name}", (), (channels, *value)))
            return Operand(len(operands) - 1)

        result = Operand(0) * part("scale")
        if self.offset:
            result = result + part("offset")
        builder.elementwise(call, result, *operands)
