"""Muon: steps of matrices that are orthogonalised, and Adam for everything else."""

import math
import re
from dataclasses import field
from typing import Any, ClassVar

from depthwise.compiler.ir.expression import Expression
from depthwise.compiler.ir.types import Value
from depthwise.compiler.ir.update import GRADIENT, WEIGHT, Orthogonalisation, Scalar, SpecialPhase
from depthwise.dataclass import dataclass
from depthwise.errors import InvalidArgumentError, describe_value
from depthwise.optimizers.description import OptimizerDescription, Results
from depthwise.optimizers.terms import MOMENTUM, VELOCITY, sqrt, towards

__all__ = ["Muon"]

MOST_ITERATIONS = 64
"""Of Newton and Schulz: every one is native code of its own."""


@dataclass(frozen=True)
class Muon(OptimizerDescription):
    """Weights with two axes (the kernels of Dense layers): m ← momentum × m + g, then
    w ← w - learning_rate × rms_rate × √(the longer axis) × N(g + momentum × m), with N(x) nearly the closest orthogonal
    matrix: `ns_steps` times x ← muon_a × x + (muon_b × xxᵀ + muon_c × (xxᵀ)²) x, from x / (‖x‖ + 1e-7) on (Newton and Schulz;
    Jordan 2024, https://github.com/KellerJordan/Muon). All other weights are moved as by `AdamW`.

    Args:
        adam_beta_1, adam_beta_2, epsilon: `beta_1`, `beta_2` and `epsilon` of Adam.
        adam_weight_decay: the decay of weights that Adam moves; `weight_decay` is that of the matrices.
        exclude_layers: patterns (regular expressions); a matrix in whose name (`layer/weight`) one is found is moved by Adam.
        exclude_embeddings: let Adam move matrices with "embedding" in their name.
        muon_a, muon_b, muon_c: of the iteration above.
        adam_lr_ratio: Adam's learning rate as a multiple of `learning_rate`.
        momentum: how slowly m forgets.
        ns_steps: iterations, from 0 to 64.
        nesterov: False takes m in place of g + momentum × m.
        rms_rate: None leaves the factors rms_rate × √(the longer axis) out (Liu et al. 2025, arXiv:2502.16982).
    """

    adam_beta_1: float = 0.9
    adam_beta_2: float = 0.999
    adam_weight_decay: float | None = 0.004
    epsilon: float = 1e-7
    weight_decay: float | None = field(default=0.004, kw_only=True)
    exclude_layers: Any = None
    exclude_embeddings: bool = True
    muon_a: float = 3.4445
    muon_b: float = -4.7750
    muon_c: float = 2.0315
    adam_lr_ratio: float = 1.0
    momentum: float = 0.95
    ns_steps: int = 5
    nesterov: bool = True
    rms_rate: float | None = 0.2

    default_name: ClassVar[str] = "muon"
    arguments_at_end: ClassVar[tuple[str, ...]] = (
        "exclude_layers", "exclude_embeddings", "muon_a", "muon_b", "muon_c", "adam_lr_ratio", "momentum", "ns_steps",
        "nesterov", "rms_rate",
    )  # fmt: skip
    _structural: ClassVar[tuple[str, ...]] = ("exclude_layers", "ns_steps")

    def _normalise(self) -> None:
        self._decaying("adam_beta_1", "adam_beta_2")
        self._share("momentum")
        self._numbers("epsilon", "adam_lr_ratio")
        for name in ("muon_a", "muon_b", "muon_c"):
            self._set(**{name: self._number(name, getattr(self, name), "a number", least=-math.inf)})
        for name in ("adam_weight_decay", "rms_rate"):
            if getattr(self, name) is not None:
                self._numbers(name)
        self._flag("exclude_embeddings")
        self._flag("nesterov")
        steps = self.ns_steps
        if isinstance(steps, bool) or not isinstance(steps, int) or not 0 <= steps <= MOST_ITERATIONS:
            raise InvalidArgumentError(
                f"Muon: ns_steps must be a whole number from 0 to {MOST_ITERATIONS}, got {describe_value(steps)}"
            )
        self._set(exclude_layers=self._patterns())

    def _patterns(self) -> tuple[str, ...]:
        given = self.exclude_layers or ()
        if not isinstance(given, (list, tuple)) or not all(isinstance(item, str) for item in given):
            raise InvalidArgumentError(f"Muon: exclude_layers must be a list of texts, got {describe_value(given)}")
        for pattern in given:
            try:
                re.compile(pattern)
            except re.error as error:
                raise InvalidArgumentError(
                    f"Muon: exclude_layers must be regular expressions, got {describe_value(pattern)} ({error})"
                ) from None
        return tuple(given)

    def moves_as_matrix(self, name: str, shape: tuple[int, ...]) -> bool:
        """Whether the weight `layer/weight` is moved by an orthogonalised step, not by Adam."""
        if len(shape) != 2 or (self.exclude_embeddings and "embedding" in name.lower()):
            return False
        return not any(re.search(pattern, name) for pattern in self.exclude_layers)

    @property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        return (("momentum", "velocity"),)

    def keeps(self, slot: str, name: str, shape: tuple[int, ...]) -> bool:
        return slot != "velocity" or not self.moves_as_matrix(name, shape)

    def hyperparameters(self, rate: float, step: int, numbers: dict[str, float]) -> dict[str, float]:
        correction = math.sqrt(1.0 - self.adam_beta_2**step) / (1.0 - self.adam_beta_1**step)
        return {
            "step_size": rate * self.adam_lr_ratio * correction,
            "rest_1": 1.0 - self.adam_beta_1,
            "rest_2": 1.0 - self.adam_beta_2,
            "epsilon": self.epsilon,
            "adam_decay": rate * (self.adam_weight_decay or 0.0),
            "momentum": self.momentum,
            "matrix_step": rate * (1.0 if self.rms_rate is None else self.rms_rate),
            "muon_a": self.muon_a,
            "muon_b": self.muon_b,
            "muon_c": self.muon_c,
        }

    def decay_of(self, value: Value) -> Expression | None:
        if self.moves_as_matrix(value.name, value.shape):
            return super().decay_of(value)
        return None if self.adam_weight_decay is None else Scalar("adam_decay")

    def rule_for(self, weight: Expression, gradient: Expression, value: Value) -> tuple[Results | SpecialPhase, ...]:
        if not self.moves_as_matrix(value.name, value.shape):
            return (self._adam(weight, gradient),)
        momentum = MOMENTUM * Scalar("momentum") + gradient
        step = gradient + momentum * Scalar("momentum") if self.nesterov else momentum
        first: Results = {"gradient": step, "momentum": momentum}
        if weight is not WEIGHT:
            first["weight"] = weight
        length = 1.0 if self.rms_rate is None else math.sqrt(max(value.shape))
        return first, Orthogonalisation(self.ns_steps), {"weight": WEIGHT - GRADIENT * (Scalar("matrix_step") * length)}

    def _adam(self, weight: Expression, gradient: Expression) -> Results:
        momentum = towards(MOMENTUM, gradient, Scalar("rest_1"))
        velocity = towards(VELOCITY, gradient * gradient, Scalar("rest_2"))
        change = momentum * Scalar("step_size") / (sqrt(velocity) + Scalar("epsilon"))
        return {"weight": weight - change, "momentum": momentum, "velocity": velocity}

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"exclude_layers": list(self.exclude_layers)}
