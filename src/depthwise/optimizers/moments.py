"""Optimizers with running means of g and g²: Adam and those made of it. See `depthwise.optimizers.rules`."""

import math
from collections.abc import Mapping
from dataclasses import field
from typing import Any, ClassVar

from depthwise.compiler.ir.expression import Expression, apply
from depthwise.compiler.ir.update import GRADIENT, WEIGHT, Array, Scalar, sum_of_squares
from depthwise.dataclass import dataclass
from depthwise.errors import InvalidArgumentError
from depthwise.optimizers.description import LEARNING_RATE, OptimizerDescription, Results
from depthwise.optimizers.terms import MOMENTUM, VELOCITY, magnitude, sqrt, towards

__all__ = ["Adam", "AdamW", "Adamax", "Lamb", "Nadam"]


@dataclass(frozen=True)
class _Moments(OptimizerDescription):
    """Running means of g and g²."""

    def _normalise(self) -> None:
        self._decaying("beta_1", "beta_2")
        self._numbers("epsilon")

    @property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        return (("momentum", "velocity"),)

    def _means(self, gradient: Expression) -> tuple[Expression, Expression]:
        """The new means of g and g²."""
        return (
            towards(MOMENTUM, gradient, Scalar("rest_1")),
            towards(VELOCITY, gradient * gradient, Scalar("rest_2")),
        )

    def _rests(self) -> dict[str, float]:
        settings: Any = self
        return {
            "rest_1": 1.0 - settings.beta_1,
            "rest_2": 1.0 - settings.beta_2,
            "epsilon": settings.epsilon,
        }


@dataclass(frozen=True)
class _Adam(_Moments):
    def _normalise(self) -> None:
        super()._normalise()
        self._flag("amsgrad")

    @property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        settings: Any = self
        return (*super().groups, *((("velocity_hat",),) if settings.amsgrad else ()))

    def hyperparameters(self, rate: float, step: int, numbers: dict[str, float]) -> dict[str, float]:
        settings: Any = self
        size = rate * math.sqrt(1.0 - settings.beta_2**step) / (1.0 - settings.beta_1**step)
        return {"step_size": size, **self._rests()}

    def rule(self, weight: Expression, gradient: Expression) -> tuple[Results, ...]:
        settings: Any = self
        momentum, velocity = self._means(gradient)
        results = {"momentum": momentum, "velocity": velocity}
        spread = velocity
        if settings.amsgrad:
            spread = results["velocity_hat"] = apply("max", Array("velocity_hat"), velocity)
        change = momentum * Scalar("step_size") / (sqrt(spread) + Scalar("epsilon"))
        return ({"weight": weight - change, **results},)


@dataclass(frozen=True)
class Adam(_Adam):
    """m ← m + (g - m)(1 - beta_1), v ← v + (g² - v)(1 - beta_2), then w ← w - a × m / (√v + epsilon) with
    a = learning_rate × √(1 - beta_2^t) / (1 - beta_1^t), t the steps counted from 1 (Kingma and Ba 2014,
    arXiv:1412.6980). `amsgrad` divides by the largest v so far (Reddi et al. 2018).

    Args:
        beta_1: how slowly the mean of g forgets.
        beta_2: how slowly the mean of g² forgets.
        epsilon: keeps the division from blowing up; outside the root ("epsilon hat" of the paper).
        amsgrad: keep the largest v.
    """

    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7
    amsgrad: bool = False

    default_name: ClassVar[str] = "adam"


@dataclass(frozen=True)
class AdamW(_Adam):
    """`Adam` with decoupled weight decay, on by default (Loshchilov and Hutter 2019, arXiv:1711.05101).

    Args:
        weight_decay: a number; see `Optimizer`.
        beta_1, beta_2, epsilon, amsgrad: see `Adam`.
    """

    weight_decay: float | None = field(default=0.004, kw_only=False)
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7
    amsgrad: bool = False

    default_name: ClassVar[str] = "adamw"

    def _normalise(self) -> None:
        if self.weight_decay is None:
            raise InvalidArgumentError("AdamW: weight_decay must be a number, got None; use Adam for no weight decay")
        super()._normalise()


