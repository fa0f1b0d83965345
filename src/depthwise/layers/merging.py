"""Layers that join several inputs."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from depthwise.compiler.ir import operations as op
from depthwise.errors import ShapeError, UnsupportedError, describe_value
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
    """Joins the inputs along the last axis."""

    axis: int = -1
    default_name: ClassVar[str] = "concatenate"

    def _normalise(self) -> None:
        if self.axis not in (-1, 1, 3):
            raise UnsupportedError(f"Concatenate: axis must be the last one (-1), got {describe_value(self.axis)}")

    def facts(self, shapes: tuple[Shape, ...]) -> LayerFacts:
        if len(shapes) < 2 or len({shape[:-1] for shape in shapes}) != 1:
            raise ShapeError(
                f"{self.label} takes two or more inputs whose shapes differ in the last axis only, got "
                f"{', '.join(map(str, shapes)) or 'none'}"
            )
        if self.axis not in (-1, len(shapes[0])):
            raise ShapeError(f"{self.label}: axis must be the last one (-1 or {len(shapes[0])}), got {self.axis}")
        channels = total([number(shape[-1], "input_channels") for shape in shapes])
        return layer_facts(self, shapes, (*sizes(shapes[0])[:-1], channels))

    def lower(self, builder: "Builder", call: "Call") -> None:
        builder.emit(call, op.Concatenate(builder.inputs(call), (call.name,)))
