"""Layers that give maps another size: UpSampling, Resizing, CenterCrop."""

import math
from fractions import Fraction
from typing import TYPE_CHECKING, Any, ClassVar

from depthwise.arguments import choice, integer, pair
from depthwise.compiler.ir import operations as op
from depthwise.dataclass import dataclass
from depthwise.errors import InvalidArgumentError, UnsupportedError, describe_value
from depthwise.layers.description import Description
from depthwise.network.facts import LayerFacts, Resampling, Shape, image, layer_facts, sequence
from depthwise.network.formula import Formula, number

if TYPE_CHECKING:
    from depthwise.compiler.lower import Builder
    from depthwise.network.graph import Call

__all__ = ["CenterCrop", "Resizing", "UpSampling1D", "UpSampling2D"]


def _lanczos(radius: int, x: float) -> float:
    if x > radius:
        return 0.0
    return radius * math.sin(math.pi * x) * math.sin(math.pi * x / radius) / (math.pi * x) ** 2 if x > 1e-3 else 1.0


def _cubic(x: float) -> float:
    """Keys' cubic convolution with a = −½ (IEEE Transactions on Acoustics, Speech and Signal Processing 29, 1981)."""
    if x >= 2.0:
        return 0.0
    return ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0 if x >= 1.0 else (1.5 * x - 2.5) * x * x + 1.0


_KERNELS: dict[str, tuple[int, Any]] = {
    "bilinear": (1, lambda x: max(0.0, 1.0 - x)),
    "bicubic": (2, _cubic),
    "lanczos3": (3, lambda x: _lanczos(3, x)),
    "lanczos5": (5, lambda x: _lanczos(5, x)),
}
"""Each interpolation's radius and weight by distance."""

INTERPOLATIONS = ("nearest", *_KERNELS)


