"""Batch normalisation."""

from dataclasses import field
from typing import TYPE_CHECKING, ClassVar

from depthwise.compiler.ir import operations as op
from depthwise.constraints import Constraint
from depthwise.dataclass import dataclass
from depthwise.errors import InvalidArgumentError, UnsupportedError, describe_value
from depthwise.initializers import Initializer
from depthwise.layers.description import Description
from depthwise.network.facts import LayerFacts, Shape, Weight, layer_facts, single, sizes
from depthwise.network.formula import number
from depthwise.regularizers import Regularizer

if TYPE_CHECKING:
    from depthwise.compiler.lower import Builder
    from depthwise.network.graph import Call

__all__ = ["BatchNormalization"]


@dataclass(frozen=True)
class BatchNormalization(Description):
    """y = gamma · (x − mean) / √(variance + epsilon) + beta, per channel (Ioffe and Szegedy 2015, arXiv:1502.03167).

    Prediction uses the moving mean and variance, training those of the batch; moving ← moving · momentum + batch · (1 − momentum).
    """

    axis: int = -1
    momentum: float = 0.99
    epsilon: float = 1e-3
    center: bool = True
    scale: bool = True
    beta_initializer: str | Initializer = "zeros"
    gamma_initializer: str | Initializer = "ones"
    moving_mean_initializer: str | Initializer = "zeros"
    moving_variance_initializer: str | Initializer = "ones"
    beta_regularizer: str | Regularizer | None = field(default=None, repr=False)
    gamma_regularizer: str | Regularizer | None = field(default=None, repr=False)
    beta_constraint: str | Constraint | None = field(default=None, repr=False)
    gamma_constraint: str | Constraint | None = field(default=None, repr=False)
    synchronized: bool = field(default=False, repr=False)
    default_name: ClassVar[str] = "batch_normalization"

    def _normalise(self) -> None:
        if not isinstance(self.axis, int) or isinstance(self.axis, bool):
            raise UnsupportedError(f"BatchNormalization: axis must be one integer, got {describe_value(self.axis)}")
        if not 0.0 <= self.momentum <= 1.0:
            raise InvalidArgumentError(f"BatchNormalization: momentum must be between 0 and 1, got {self.momentum}")
        if not self.epsilon > 0.0:
            raise InvalidArgumentError(f"BatchNormalization: epsilon must be above 0, got {self.epsilon}")
        self._regularizers()
        self._initializers()

    def moved_axis(self, shapes: tuple[Shape, ...]) -> int | None:
        return self._moved(self.axis, shapes)

    def facts(self, shapes: tuple[Shape, ...]) -> LayerFacts:
        shape = single(self, shapes)
        learnt = [*(["gamma"] if self.scale else []), *(["beta"] if self.center else [])]
        names = [*learnt, "moving_mean", "moving_variance"]
        channels = number(shape[-1], "input_channels")
        weights = [Weight(name, (shape[-1],), channels, self.trainable and name in learnt) for name in names]
        parameters = number(len(names), "arrays") * channels
        return layer_facts(self, shapes, sizes(shape), weights, parameters=parameters)

    def lower(self, builder: "Builder", call: "Call") -> None:
        gamma = builder.weight(call, "gamma") if self.scale else None
        beta = builder.weight(call, "beta") if self.center else None
        mean, variance = builder.weight(call, "moving_mean"), builder.weight(call, "moving_variance")
        (source,) = builder.inputs(call)
        if builder.training and self.trainable:
            operands = tuple(name for name in (source, gamma, beta) if name is not None)
            arguments = (gamma, beta, mean, variance, self.momentum, self.epsilon)
            builder.emit(call, op.NormaliseBatch(operands, (call.name,), *arguments))
            return
        sources = (gamma or "", beta or "", mean, variance)
        rules = ("normalisation_scale", "normalisation_shift")
        scale, shift = (builder.derive(call, rule, sources, (self.epsilon,)) for rule in rules)
        builder.elementwise(call, op.AFFINE, source, scale, shift)
