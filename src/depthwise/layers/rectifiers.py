"""Rectifiers with a setting of their own: LeakyReLU, ELU, ThresholdedReLU."""

import math
from typing import TYPE_CHECKING, ClassVar

from depthwise.compiler.ir.expression import Operand, apply
from depthwise.dataclass import dataclass
from depthwise.errors import InvalidArgumentError, describe_value
from depthwise.layers.description import Description

if TYPE_CHECKING:
    from depthwise.compiler.lower import Builder
    from depthwise.network.graph import Call

__all__ = ["ELU", "LeakyReLU", "ThresholdedReLU"]


def _finite(owner: str, name: str, value: object, least: float = -math.inf) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or value < least:
        wanted = "a number" if least == -math.inf else f"a number of at least {least:g}"
        raise InvalidArgumentError(f"{owner}: {name} must be {wanted}, got {describe_value(value)}")
    return float(value)


@dataclass(frozen=True)
class LeakyReLU(Description):
    """x where x ≥ 0, else negative_slope · x (Maas et al. 2013)."""

    negative_slope: float = 0.3
    default_name: ClassVar[str] = "leaky_re_lu"

    def _normalise(self) -> None:
        self._set(negative_slope=_finite(self._owner, "negative_slope", self.negative_slope, 0.0))

    def lower(self, builder: "Builder", call: "Call") -> None:
        x = Operand(0)
        builder.elementwise(call, apply("where_oge", x, 0.0, x, x * self.negative_slope))


@dataclass(frozen=True)
class ELU(Description):
    """x where x > 0, else alpha · (eˣ − 1) (Clevert et al. 2015, arXiv:1511.07289)."""

    alpha: float = 1.0
    default_name: ClassVar[str] = "elu"

    def _normalise(self) -> None:
        self._set(alpha=_finite(self._owner, "alpha", self.alpha))

    def lower(self, builder: "Builder", call: "Call") -> None:
        x = Operand(0)
        if self.alpha == 1.0:
            builder.activate(call, builder.inputs(call)[0], "elu")
            return
        below = apply("expm1_negative", apply("min", 0.0, x), self.alpha)
        builder.elementwise(call, apply("where_ogt", x, 0.0, x, below))


@dataclass(frozen=True)
class ThresholdedReLU(Description):
    """x where x > theta, else 0. A layer of Keras 2, for its files."""

    theta: float = 1.0
    default_name: ClassVar[str] = "thresholded_re_lu"

    def _normalise(self) -> None:
        self._set(theta=_finite(self._owner, "theta", self.theta, 0.0))

    def lower(self, builder: "Builder", call: "Call") -> None:
        x = Operand(0)
        builder.elementwise(call, apply("where_ogt", x, self.theta, x, 0.0))
