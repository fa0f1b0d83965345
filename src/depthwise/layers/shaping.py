"""Layers that move numbers without computing: Flatten, ZeroPadding2D."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from depthwise.arguments import pair
from depthwise.compiler.ir import operations as op
from depthwise.layers.description import Description
from depthwise.network.facts import LayerFacts, Shape, image, layer_facts, single
from depthwise.network.formula import number, product

if TYPE_CHECKING:
    from depthwise.compiler.lower import Builder
    from depthwise.network.graph import Call

__all__ = ["Flatten", "ZeroPadding2D"]


@dataclass(frozen=True)
class Flatten(Description):
    """(height, width, channels) → (height · width · channels,), rows first, channels innermost."""

    data_format: str | None = None
    default_name: ClassVar[str] = "flatten"

    def _normalise(self) -> None:
        self._normalise_data_format()

    def facts(self, shapes: tuple[Shape, ...]) -> LayerFacts:
        shape = single(self, shapes)
        image_sizes = ("input_height", "input_width", "input_channels")
        meanings = image_sizes if len(shape) == 3 else ("input_size",) * len(shape)
        return layer_facts(self, shapes, (product([number(size, name) for size, name in zip(shape, meanings)]),))

    def lower(self, builder: "Builder", call: "Call") -> None:
        builder.emit(call, op.Reshape(builder.inputs(call), (call.name,), call.output_shape))


@dataclass(frozen=True)
class ZeroPadding2D(Description):
    """Rows and columns of zeros around the map; `padding` ((top, bottom), (left, right)), or one or two numbers."""

    padding: int | tuple[Any, Any] = (1, 1)
    data_format: str | None = None
    default_name: ClassVar[str] = "zero_padding2d"

    def _normalise(self) -> None:
        value = self.padding
        if isinstance(value, Sequence) and len(value) == 2:
            rows, columns = value
        else:
            rows = columns = value
        self._set(
            padding=(
                pair(self._owner, "padding", rows, minimum=0),
                pair(self._owner, "padding", columns, minimum=0),
            )
        )
        self._normalise_data_format()

    def facts(self, shapes: tuple[Shape, ...]) -> LayerFacts:
        shape = image(self, shapes)
        padding: Any = self.padding
        output = [
            number(before, "padding_before") + number(size, f"input_{axis}") + number(after, "padding_after")
            for axis, size, (before, after) in zip(("height", "width"), shape, padding, strict=False)
        ]
        return layer_facts(self, shapes, (*output, number(shape[2], "input_channels")))

    def lower(self, builder: "Builder", call: "Call") -> None:
        padding: Any = self.padding
        (top, bottom), (left, right) = padding
        builder.emit(call, op.Pad(builder.inputs(call), (call.name,), (top, bottom, left, right), 0.0))