@dataclass(frozen=True)
class Nadam(_Moments):
    """`Adam` with Nesterov's momentum (Dozat 2015): w ← w - learning_rate × m̂ / (√v̂ + epsilon), where
    m̂ = u' × m / (1 - U × u') + (1 - u) × g / (1 - U), v̂ = v / (1 - beta_2^t), u = beta_1 × (1 - 0.96^t / 2), u' the u of
    the next step, and U the product of all u so far.

    Args:
        beta_1, beta_2, epsilon: see `Adam`.
    """

    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7

    default_name: ClassVar[str] = "nadam"
    numbers: ClassVar[Mapping[str, float]] = {"u_product": 1.0}

    def hyperparameters(self, rate: float, step: int, numbers: dict[str, float]) -> dict[str, float]:
        now = self.beta_1 * (1.0 - 0.5 * 0.96**step)
        following = self.beta_1 * (1.0 - 0.5 * 0.96 ** (step + 1))
        product = numbers["u_product"] = numbers["u_product"] * now
        return {
            "momentum_share": following / (1.0 - product * following),
            "gradient_share": (1.0 - now) / (1.0 - product),
            "velocity_share": 1.0 / (1.0 - self.beta_2**step),
            **self._rests(),
        }

    def rule(self, weight: Expression, gradient: Expression) -> tuple[Results, ...]:
        momentum, velocity = self._means(gradient)
        mean = momentum * Scalar("momentum_share") + gradient * Scalar("gradient_share")
        root = sqrt(velocity * Scalar("velocity_share")) + Scalar("epsilon")
        return ({"weight": weight - mean * LEARNING_RATE / root, "momentum": momentum, "velocity": velocity},)


@dataclass(frozen=True)
class Adamax(OptimizerDescription):
    """`Adam` with the largest |g| in place of its mean square (Kingma and Ba 2014, arXiv:1412.6980, section 7.1):
    u ← max(beta_2 × u, |g|), then w ← w - learning_rate × m / ((1 - beta_1^t)(u + epsilon)).

    Args:
        beta_1: how slowly the mean of g forgets. beta_2: how slowly the largest |g| shrinks.
        epsilon: keeps the division from blowing up.
    """

    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7

    default_name: ClassVar[str] = "adamax"

    def _normalise(self) -> None:
        self._decaying("beta_1")
        self._share("beta_2")
        self._numbers("epsilon")

    @property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        return (("momentum", "norm"),)

    def hyperparameters(self, rate: float, step: int, numbers: dict[str, float]) -> dict[str, float]:
        return {
            "step_size": rate / (1.0 - self.beta_1**step),
            "rest_1": 1.0 - self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
        }

    def rule(self, weight: Expression, gradient: Expression) -> tuple[Results, ...]:
        momentum = towards(MOMENTUM, gradient, Scalar("rest_1"))
        norm = apply("max", Array("norm") * Scalar("beta_2"), magnitude(gradient))
        change = momentum * Scalar("step_size") / (norm + Scalar("epsilon"))
        return ({"weight": weight - change, "momentum": momentum, "norm": norm},)


@dataclass(frozen=True)
class Lamb(_Moments):
    """`Adam` whose step is as long as the weight's norm says (You et al. 2019, arXiv:1904.00962): with
    d = (m / (1 - beta_1^t)) / (√(v / (1 - beta_2^t)) + epsilon), w ← w - learning_rate × ‖w‖ / ‖d‖ × d; the quotient of the
    norms is 1 where one of them is 0.

    Args:
        beta_1, beta_2, epsilon: see `Adam`.
    """

    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7

    default_name: ClassVar[str] = "lamb"

    def hyperparameters(self, rate: float, step: int, numbers: dict[str, float]) -> dict[str, float]:
        return {
            "momentum_share": 1.0 / (1.0 - self.beta_1**step),
            "velocity_share": 1.0 / (1.0 - self.beta_2**step),
            **self._rests(),
        }

    def rule(self, weight: Expression, gradient: Expression) -> tuple[Results, ...]:
        momentum, velocity = self._means(gradient)
        root = sqrt(velocity * Scalar("velocity_share")) + Scalar("epsilon")
        first: Results = {"gradient": momentum * Scalar("momentum_share") / root}
        first |= {"momentum": momentum, "velocity": velocity}
        if weight is not WEIGHT:
            first["weight"] = weight
        weights, steps = sqrt(sum_of_squares("weight")), sqrt(sum_of_squares("gradient"))
        ratio = apply("where_ogt", weights, 0.0, apply("where_ogt", steps, 0.0, weights / steps, 1.0), 1.0)
        return first, {"weight": WEIGHT - ratio * LEARNING_RATE * GRADIENT}
