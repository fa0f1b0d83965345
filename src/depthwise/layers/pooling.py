"""Pooling over windows and over the whole map; sequences are maps one row high."""

import math
from typing import TYPE_CHECKING, ClassVar

from depthwise.arguments import choice, whole_numbers
from depthwise.compiler.ir import operations as op
from depthwise.dataclass import dataclass
from depthwise.layers.description import Description
from depthwise.network.facts import LayerFacts, Shape, as_pair, layer_facts, spatial, window_axes
from depthwise.network.formula import number

if TYPE_CHECKING:
    from depthwise.compiler.lower import Builder
    from depthwise.network.graph import Call

__all__ = [
    "AveragePooling1D",
    "AveragePooling2D",
    "GlobalAveragePooling1D",
    "GlobalAveragePooling2D",
    "GlobalMaxPooling1D",
    "GlobalMaxPooling2D",
    "MaxPooling1D",
    "MaxPooling2D",
]

Sizes = int | tuple[int, ...]


@dataclass(frozen=True)
class _Pooling(Description):
    pool_size: Sizes = (2, 2)
    strides: Sizes | None = None
    padding: str = "valid"
    data_format: str | None = None
    kind: ClassVar[str] = ""
    rank: ClassVar[int] = 2

    def _normalise(self) -> None:
        pool_size = whole_numbers(self._owner, "pool_size", self.pool_size, self.rank)
        strides = pool_size
        if self.strides is not None:
            strides = whole_numbers(self._owner, "strides", self.strides, self.rank)
        padding = choice(self._owner, "padding", self.padding, ("valid", "same"))
        self._set(pool_size=pool_size, strides=strides, padding=padding)
        self._normalise_data_format()

    def facts(self, shapes: tuple[Shape, ...]) -> LayerFacts:
        shape = spatial(self, shapes, self.rank)
        axes = window_axes(self.label, shape, self.pool_size, self.strides, (1, 1), self.padding)
        output = (*(axis.formula for axis in axes[-self.rank :]), number(shape[-1], "input_channels"))
        return layer_facts(self, shapes, output, axes=axes)

    def lower(self, builder: "Builder", call: "Call") -> None:
        (source,) = builder.inputs(call)
        padding = builder.padding(call)
        if any(padding):
            value = -math.inf if self.kind == "max" else 0.0
            source = builder.emit(call, op.Pad((source,), (f"{call.name}/padded",), padding, value))
        counted = padding if self.kind == "mean" else (0, 0, 0, 0)
        window = (as_pair(self.pool_size), as_pair(self.strides), counted)
        builder.emit(call, op.PoolWindows((source,), (call.name,), self.kind, *window))


@dataclass(frozen=True)
class MaxPooling2D(_Pooling):
    """The largest value of each window, channel by channel. `strides` is `pool_size` where it is None."""

    default_name: ClassVar[str] = "max_pooling2d"
    kind: ClassVar[str] = "max"


@dataclass(frozen=True)
class AveragePooling2D(_Pooling):
    """The mean of each window, channel by channel; padded cells do not count."""

    default_name: ClassVar[str] = "average_pooling2d"
    kind: ClassVar[str] = "mean"


@dataclass(frozen=True)
class MaxPooling1D(_Pooling):
    """The largest value of each window of a sequence (steps, channels), channel by channel."""

    pool_size: Sizes = 2
    rank: ClassVar[int] = 1
    default_name: ClassVar[str] = "max_pooling1d"
    kind: ClassVar[str] = "max"


@dataclass(frozen=True)
class AveragePooling1D(_Pooling):
    """The mean of each window of a sequence (steps, channels), channel by channel; padded steps do not count."""

    pool_size: Sizes = 2
    rank: ClassVar[int] = 1
    default_name: ClassVar[str] = "average_pooling1d"
    kind: ClassVar[str] = "mean"


@dataclass(frozen=True)
class _GlobalPooling(Description):
    data_format: str | None = None
    keepdims: bool = False
    kind: ClassVar[str] = ""
    rank: ClassVar[int] = 2

    def _normalise(self) -> None:
        self._normalise_data_format()

    def facts(self, shapes: tuple[Shape, ...]) -> LayerFacts:
        channels = number(spatial(self, shapes, self.rank)[-1], "input_channels")
        output = (*(number(1) for _ in range(self.rank)), channels) if self.keepdims else (channels,)
        return layer_facts(self, shapes, output, reads_all=True)

    def lower(self, builder: "Builder", call: "Call") -> None:
        builder.emit(call, op.ReduceMap(builder.inputs(call), (call.name,), self.kind, self.keepdims))


@dataclass(frozen=True)
class GlobalAveragePooling2D(_GlobalPooling):
    """The mean of each channel over the whole map: (height, width, channels) → (channels,)."""

    default_name: ClassVar[str] = "global_average_pooling2d"
    kind: ClassVar[str] = "mean"


@dataclass(frozen=True)
class GlobalMaxPooling2D(_GlobalPooling):
    """The largest value of each channel over the whole map: (height, width, channels) → (channels,)."""

    default_name: ClassVar[str] = "global_max_pooling2d"
    kind: ClassVar[str] = "max"


@dataclass(frozen=True)
class GlobalAveragePooling1D(_GlobalPooling):
    """The mean of each channel over all steps: (steps, channels) → (channels,)."""

    rank: ClassVar[int] = 1
    default_name: ClassVar[str] = "global_average_pooling1d"
    kind: ClassVar[str] = "mean"


@dataclass(frozen=True)
class GlobalMaxPooling1D(_GlobalPooling):
    """The largest value of each channel over all steps: (steps, channels) → (channels,)."""

    rank: ClassVar[int] = 1
    default_name: ClassVar[str] = "global_max_pooling1d"
    kind: ClassVar[str] = "max"