def _taps(size: int, output: int, interpolation: str, antialias: bool = False) -> op.Taps:
    """How `size` cells become `output`: sample i lies at (i + ½) · size / output − ½."""
    if size == output:
        return op.Taps(size, tuple(((i, 1.0),) for i in range(size)))
    if interpolation == "nearest":
        return op.Taps(size, tuple((((2 * i + 1) * size // (2 * output), 1.0),) for i in range(output)))
    radius, kernel = _KERNELS[interpolation]
    scale = max(size / output, 1.0) if antialias else 1.0
    cells = []
    for i in range(output):
        place = (i + 0.5) * size / output - 0.5
        near = range(max(0, math.ceil(place - radius * scale)), min(size - 1, math.floor(place + radius * scale)) + 1)
        pairs = [(cell, kernel(abs(place - cell) / scale)) for cell in near]
        total = sum(weight for _, weight in pairs)
        cells.append(tuple((cell, weight / total) for cell, weight in pairs if weight != 0.0))
    return op.Taps(size, tuple(cells))


def _reads(taps: op.Taps) -> tuple[int, Fraction]:
    return taps.most, Fraction(taps.size, len(taps.cells))


def _interpolation(owner: str, value: object) -> str:
    return choice(owner, "interpolation", value, INTERPOLATIONS)


@dataclass(frozen=True)
class UpSampling2D(Description):
    """Every row `size[0]` and every column `size[1]` times ("nearest"), or interpolated between them."""

    size: int | tuple[int, int] = (2, 2)
    data_format: str | None = None
    interpolation: str = "nearest"
    default_name: ClassVar[str] = "up_sampling2d"

    def _normalise(self) -> None:
        self._set(
            size=pair(self._owner, "size", self.size), interpolation=_interpolation(self._owner, self.interpolation)
        )
        self._normalise_data_format()

    def _both(self, shape: Shape) -> tuple[op.Taps, op.Taps]:
        layer: Any = self
        rows, columns = (_taps(size, size * times, self.interpolation) for size, times in zip(shape, layer.size))
        return rows, columns

    def facts(self, shapes: tuple[Shape, ...]) -> LayerFacts:
        layer: Any = self
        shape = image(self, shapes)
        names = ("height", "width")
        enlarged = [
            number(size, f"input_{name}") * number(times, "times")
            for size, times, name in zip(shape, layer.size, names)
        ]
        resampling = Resampling(*map(_reads, self._both(shape)))
        return layer_facts(self, shapes, (*enlarged, number(shape[2], "input_channels")), resampling=resampling)

    def lower(self, builder: "Builder", call: "Call") -> None:
        builder.emit(call, op.Resample(builder.inputs(call), (call.name,), *self._both(call.facts.input_shapes[0])))


@dataclass(frozen=True)
class UpSampling1D(Description):
    """Every step of a sequence `size` times: (steps, channels) → (steps · size, channels)."""

    size: int = 2
    default_name: ClassVar[str] = "up_sampling1d"

    def _normalise(self) -> None:
        self._set(size=integer(self._owner, "size", self.size))

    def facts(self, shapes: tuple[Shape, ...]) -> LayerFacts:
        steps, channels = sequence(self, shapes)
        output = (number(steps, "input_length") * number(self.size, "times"), number(channels, "input_channels"))
        resampling = Resampling((1, Fraction(1)), (1, Fraction(1, self.size)))
        return layer_facts(self, shapes, output, resampling=resampling)

    def lower(self, builder: "Builder", call: "Call") -> None:
        steps = call.facts.input_shapes[0][0]
        taps = _taps(1, 1, "nearest"), _taps(steps, steps * self.size, "nearest")
        builder.emit(call, op.Resample(builder.inputs(call), (call.name,), *taps))


@dataclass(frozen=True)
class ToSize(Description):
    """Base of what gives every map one size."""

    def _output(self, shape: Shape) -> tuple[Formula, ...]:
        layer: Any = self
        return (number(layer.height, "output_height"), number(layer.width, "output_width"), number(shape[2]))

    def largest_part(self, shape: Shape) -> tuple[int, int, int, int]:
        """(first row, first column, rows, columns) of the largest part in the middle with the output's proportions."""
        layer: Any = self
        rows = max(min(shape[0], int(float(shape[1] * layer.height) / layer.width)), 1)
        columns = max(min(shape[1], int(float(shape[0] * layer.width) / layer.height)), 1)
        return (shape[0] - rows) // 2, (shape[1] - columns) // 2, rows, columns

    def part_facts(self, shapes: tuple[Shape, ...], part: tuple[int, int, int, int]) -> LayerFacts:
        """The facts of a layer that resizes `part` of its map."""
        layer: Any = self
        taps = _taps(part[2], layer.height, "bilinear"), _taps(part[3], layer.width, "bilinear")
        return layer_facts(self, shapes, self._output(shapes[0]), resampling=Resampling(*map(_reads, taps)))

    def take_part(self, builder: "Builder", call: "Call", part: tuple[int, int, int, int]) -> None:
        """The operations that cut `part` out and resize it."""
        layer: Any = self
        grows = part[2:] != (layer.height, layer.width)
        self._slice(builder, call, f"{call.name}/cropped" if grows else call.name, part)
        if grows:
            read = builder.tensor_of[call.name]
            taps = _taps(part[2], layer.height, "bilinear"), _taps(part[3], layer.width, "bilinear")
            builder.emit(call, op.Resample((read,), (call.name,), *taps))

    def _slice(self, builder: "Builder", call: "Call", name: str, part: tuple[int, int, int, int]) -> None:
        (source,) = builder.inputs(call)
        shape = builder.shape(source)
        if part[2:] != shape[:2]:
            cut = op.Slice((source,), (name,), (part[0], part[1], 0), (*part[2:], shape[2]))
            builder.emit(call, cut)
        else:
            builder.tensor_of[call.name] = source


@dataclass(frozen=True)
class Resizing(ToSize):
    """Maps of `height` × `width`, interpolated; cut or padded first where the proportions shall stay.

    Args:
        interpolation: "bilinear", "nearest", "bicubic", "lanczos3" or "lanczos5".
        crop_to_aspect_ratio: cuts away what does not fit the new proportions, at both sides alike.
        pad_to_aspect_ratio: adds `fill_value` at both sides instead.
        antialias: averages over what lies between two samples when the map shrinks.
    """

    height: int
    width: int
    interpolation: str = "bilinear"
    crop_to_aspect_ratio: bool = False
    pad_to_aspect_ratio: bool = False
    fill_mode: str = "constant"
    fill_value: float = 0.0
    antialias: bool = False
    data_format: str | None = None
    default_name: ClassVar[str] = "resizing"

    def _normalise(self) -> None:
        owner = self._owner
        if self.fill_mode != "constant":
            raise UnsupportedError(f"{owner}: fill_mode must be 'constant', got {describe_value(self.fill_mode)}")
        if self.crop_to_aspect_ratio and self.pad_to_aspect_ratio:
            raise InvalidArgumentError(
                f"{owner}: only one of crop_to_aspect_ratio and pad_to_aspect_ratio may be True; set one to False"
            )
        self._set(
            height=integer(owner, "height", self.height),
            width=integer(owner, "width", self.width),
            interpolation=_interpolation(owner, self.interpolation),
            fill_value=float(self.fill_value),
            antialias=bool(self.antialias),
        )
        self._normalise_data_format()

    def _padding(self, shape: Shape) -> tuple[int, int]:
        """Rows above and below, or columns left and right, as Keras adds them: one of the two, each side alike."""
        rows = (max(shape[0], int(float(shape[1] * self.height) / self.width)) - shape[0]) // 2
        columns = (max(shape[1], int(float(shape[0] * self.width) / self.height)) - shape[1]) // 2
        return (rows, 0) if rows else (0, columns)

    def _read(self, shape: Shape) -> tuple[int, int]:
        """Rows and columns of what is resized."""
        if self.crop_to_aspect_ratio:
            return self.largest_part(shape)[2:]
        rows, columns = self._padding(shape) if self.pad_to_aspect_ratio else (0, 0)
        return shape[0] + 2 * rows, shape[1] + 2 * columns

    def _both(self, shape: Shape) -> tuple[op.Taps, op.Taps]:
        rows, columns = self._read(shape)
        down = _taps(rows, self.height, self.interpolation, self.antialias)
        return down, _taps(columns, self.width, self.interpolation, self.antialias)

    def facts(self, shapes: tuple[Shape, ...]) -> LayerFacts:
        shape = image(self, shapes)
        return layer_facts(self, shapes, self._output(shape), resampling=Resampling(*map(_reads, self._both(shape))))

    def lower(self, builder: "Builder", call: "Call") -> None:
        (source,) = builder.inputs(call)
        shape = call.facts.input_shapes[0]
        builder.tensor_of[call.name] = source
        if self.crop_to_aspect_ratio:
            self._slice(builder, call, f"{call.name}/cropped", self.largest_part(shape))
        elif self.pad_to_aspect_ratio and any(self._padding(shape)):
            rows, columns = self._padding(shape)
            sides = (rows, rows, columns, columns)
            builder.emit(call, op.Pad((source,), (f"{call.name}/padded",), sides, self.fill_value))
        read = builder.tensor_of[call.name]
        if self._read(shape) != (self.height, self.width):
            builder.emit(call, op.Resample((read,), (call.name,), *self._both(shape)))


@dataclass(frozen=True)
class CenterCrop(ToSize):
    """The `height` × `width` cells in the middle; of a smaller map the largest part of that proportion, enlarged."""

    height: int
    width: int
    data_format: str | None = None
    default_name: ClassVar[str] = "center_crop"

    def _normalise(self) -> None:
        self._set(height=integer(self._owner, "height", self.height), width=integer(self._owner, "width", self.width))
        self._normalise_data_format()

    def _part(self, shape: Shape) -> tuple[int, int, int, int]:
        if shape[0] < self.height or shape[1] < self.width:
            return self.largest_part(shape)
        return (shape[0] - self.height) // 2, (shape[1] - self.width) // 2, self.height, self.width

    def facts(self, shapes: tuple[Shape, ...]) -> LayerFacts:
        return self.part_facts(shapes, self._part(image(self, shapes)))

    def lower(self, builder: "Builder", call: "Call") -> None:
        self.take_part(builder, call, self._part(call.facts.input_shapes[0]))
