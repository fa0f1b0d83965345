"""Random changes of images in training; in prediction the images stay as they are. What is drawn: `depthwise.runtime.drawing`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from depthwise.arguments import choice, integer
from depthwise.compiler.ir import operations as op
from depthwise.compiler.ir.expression import Operand, apply
from depthwise.compiler.ir.types import Drawn, Element, TensorType
from depthwise.dataclass import dataclass
from depthwise.errors import InvalidArgumentError, describe_value
from depthwise.layers.description import Description
from depthwise.network.facts import LayerFacts, Shape, image, layer_facts, sizes

if TYPE_CHECKING:
    from depthwise.compiler.lower import Builder
    from depthwise.network.graph import Call

__all__ = ["RandomBrightness", "RandomContrast", "RandomFlip", "RandomRotation", "RandomTranslation", "RandomZoom"]

Range = float | tuple[float, float]


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _range(owner: str, name: str, value: Any, low: float, high: float) -> tuple[float, float]:
    """(lower, upper), from one number or two: one number f stands for −f to f, cut to [low, high]."""
    given = tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else (value,)
    if len(given) not in (1, 2) or not all(_number(item) and low <= item <= high for item in given):
        raise InvalidArgumentError(
            f"{owner}: {name} must be one number, or a lower and an upper one, from {low:g} to {high:g}, got "
            f"{describe_value(value)}"
        )
    if len(given) == 1:
        return max(-abs(float(given[0])), low), abs(float(given[0]))
    return float(min(given)), float(max(given))


def _as_given(value: Any) -> Any:
    """A factor as Keras keeps it: what was given."""
    return tuple(value) if isinstance(value, Sequence) else value


@dataclass(frozen=True)
class _Random(Description):
    def _normalise_random(self) -> None:
        layer: Any = self
        if layer.seed is not None:
            self._set(seed=integer(self._owner, "seed", layer.seed, 0))
        self._normalise_data_format()

    def facts(self, shapes: tuple[Shape, ...]) -> LayerFacts:
        return layer_facts(self, shapes, sizes(image(self, shapes)))

    def lower(self, builder: "Builder", call: "Call") -> None:
        (source,) = builder.inputs(call)
        builder.tensor_of[call.name] = source
        if builder.training:
            self._change(builder, call, source)

    def _change(self, builder: "Builder", call: "Call", source: str) -> None:
        raise NotImplementedError

    def _draw(self, builder: "Builder", call: "Call", *types: TensorType) -> tuple[str, ...]:
        """The sample's own random numbers, as inputs of the program."""
        number = builder.draws
        shape = call.facts.input_shapes[0]
        return tuple(
            builder.draw(f"{call.name}/{i}", type_, Drawn(self, number, i, shape)) for i, type_ in enumerate(types)
        )


NUMBER = TensorType((1,))


@dataclass(frozen=True)
class RandomFlip(_Random):
    """Half of the images mirrored: left and right, top and bottom, or both at once, as `mode` says."""

    mode: str = "horizontal_and_vertical"
    seed: int | None = None
    data_format: str | None = None
    default_name: ClassVar[str] = "random_flip"

    def _normalise(self) -> None:
        modes = ("horizontal", "vertical", "horizontal_and_vertical")
        self._set(mode=choice(self._owner, "mode", self.mode, modes))
        self._normalise_random()

    def _change(self, builder: "Builder", call: "Call", source: str) -> None:
        (chosen,) = self._draw(builder, call, NUMBER)
        rows, columns, _ = call.facts.input_shapes[0]
        taps = [
            op.Taps(size, tuple(((size - 1 - i if name in self.mode else i, 1.0),) for i in range(size)))
            for size, name in ((rows, "vertical"), (columns, "horizontal"))
        ]
        mirrored = builder.emit(call, op.Resample((source,), (f"{call.name}/mirrored",), *taps))
        expression = apply("where_ogt", Operand(0), 0.5, Operand(1), Operand(2))
        builder.elementwise(call, expression, chosen, mirrored, source)


@dataclass(frozen=True)
class _Warping(_Random):
    """Base of what takes each cell from another place."""

    def _normalise_warp(self) -> None:
        layer: Any = self
        owner = self._owner
        if not _number(layer.fill_value):
            raise InvalidArgumentError(f"{owner}: fill_value must be a number, got {describe_value(layer.fill_value)}")
        self._set(
            fill_mode=choice(owner, "fill_mode", layer.fill_mode, ("reflect", "wrap", "constant", "nearest")),
            interpolation=choice(owner, "interpolation", layer.interpolation, ("nearest", "bilinear")),
            fill_value=float(layer.fill_value),
        )
        self._normalise_random()

    def _change(self, builder: "Builder", call: "Call", source: str) -> None:
        layer: Any = self
        rows, columns, _ = call.facts.input_shapes[0]
        taps = 1 if layer.interpolation == "nearest" else 4
        table = (rows * columns * taps,)
        types = [TensorType(table, Element.I32), TensorType(table)]
        fills = layer.fill_mode == "constant" and layer.fill_value != 0.0
        if fills:
            types.append(TensorType((rows, columns, 1)))
        places, shares, *outside = self._draw(builder, call, *types)
        name = f"{call.name}/warped" if fills else call.name
        warped = builder.emit(call, op.Warp((source, places, shares), (name,), (rows, columns), taps))
        if fills:
            builder.elementwise(call, Operand(0) + Operand(1), warped, *outside)


