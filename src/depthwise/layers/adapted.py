"""Normalisation with the mean and the variance of the data: Normalization."""

from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from typing import TYPE_CHECKING, Any, ClassVar

from depthwise.arguments import axes_argument
from depthwise.compiler.ir.expression import Operand
from depthwise.dataclass import dataclass
from depthwise.errors import InvalidArgumentError, ShapeError, UnsupportedError, describe_value
from depthwise.initializers import Initializer, Ones, Zeros
from depthwise.layers.description import Description
from depthwise.network.facts import LayerFacts, Shape, Weight, layer_facts, number, single, sizes

if TYPE_CHECKING:
    from depthwise.compiler.lower import Builder
    from depthwise.network.graph import Call

__all__ = ["Normalization"]


def _adapt(layer: Any, data: Any) -> None:
    """Takes the mean and the variance of `data` as the layer's own; builds the layer where that was not done before.

    Args:
        data: an array (samples, …), or batches of them one after the other; of tuples (x, y) the first.

    Raises:
        InvalidArgumentError: no numbers, or a layer whose mean and variance were given.
        ShapeError: other sizes along the axis than the layer's.
    """
    import numpy as np

    if layer.mean is not None:
        raise InvalidArgumentError("Normalization.adapt: mean and variance were given, so there is nothing to learn")
    batches = [data] if hasattr(data, "__array__") else data
    count, mean, squares = 0, np.zeros(()), np.zeros(())
    for batch in batches:
        x = np.asarray(batch[0] if isinstance(batch, tuple) else batch, np.float64)
        if x.ndim == 0 or x.size == 0:
            continue
        if not layer.built:
            layer.build((None, *x.shape[1:]) if x.ndim > 1 else (None, 1))
        rows = x.reshape(-1, 1 if layer.axis is None else x.shape[-1])
        wanted = layer.arrays()["mean"].size
        if rows.shape[1] != wanted:
            raise ShapeError(
                f"Normalization.adapt: the layer has {wanted} channels, the data of the shape {x.shape} has {rows.shape[1]}"
            )
        # Chan et al. 1979: sums of squares around a mean that grows with the batches.
        own, total = rows.mean(axis=0), count + len(rows)
        apart = own - mean
        squares = squares + ((rows - own) ** 2).sum(axis=0) + apart**2 * (count * len(rows) / total)
        mean, count = mean + apart * (len(rows) / total), total
    if count == 0:
        raise InvalidArgumentError(
            f"Normalization.adapt: data must hold a number at least, got {describe_value(type(data).__name__)} without one"
        )
    shape = layer.arrays()["mean"].shape
    layer.set_weights([mean.reshape(shape), (squares / count).reshape(shape), layer.arrays()["count"]])


@dataclass(frozen=True)
class Normalization(Description):
    """y = (x − mean) / √variance, with the mean and the variance of data that `adapt` has seen, or given ones.

    Args:
        axis: the last one for a mean for each channel; None for one mean of all numbers.
        mean: one number, or one for each channel; variance is then given too. None: `adapt` finds both.
        variance: like mean, at least 0.
        invert: the way back, x · √variance + mean.
    """

    axis: int | tuple[int, ...] | None = -1
    mean: float | tuple[float, ...] | None = None
    variance: float | tuple[float, ...] | None = None
    invert: bool = False
    default_name: ClassVar[str] = "normalization"
    mean_initializer: ClassVar[Initializer] = Zeros()
    variance_initializer: ClassVar[Initializer] = Ones()
    count_initializer: ClassVar[Initializer] = Zeros()
    methods: ClassVar[Mapping[str, Callable[..., Any]]] = {"adapt": _adapt}

    def _normalise(self) -> None:
        axis = self.axis
        if axis is not None and axis not in ((), []):
            axis = axes_argument(self._owner, "axis", axis)
            if isinstance(axis, tuple):
                raise UnsupportedError(f"Normalization: axis must be the last one (-1) or None, got {axis}")
        self._set(axis=None if axis in ((), []) else axis)
        given = {name: self._numbers(name, getattr(self, name)) for name in ("mean", "variance")}
        mean, variance = given["mean"], given["variance"]
        if (mean is None) != (variance is None):
            raise InvalidArgumentError("Normalization: mean and variance must both be given, or neither")
        if isinstance(mean, tuple) != isinstance(variance, tuple) or (
            isinstance(mean, tuple) and isinstance(variance, tuple) and len(mean) != len(variance)
        ):
            raise InvalidArgumentError("Normalization: mean and variance must have the same shape")
        if variance is not None and min(variance if isinstance(variance, tuple) else (variance,)) < 0.0:
            raise InvalidArgumentError(f"Normalization: variance must be at least 0, got {describe_value(variance)}")
        if isinstance(mean, tuple) and self.axis is None:
            raise InvalidArgumentError("Normalization: with axis=None mean and variance must be one number each")
        self._set(mean=mean, variance=variance)

    def _numbers(self, name: str, value: Any) -> float | tuple[float, ...] | None:
        value = value.tolist() if hasattr(value, "tolist") else value
        if value is None:
            return None
        several = isinstance(value, Sequence) and not isinstance(value, str)
        numbers = tuple(value) if several else (value,)
        if not numbers or not all(
            isinstance(item, (int, float)) and not isinstance(item, bool) and isfinite(item) for item in numbers
        ):
            raise InvalidArgumentError(
                f"Normalization: {name} must be a number or a list of one for each channel, got {describe_value(value)}"
            )
        return tuple(map(float, numbers)) if several else float(value)

    def facts(self, shapes: tuple[Shape, ...]) -> LayerFacts:
        shape = single(self, shapes)
        if self.axis not in (None, -1, len(shape)):
            raise ShapeError(f"{self.label}: axis must be the last one (-1 or {len(shape)}) or None, got {self.axis}")
        if self.mean is not None:
            if isinstance(self.mean, tuple) and len(self.mean) not in (1, shape[-1]):
                raise ShapeError(f"{self.label}: {len(self.mean)} means do not fit {shape[-1]} channels")
            return layer_facts(self, shapes, sizes(shape))
        kept = () if self.axis is None else (shape[-1],)
        channels = number(1) if self.axis is None else number(shape[-1], "input_channels")
        weights = [Weight(name, kept, channels, False) for name in ("mean", "variance")]
        return layer_facts(self, shapes, sizes(shape), [*weights, Weight("count", (), number(1), False)])

    def lower(self, builder: "Builder", call: "Call") -> None:
        (source,) = builder.inputs(call)
        channels, parts = float(call.output_shape[-1]), []
        for name, rule in (("mean", "adapted_centre"), ("variance", "adapted_deviation")):
            given = getattr(self, name)
            sources = (builder.weight(call, name),) if given is None else ("",)
            numbers = () if given is None else given if isinstance(given, tuple) else (given,)
            parts.append(builder.derive(call, rule, sources, (channels, *numbers)))
        x, centre, deviation = map(Operand, range(3))
        y = x * deviation + centre if self.invert else (x - centre) / deviation
        builder.elementwise(call, y, source, *parts)
