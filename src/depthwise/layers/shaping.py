"""Layers that add or leave out rows and columns, and Flatten."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from depthwise.arguments import Pair, pair
from depthwise.compiler.ir import operations as op
from depthwise.dataclass import dataclass
from depthwise.errors import ShapeError
from depthwise.layers.description import Description
from depthwise.network.facts import LayerFacts, Shape, layer_facts, single, spatial
from depthwise.network.formula import number, product

if TYPE_CHECKING:
    from depthwise.compiler.lower import Builder
    from depthwise.network.graph import Call

__all__ = ["Cropping1D", "Cropping2D", "Flatten", "ZeroPadding1D", "ZeroPadding2D"]


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


def _sides(owner: str, name: str, value: Any, axes: int) -> Any:
    """(before, after), or for two axes both of them, from one number, one for each axis, or (before, after) for each."""
    if axes == 1:
        return pair(owner, name, value, minimum=0)
    each = value if isinstance(value, Sequence) and len(value) == axes else (value,) * axes
    return tuple(pair(owner, name, item, minimum=0) for item in each)


def _of_map(sides: Any) -> tuple[Pair, Pair]:
    """(before, after) of rows and of columns; a sequence has no rows."""
    return sides if isinstance(sides[0], tuple) else ((0, 0), sides)


@dataclass(frozen=True)
class _Padding(Description):
    axes: ClassVar[int] = 2

    def _normalise(self) -> None:
        given: Any = self
        self._set(padding=_sides(self._owner, "padding", given.padding, self.axes))
        self._normalise_data_format()

    def facts(self, shapes: tuple[Shape, ...]) -> LayerFacts:
        shape = spatial(self, shapes, self.axes)
        given: Any = self
        sides = _of_map(given.padding)[-self.axes :]
        output = [
            number(before, "padding_before") + number(size, f"input_{axis}") + number(after, "padding_after")
            for axis, size, (before, after) in zip(("height", "width")[-self.axes :], shape, sides, strict=False)
        ]
        return layer_facts(self, shapes, (*output, number(shape[-1], "input_channels")))

    def lower(self, builder: "Builder", call: "Call") -> None:
        given: Any = self
        (top, bottom), (left, right) = _of_map(given.padding)
        builder.emit(call, op.Pad(builder.inputs(call), (call.name,), (top, bottom, left, right), 0.0))


@dataclass(frozen=True)
class ZeroPadding2D(_Padding):
    """Rows and columns of zeros around the map; `padding` ((top, bottom), (left, right)), or one or two numbers."""

    padding: int | tuple[Any, Any] = (1, 1)
    data_format: str | None = None
    default_name: ClassVar[str] = "zero_padding2d"


@dataclass(frozen=True)
class ZeroPadding1D(_Padding):
    """Steps of zeros before and after a sequence; `padding` (before, after), or one number for both."""

    padding: int | Pair = 1
    data_format: str | None = None
    axes: ClassVar[int] = 1
    default_name: ClassVar[str] = "zero_padding1d"


@dataclass(frozen=True)
class _Cropping(Description):
    axes: ClassVar[int] = 2

    def _normalise(self) -> None:
        given: Any = self
        self._set(cropping=_sides(self._owner, "cropping", given.cropping, self.axes))
        if hasattr(self, "data_format"):
            self._normalise_data_format()

    def facts(self, shapes: tuple[Shape, ...]) -> LayerFacts:
        shape = spatial(self, shapes, self.axes)
        given: Any = self
        sides = _of_map(given.cropping)[-self.axes :]
        if any(before + after >= size for size, (before, after) in zip(shape, sides)):
            raise ShapeError(
                f"{self.label}: a sample of the shape {shape} has nothing left after cropping {given.cropping}"
            )
        output = [
            number(size, f"input_{axis}") - number(before, "cropped_before") - number(after, "cropped_after")
            for axis, size, (before, after) in zip(("height", "width")[-self.axes :], shape, sides, strict=False)
        ]
        return layer_facts(self, shapes, (*output, number(shape[-1], "input_channels")))

    def lower(self, builder: "Builder", call: "Call") -> None:
        given: Any = self
        (top, _), (left, _) = _of_map(given.cropping)
        builder.emit(call, op.Slice(builder.inputs(call), (call.name,), (top, left, 0), call.output_shape))


@dataclass(frozen=True)
class Cropping2D(_Cropping):
    """The map without rows and columns at its edges; `cropping` ((top, bottom), (left, right)), or one or two numbers."""

    cropping: int | tuple[Any, Any] = ((0, 0), (0, 0))
    data_format: str | None = None
    default_name: ClassVar[str] = "cropping2d"


@dataclass(frozen=True)
class Cropping1D(_Cropping):
    """The sequence without steps at its ends; `cropping` (at the start, at the end), or one number for both."""

    cropping: int | Pair = (1, 1)
    axes: ClassVar[int] = 1
    default_name: ClassVar[str] = "cropping1d"
