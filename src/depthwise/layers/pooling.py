"""Pooling over windows and over the whole map."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from depthwise.arguments import Pair, choice, pair
from depthwise.compiler.ir import operations as op
from depthwise.layers.description import Description
from depthwise.network.facts import LayerFacts, Shape, image, layer_facts, window_axes
from depthwise.network.formula import number

if TYPE_CHECKING:
    from depthwise.compiler.lower import Builder
    from depthwise.network.graph import Call

__all__ = ["AveragePooling2D", "GlobalAveragePooling2D", "GlobalMaxPooling2D", "MaxPooling2D"]


@dataclass(frozen=True)
class _Pooling(Description):
    pool_size: int | Pair = (2, 2)
    strides: int | Pair | None = None
    padding: str = "valid"
    data_format: str | None = None
    kind: ClassVar[str] = ""

    def _normalise(self) -> None:
        pool_size = pair(self._owner, "pool_size", self.pool_size)
        strides = pool_size if self.strides is None else pair(self._owner, "strides", self.strides)
        padding = choice(self._owner, "padding", self.padding, ("valid", "same"))
        self._set(pool_size=pool_size, strides=strides, padding=padding)
        self._channels_last()

    def facts(self, shapes: tuple[Shape, ...]) -> LayerFacts:
        shape = image(self, shapes)
        axes = window_axes(self.label, shape, self.pool_size, self.strides, (1, 1), self.padding)
        output = (axes[0].formula, axes[1].formula, number(shape[2], "input_channels"))
        return layer_facts(self, shapes, output, axes=axes)

    def lower(self, builder: "Builder", call: "Call") -> None:
        layer: Any = self
        (source,) = builder.inputs(call)
        padding = builder.padding(call)
        if any(padding):
            value = -math.inf if self.kind == "max" else 0.0
            source = builder.emit(call, op.Pad((source,), (f"{call.name}/padded",), padding, value))
        counted = padding if self.kind == "mean" else (0, 0, 0, 0)
        window = (layer.pool_size, layer.strides, counted)
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
class _GlobalPooling(Description):
    data_format: str | None = None
    keepdims: bool = False
    kind: ClassVar[str] = ""

    def _normalise(self) -> None:
        self._channels_last()

    def facts(self, shapes: tuple[Shape, ...]) -> LayerFacts:
        channels = number(image(self, shapes)[2], "input_channels")
        output = (number(1), number(1), channels) if self.keepdims else (channels,)
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
