"""The rules of Keras' optimizers: arguments, defaults, formulas and the names of what is kept are those of `keras.optimizers`."""

import math
from collections.abc import Mapping
from typing import Any, ClassVar

from depthwise.compiler.ir.expression import Expression, apply
from depthwise.compiler.ir.update import Array, Scalar
from depthwise.dataclass import dataclass
from depthwise.optimizers.adafactor import Adafactor
from depthwise.optimizers.description import LEARNING_RATE, OptimizerDescription, Results
from depthwise.optimizers.moments import Adam, Adamax, AdamW, Lamb, Nadam
from depthwise.optimizers.muon import Muon
from depthwise.optimizers.terms import MOMENTUM, VELOCITY, fma, sign, sqrt

__all__ = ["RULES"]


@dataclass(frozen=True)
class SGD(OptimizerDescription):
    """Gradient descent: w ← w - learning_rate × g; with momentum, v ← momentum × v - learning_rate × g and w ← w + v;
    with `nesterov`, w ← w + momentum × v - learning_rate × g (the new v).

    Args:
        momentum: from 0 to 1.
        nesterov: Nesterov's momentum.
    """

    learning_rate: Any = 0.01
    momentum: float = 0.0
    nesterov: bool = False

    default_name: ClassVar[str] = "sgd"

    def _normalise(self) -> None:
        self._share("momentum")
        self._flag("nesterov")

    @property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        return (("momentum",),) if self.momentum else ()

    def hyperparameters(self, rate: float, step: int, numbers: dict[str, float]) -> dict[str, float]:
        return {"momentum": self.momentum}

    def rule(self, weight: Expression, gradient: Expression) -> tuple[Results, ...]:
        step = gradient * LEARNING_RATE
        if not self.momentum:
            return ({"weight": weight - step},)
        velocity = MOMENTUM * Scalar("momentum") - step
        change = velocity * Scalar("momentum") - step if self.nesterov else velocity
        return ({"weight": weight + change, "momentum": velocity},)


@dataclass(frozen=True)
class RMSprop(OptimizerDescription):
    """v ← rho × v + (1 - rho) × g², then w ← w - learning_rate × g / √(v + epsilon) (Hinton 2012). `centered` subtracts
    the square of a running mean of g from v; with momentum, m ← momentum × m + the step, and w ← w - m.

    Args:
        rho: how slowly the average of g² forgets.
        momentum: 0 for none.
        epsilon: keeps the division from blowing up; inside the root.
        centered: divide by the variance instead of the mean square.
    """

    rho: float = 0.9
    momentum: float = 0.0
    epsilon: float = 1e-7
    centered: bool = False

    default_name: ClassVar[str] = "rmsprop"

    def _normalise(self) -> None:
        self._share("rho")
        self._share("momentum")
        self._numbers("epsilon")
        self._flag("centered")

    @property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        momentum = (("momentum",),) if self.momentum else ()
        return (("velocity",), *momentum, *((("average_gradient",),) if self.centered else ()))

    def hyperparameters(self, rate: float, step: int, numbers: dict[str, float]) -> dict[str, float]:
        return {"rho": self.rho, "rest": 1.0 - self.rho, "momentum": self.momentum, "epsilon": self.epsilon}

    def rule(self, weight: Expression, gradient: Expression) -> tuple[Results, ...]:
        rho, rest = Scalar("rho"), Scalar("rest")
        velocity = fma(VELOCITY, rho, gradient * gradient * rest)
        results: Results = {"velocity": velocity}
        spread = velocity
        if self.centered:
            mean = results["average_gradient"] = fma(Array("average_gradient"), rho, gradient * rest)
            spread = velocity - mean * mean
        change = gradient * LEARNING_RATE / sqrt(spread + Scalar("epsilon"))
        if self.momentum:
            change = results["momentum"] = fma(MOMENTUM, Scalar("momentum"), change)
        return ({"weight": weight - change, **results},)


@dataclass(frozen=True)
class Adagrad(OptimizerDescription):
    """a ← a + g², then w ← w - learning_rate × g / √(a + epsilon) (Duchi et al. 2011).

    Args:
        initial_accumulator_value: the first a.
        epsilon: keeps the division from blowing up; inside the root.
    """

    initial_accumulator_value: float = 0.1
    epsilon: float = 1e-7

    default_name: ClassVar[str] = "adagrad"

    def _normalise(self) -> None:
        self._numbers("initial_accumulator_value", "epsilon")

    @property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        return (("accumulator",),)

    @property
    def initial(self) -> Mapping[str, float]:
        return {"accumulator": self.initial_accumulator_value}

    def hyperparameters(self, rate: float, step: int, numbers: dict[str, float]) -> dict[str, float]:
        return {"epsilon": self.epsilon}

    def rule(self, weight: Expression, gradient: Expression) -> tuple[Results, ...]:
        total = Array("accumulator") + gradient * gradient
        change = gradient * LEARNING_RATE / sqrt(total + Scalar("epsilon"))
        return ({"weight": weight - change, "accumulator": total},)


