"""Layers that join several inputs."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from depthwise.compiler.ir import operations as op
from depthwise.errors import InvalidArgumentError, ShapeError, describe_value
from depthwise.layers.description import Description
from depthwise.network.facts import LayerFacts, Shape, layer_facts, sizes
from depthwise.network.formula import number, total

if TYPE_CHECKING:
    from depthwise.compiler.lower import Builder
    from depthwise.network.graph import Call

__all__ = ["Add", "Concatenate"]


@dataclass(frozen=True)
class Add(Description):
    """The sum, value by value, of two or more inputs of one shape."""

    default_name: ClassVar[str] = "add"

    def facts(self, shapes: tuple[Shape, ...]) -> LayerFacts:
        if len(shapes) < 2 or len(set(shapes)) != 1:
            raise ShapeError(
                f"{self.label} takes two or more inputs of one shape, got {', '.join(map(str, shapes)) or 'none'}"
            )
        return layer_facts(self, shapes, sizes(shapes[0]))

    def lower(self, builder: "Builder", call: "Call") -> None:
        builder.emit(call, op.sum_of(builder.inputs(call), call.name))


@dataclass(frozen=True)
class Concatenate(Description):
    """Joins the inputs along an axis, the last one unless `axis` says otherwise."""

    axis: int = -1
    default_name: ClassVar[str] = "concatenate"

    def _normalise(self) -> None:
        if not isinstance(self.axis, int) or isinstance(self.axis, bool):
            raise InvalidArgumentError(f"Concatenate: axis must be an integer, got {describe_value(self.axis)}")

    def moved_axis(self, shapes: tuple[Shape, ...]) -> int | None:
        return self._moved(self.axis, shapes)

    def facts(self, shapes: tuple[Shape, ...]) -> LayerFacts:
        if len(shapes) < 2 or len({shape[:-1] for shape in shapes}) != 1:
            raise ShapeError(
                f"{self.label} takes two or more inputs whose shapes differ in "
                f"{'the last axis' if self.axis == -1 else f'axis {self.axis}'} only, got "
                f"{', '.join(map(str, shapes)) or 'none'}"
            )
        channels = total([number(shape[-1], "input_channels") for shape in shapes])
        return layer_facts(self, shapes, (*sizes(shapes[0])[:-1], channels))

    def lower(self, builder: "Builder", call: "Call") -> None:
        builder.emit(call, op.Concatenate(builder.inputs(call), (call.name,)))
