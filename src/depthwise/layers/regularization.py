"""Layers that work in training only: Dropout, noise, penalties. What is drawn for them: `depthwise.runtime.drawing`."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from depthwise.arguments import integer
from depthwise.compiler.ir import operations as op
from depthwise.compiler.ir.expression import Expression, Operand
from depthwise.compiler.ir.types import Drawn, TensorType
from depthwise.dataclass import dataclass
from depthwise.errors import InvalidArgumentError, ShapeError, UnsupportedError, describe_value
from depthwise.layers.description import Description
from depthwise.network.facts import LayerFacts, Shape, layer_facts, single, sizes
from depthwise.regularizers import L1L2, Regularizer

if TYPE_CHECKING:
    from depthwise.compiler.lower import Builder
    from depthwise.network.graph import Call

__all__ = [
    "ActivityRegularization",
    "AlphaDropout",
    "Dropout",
    "GaussianDropout",
    "GaussianNoise",
    "SpatialDropout1D",
    "SpatialDropout2D",
]


@dataclass(frozen=True)
class _Noise(Description):
    """In training each sample gets arrays of random numbers, which `_applied` puts into the result; in prediction nothing."""

    arrays: ClassVar[int] = 1
    share: ClassVar[str] = "rate"

    def _normalise(self) -> None:
        layer: Any = self
        value = getattr(self, self.share)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0.0 <= value <= 1.0:
            raise InvalidArgumentError(
                f"{self._owner}: {self.share} must be between 0 and 1, got {describe_value(value)}"
            )
        if layer.seed is not None:
            self._set(seed=integer(self._owner, "seed", layer.seed, 0))
        given = getattr(self, "noise_shape", None)
        if given is not None:
            if not isinstance(given, Sequence) or isinstance(given, str) or len(given) < 2:
                raise InvalidArgumentError(
                    f"{self._owner}: noise_shape must hold a size or None for each axis, the batch's first, for example "
                    f"(None, 1, 1, 8), got {describe_value(given)}"
                )
            if given[0] not in (None, 1):
                raise UnsupportedError(
                    f"{self._owner}: the first size of noise_shape must be None (the batch) or 1, got {describe_value(given[0])}"
                )
            rest = (None if size is None else integer(self._owner, "noise_shape", size) for size in given)
            self._set(noise_shape=tuple(rest))

    def facts(self, shapes: tuple[Shape, ...]) -> LayerFacts:
        shape = single(self, shapes)
        self.drawn_shape(shape)
        return layer_facts(self, shapes, sizes(shape))

    def drawn_shape(self, shape: Shape) -> Shape:
        """The shape of what is drawn for a sample of `shape`."""
        given = getattr(self, "noise_shape", None)
        if given is None:
            return shape
        drawn = tuple(size if own is None else own for own, size in zip(given[1:], shape))
        if len(given) != len(shape) + 1 or any(own not in (1, size) for own, size in zip(drawn, shape)):
            raise ShapeError(f"{self.label}: noise_shape {given} does not fit samples of the shape {shape}")
        return drawn

    def lower(self, builder: "Builder", call: "Call") -> None:
        (source,) = builder.inputs(call)
        if not builder.training or not getattr(self, self.share):
            builder.give(call, source)
            return
        number, shape = builder.draws, builder.shape(source)
        type_ = TensorType(self.drawn_shape(shape))
        drawn = [builder.draw(f"{call.name}/{i}", type_, Drawn(self, number, i, shape)) for i in range(self.arrays)]
        builder.elementwise(call, self._applied(Operand(0), *map(Operand, range(1, 1 + len(drawn)))), source, *drawn)

    def _applied(self, x: Expression, *drawn: Expression) -> Expression:
        return x * drawn[0]


@dataclass(frozen=True)
class Dropout(_Noise):
    """In training, sets a share `rate` of the values to 0 and divides the rest by 1 − rate; in prediction, nothing.

    Args:
        noise_shape: with the batch; along axes of size 1 all values are dropped or kept together.
        seed: layers with the same seed choose alike in each step, whatever the model's own seed is.
    """

    rate: float
    noise_shape: tuple[int | None, ...] | None = None
    seed: int | None = None
    default_name: ClassVar[str] = "dropout"

    def lower(self, builder: "Builder", call: "Call") -> None:
        if self.noise_shape is not None or self.seed is not None or not builder.training or self.rate == 0:
            super().lower(builder, call)
            return
        (source,) = builder.inputs(call)
        count = sum(isinstance(operation, op.Dropout) for operation in builder.operations)
        builder.emit(call, op.Dropout((source,), (call.name,), self.rate, count))


@dataclass(frozen=True)
class _SpatialDropout(_Noise):
    writes_trainable: ClassVar[bool] = False
    axes: ClassVar[int] = 2

    def drawn_shape(self, shape: Shape) -> Shape:
        if len(shape) != self.axes + 1:
            wanted = "images (height, width, channels)" if self.axes == 2 else "sequences (steps, channels)"
            raise ShapeError(f"{self.label} takes {wanted}, got a sample of the shape {shape}")
        return (*(1,) * self.axes, shape[-1])


@dataclass(frozen=True)
class SpatialDropout2D(_SpatialDropout):
    """Dropout of whole channels of images (Tompson et al. 2014, arXiv:1411.4280)."""

    rate: float
    data_format: str | None = None
    seed: int | None = None
    default_name: ClassVar[str] = "spatial_dropout2d"

    def _normalise(self) -> None:
        super()._normalise()
        self._normalise_data_format()


@dataclass(frozen=True)
class SpatialDropout1D(_SpatialDropout):
    """Dropout of whole channels of sequences (Tompson et al. 2014, arXiv:1411.4280)."""

    rate: float
    seed: int | None = None
    axes: ClassVar[int] = 1
    default_name: ClassVar[str] = "spatial_dropout1d"


@dataclass(frozen=True)
class GaussianNoise(_Noise):
    """In training, adds normal noise of the standard deviation `stddev`; in prediction, nothing."""

    stddev: float
    seed: int | None = None
    share: ClassVar[str] = "stddev"
    default_name: ClassVar[str] = "gaussian_noise"

    def _applied(self, x: Expression, *drawn: Expression) -> Expression:
        return x + drawn[0]


@dataclass(frozen=True)
class GaussianDropout(_Noise):
    """In training, multiplies by normal noise of mean 1 and standard deviation √(rate / (1 − rate)); in prediction, nothing."""

    rate: float
    seed: int | None = None
    default_name: ClassVar[str] = "gaussian_dropout"

    def _normalise(self) -> None:
        super()._normalise()
        if self.rate == 1.0:
            raise InvalidArgumentError("GaussianDropout: rate must be below 1, got 1.0")


@dataclass(frozen=True)
class AlphaDropout(_Noise):
    """Dropout that keeps mean and variance behind SELU: what it drops becomes −1.7581 (Klambauer et al. 2017, arXiv:1706.02515)."""

    rate: float
    noise_shape: tuple[int | None, ...] | None = None
    seed: int | None = None
    arrays: ClassVar[int] = 2
    default_name: ClassVar[str] = "alpha_dropout"

    def _applied(self, x: Expression, *drawn: Expression) -> Expression:
        return x * drawn[0] + drawn[1]


@dataclass(frozen=True)
class ActivityRegularization(Description):
    """Gives its input, and in training adds l1 · Σ|x| + l2 · Σx² to the loss, as the mean over the samples of the batch.

    Args:
        l1: the factor of the magnitudes, at least 0.
        l2: the factor of the squares, at least 0.
    """

    l1: float = 0.0
    l2: float = 0.0
    default_name: ClassVar[str] = "activity_regularization"

    def _normalise(self) -> None:
        for name in ("l1", "l2"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0.0 <= value < math.inf:
                raise InvalidArgumentError(
                    f"{self._owner}: {name} must be a number of at least 0, got {describe_value(value)}"
                )
            self._set(**{name: float(value)})

    @property
    def activity_penalty(self) -> Regularizer | None:
        return L1L2(self.l1, self.l2) if self.l1 or self.l2 else None

    def lower(self, builder: "Builder", call: "Call") -> None:
        builder.give(call, *builder.inputs(call))