@dataclass(frozen=True)
class RandomTranslation(_Warping):
    """Images moved by a share of their height and width: up to `height_factor` down (up where below 0), `width_factor` right."""

    height_factor: Range
    width_factor: Range
    fill_mode: str = "reflect"
    interpolation: str = "bilinear"
    seed: int | None = None
    fill_value: float = 0.0
    data_format: str | None = None
    default_name: ClassVar[str] = "random_translation"

    def _normalise(self) -> None:
        for name in ("height_factor", "width_factor"):
            value = getattr(self, name)
            _range(self._owner, name, value, -1.0, 1.0)
            self._set(**{name: _as_given(value)})
        self._normalise_warp()

    @property
    def ranges(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """What the shares of height and width are drawn from."""
        height, width = (
            _range(self._owner, name, getattr(self, name), -1.0, 1.0) for name in ("height_factor", "width_factor")
        )
        return height, width


@dataclass(frozen=True)
class RandomRotation(_Warping):
    """Images turned around their middle by `factor` of a full turn."""

    factor: Range
    fill_mode: str = "reflect"
    interpolation: str = "bilinear"
    seed: int | None = None
    fill_value: float = 0.0
    data_format: str | None = None
    default_name: ClassVar[str] = "random_rotation"

    def _normalise(self) -> None:
        self._set(factor=_range(self._owner, "factor", self.factor, -1.0, 1.0))
        self._normalise_warp()


@dataclass(frozen=True)
class RandomZoom(_Warping):
    """Images seen from further off (factors above 0) or nearer; with no `width_factor` both sides alike."""

    height_factor: Range
    width_factor: Range | None = None
    fill_mode: str = "reflect"
    interpolation: str = "bilinear"
    seed: int | None = None
    fill_value: float = 0.0
    data_format: str | None = None
    default_name: ClassVar[str] = "random_zoom"

    def _normalise(self) -> None:
        for name in ("height_factor", "width_factor"):
            value = getattr(self, name)
            given = tuple(value) if isinstance(value, Sequence) else (value,)
            if value is not None and (_range(self._owner, name, value, -1.0, 1.0)[0] == -1.0 and -1.0 in given):
                raise InvalidArgumentError(f"{self._owner}: {name} must be above -1, got {describe_value(value)}")
            self._set(**{name: _as_given(value)})
        self._normalise_warp()

    @property
    def ranges(self) -> tuple[tuple[float, float], tuple[float, float] | None]:
        """What the factors are drawn from, less 1."""
        height = _range(self._owner, "height_factor", self.height_factor, -1.0, 1.0)
        if self.width_factor is None:
            return height, None
        return height, _range(self._owner, "width_factor", self.width_factor, -1.0, 1.0)


@dataclass(frozen=True)
class _Colour(_Random):
    """Base of what changes the values of an image and cuts them to `value_range`."""

    def _normalise_colour(self, low: float) -> None:
        layer: Any = self
        ends = layer.value_range
        if not isinstance(ends, Sequence) or len(ends) != 2 or not all(map(_number, ends)):
            raise InvalidArgumentError(f"{self._owner}: value_range must be two numbers, got {describe_value(ends)}")
        first, last = float(ends[0]), float(ends[1])
        self._set(
            factor=_range(self._owner, "factor", layer.factor, low, 1.0),
            value_range=(min(first, last), max(first, last)),
        )
        self._normalise_random()


@dataclass(frozen=True)
class RandomContrast(_Colour):
    """(x − mean) · f + mean for each channel of an image, f drawn from 1 − factor[0] to 1 + factor[1]."""

    factor: Range
    value_range: tuple[float, float] = (0, 255)
    seed: int | None = None
    data_format: str | None = None
    default_name: ClassVar[str] = "random_contrast"

    def _normalise(self) -> None:
        self._normalise_colour(0.0)

    def _change(self, builder: "Builder", call: "Call", source: str) -> None:
        (factor,) = self._draw(builder, call, NUMBER)
        mean = builder.emit(call, op.ReduceMap((source,), (f"{call.name}/mean",), "mean", True))
        x, centre = Operand(0), Operand(1)
        low, high = self.value_range
        changed = (x - centre) * Operand(2) + centre
        builder.elementwise(call, apply("min", high, apply("max", low, changed)), source, mean, factor)


@dataclass(frozen=True)
class RandomBrightness(_Colour):
    """x + f · (the length of value_range), f drawn from `factor`."""

    factor: Range
    value_range: tuple[float, float] = (0, 255)
    seed: int | None = None
    data_format: str | None = None
    default_name: ClassVar[str] = "random_brightness"

    def _normalise(self) -> None:
        self._normalise_colour(-1.0)

    def _change(self, builder: "Builder", call: "Call", source: str) -> None:
        (added,) = self._draw(builder, call, NUMBER)
        low, high = self.value_range
        builder.elementwise(call, apply("min", high, apply("max", low, Operand(0) + Operand(1))), source, added)