@dataclass(frozen=True)
class Adadelta(OptimizerDescription):
    """a ← rho × a + (1 - rho) × g², d = -g × √(b + epsilon) / √(a + epsilon), b ← rho × b + (1 - rho) × d², then
    w ← w + learning_rate × d (Zeiler 2012, arXiv:1212.5701).

    Args:
        rho: how slowly the means forget.
        epsilon: keeps the division from blowing up; inside the roots.
    """

    rho: float = 0.95
    epsilon: float = 1e-7

    default_name: ClassVar[str] = "adadelta"

    def _normalise(self) -> None:
        self._share("rho")
        self._numbers("epsilon")

    @property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        return (("accumulated_grad", "accumulated_delta_var"),)

    def hyperparameters(self, rate: float, step: int, numbers: dict[str, float]) -> dict[str, float]:
        return {"rho": self.rho, "rest": 1.0 - self.rho, "epsilon": self.epsilon}

    def rule(self, weight: Expression, gradient: Expression) -> tuple[Results, ...]:
        rho, rest, epsilon = Scalar("rho"), Scalar("rest"), Scalar("epsilon")
        before = Array("accumulated_delta_var")
        squares = fma(Array("accumulated_grad"), rho, gradient * gradient * rest)
        change = sqrt(before + epsilon) * gradient / sqrt(squares + epsilon)
        changes = fma(before, rho, change * change * rest)
        results = {"accumulated_grad": squares, "accumulated_delta_var": changes}
        return ({"weight": weight - change * LEARNING_RATE, **results},)


@dataclass(frozen=True)
class Ftrl(OptimizerDescription):
    """ "Follow the regularised leader" (McMahan et al. 2013): with n the sum of g², p = -learning_rate_power and
    g' = g + 2 × l2_shrinkage × w, z ← z + g' - (n'^p - n^p) / learning_rate × w, then
    w ← (clip(z, ±l1) - z) / (n'^p / learning_rate + 2 × l2 + beta / learning_rate).

    Args:
        learning_rate_power: at most 0; 0 for a learning rate that stays.
        initial_accumulator_value: the first n.
        l1_regularization_strength, l2_regularization_strength: penalties that hold the weights small.
        l2_shrinkage_regularization_strength: a penalty on the size of w that acts through the gradient.
        beta: of the paper.
    """

    learning_rate_power: float = -0.5
    initial_accumulator_value: float = 0.1
    l1_regularization_strength: float = 0.0
    l2_regularization_strength: float = 0.0
    l2_shrinkage_regularization_strength: float = 0.0
    beta: float = 0.0

    default_name: ClassVar[str] = "ftrl"

    def _normalise(self) -> None:
        power = self._number("learning_rate_power", self.learning_rate_power, "at most 0", least=-math.inf, most=0.0)
        self._set(learning_rate_power=power)
        self._numbers(
            "initial_accumulator_value", "l1_regularization_strength", "l2_regularization_strength",
            "l2_shrinkage_regularization_strength", "beta",
        )  # fmt: skip

    @property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        return (("accumulator", "linear"),)

    @property
    def structure(self) -> tuple[object, ...]:
        return (*super().structure, self.learning_rate_power == -0.5)

    @property
    def initial(self) -> Mapping[str, float]:
        return {"accumulator": self.initial_accumulator_value}

    def hyperparameters(self, rate: float, step: int, numbers: dict[str, float]) -> dict[str, float]:
        inverse = 1.0 / rate if rate else math.inf
        return {
            "inverse_rate": inverse,
            "power": -self.learning_rate_power,
            "l1": self.l1_regularization_strength,
            "twice_l2": 2.0 * self.l2_regularization_strength + (self.beta * inverse if self.beta else 0.0),
            "twice_shrinkage": 2.0 * self.l2_shrinkage_regularization_strength,
        }

    def _power(self, value: Expression) -> Expression:
        if self.learning_rate_power == -0.5:
            return sqrt(value)
        return apply("exp", apply("log", value) * Scalar("power"))

    def rule(self, weight: Expression, gradient: Expression) -> tuple[Results, ...]:
        before, inverse, l1 = Array("accumulator"), Scalar("inverse_rate"), Scalar("l1")
        after = before + gradient * gradient
        grown = self._power(after)
        shrunk = gradient + weight * Scalar("twice_shrinkage")
        linear = Array("linear") + (shrunk - (grown - self._power(before)) * inverse * weight)
        clipped = apply("max", -l1, apply("min", l1, linear))
        moved = (clipped - linear) / (grown * inverse + Scalar("twice_l2"))
        return ({"weight": moved, "accumulator": after, "linear": linear},)


@dataclass(frozen=True)
class Lion(OptimizerDescription):
    """w ← w - learning_rate × sign(beta_1 × m + (1 - beta_1) × g), then m ← beta_2 × m + (1 - beta_2) × g (Chen et al. 2023,
    arXiv:2302.06675).

    Args:
        beta_1: the share of m in the step, above 0. beta_2: how slowly m forgets.
    """

    beta_1: float = 0.9
    beta_2: float = 0.99

    default_name: ClassVar[str] = "lion"

    def _normalise(self) -> None:
        self._set(beta_1=self._number("beta_1", self.beta_1, "a number above 0, at most 1", above=True, most=1.0))
        self._share("beta_2")

    @property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        return (("momentum",),)

    def hyperparameters(self, rate: float, step: int, numbers: dict[str, float]) -> dict[str, float]:
        return {
            "beta_1": self.beta_1,
            "rest_1": 1.0 - self.beta_1,
            "beta_2": self.beta_2,
            "rest_2": 1.0 - self.beta_2,
        }

    def rule(self, weight: Expression, gradient: Expression) -> tuple[Results, ...]:
        direction = MOMENTUM * Scalar("beta_1") + gradient * Scalar("rest_1")
        momentum = MOMENTUM * Scalar("beta_2") + gradient * Scalar("rest_2")
        return ({"weight": weight - LEARNING_RATE * sign(direction), "momentum": momentum},)


RULES: tuple[type[OptimizerDescription], ...] = (
    SGD, RMSprop, Adam, AdamW, Nadam, Adamax, Adagrad, Adadelta, Ftrl, Lion, Lamb, Adafactor, Muon,
)  # fmt: skip
