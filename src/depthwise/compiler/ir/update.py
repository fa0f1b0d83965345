"""What happens to a weight at the end of a training step, as data: expressions of the weight, its gradient, and what the
optimizer keeps for it.

>>> rate = Scalar("learning_rate")
>>> descent = Phase((("weight", WEIGHT - GRADIENT * rate),))
>>> descent.arrays, descent.scalars
(('weight', 'gradient'), ('learning_rate',))
"""

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Protocol

from depthwise.compiler.ir.expression import Apply, Expression, apply
from depthwise.compiler.ir.types import Value
from depthwise.constraints import NormConstraint
from depthwise.dataclass import dataclass

__all__ = [
    "CLIP_FACTOR",
    "GRADIENT",
    "WEIGHT",
    "Array",
    "FactoredMoments",
    "Number",
    "Optimizing",
    "Orthogonalisation",
    "Phase",
    "Scalar",
    "SpecialPhase",
    "Update",
    "sum_of_squares",
    "where",
]


@dataclass(frozen=True)
class Array(Expression):
    """The element of an array shaped like the weight: "weight", "gradient", or one of the optimizer's slots."""

    name: str


@dataclass(frozen=True)
class Scalar(Expression):
    """A number that the caller gives with every step: a hyperparameter, or what follows from several."""

    name: str


@dataclass(frozen=True)
class Number(Expression):
    """A number that the step itself computes for one weight: see `sum_of_squares` and `Update.clip`."""

    name: str


WEIGHT, GRADIENT = Array("weight"), Array("gradient")

CLIP_FACTOR = Number("clip_factor")
"""What a gradient is multiplied by where its norm is clipped."""

_SQUARES = "sum_of_squares_of_"


def sum_of_squares(array: str) -> Number:
    """Σ a² over a whole array, as it is before the phase that reads it."""
    return Number(_SQUARES + array)


def where(condition: Expression, yes: Expression | float, no: Expression | float) -> Expression:
    """`yes` where the condition is 1, `no` where it is 0."""
    return apply("where_ogt", condition, 0.5, yes, no)


@dataclass(frozen=True)
class Phase:
    """New values of some arrays, all of them computed from the values before.

    Attributes:
        results: (array, expression) pairs.
    """

    results: tuple[tuple[str, Expression], ...]

    @cached_property
    def _leaves(self) -> tuple[Expression, ...]:
        return tuple(dict.fromkeys(leaf for _, expression in self.results for leaf in _leaves(expression)))

    @cached_property
    def arrays(self) -> tuple[str, ...]:
        """What it reads or writes: the weight and the gradient first, then slots."""
        names = dict.fromkeys([leaf.name for leaf in self._leaves if isinstance(leaf, Array)])
        names |= dict.fromkeys(name for name, _ in self.results)
        return tuple(sorted(names, key=lambda name: {"weight": "", "gradient": " "}.get(name, name)))

    @cached_property
    def reads(self) -> frozenset[str]:
        """The arrays that it reads."""
        return frozenset(leaf.name for leaf in self._leaves if isinstance(leaf, Array))

    @cached_property
    def scalars(self) -> tuple[str, ...]:
        """The hyperparameters that it reads, sorted."""
        return tuple(sorted(leaf.name for leaf in self._leaves if isinstance(leaf, Scalar)))

    @cached_property
    def numbers(self) -> tuple[str, ...]:
        """The numbers that it reads, sorted."""
        return tuple(sorted(leaf.name for leaf in self._leaves if isinstance(leaf, Number)))

    @cached_property
    def squares(self) -> tuple[str, ...]:
        """The arrays whose sum of squares it reads."""
        return tuple(name.removeprefix(_SQUARES) for name in self.numbers if name.startswith(_SQUARES))


@dataclass(frozen=True)
class FactoredMoments:
    """The mean squares of a weight's gradient by rows and by columns of its last two axes, as running means in the slots "r"
    and "c"; "velocity" becomes their product, with r divided by its own mean (Adafactor, arXiv:1804.04235).

    It reads the scalars "kept" and "rest", the shares of the old and the new value, and "epsilon_1", added to the squares.
    """

    squares: tuple[str, ...] = ()


@dataclass(frozen=True)
class Orthogonalisation:
    """The gradient of a weight with two axes becomes nearly the closest orthogonal matrix: x ← g / (‖g‖ + 1e-7), then so many
    times x ← muon_a · x + (muon_b · xxᵀ + muon_c · (xxᵀ)²) x, transposed where it has more rows than columns (Muon).
    """

    iterations: int
    scalars: tuple[str, ...] = ("muon_a", "muon_b", "muon_c")
    squares: tuple[str, ...] = ("gradient",)


SpecialPhase = FactoredMoments | Orthogonalisation
"""What a phase may be that is not element by element."""


def _leaves(expression: Expression) -> Iterator[Expression]:
    """The arrays, scalars and numbers of an expression; what occurs twice is walked once."""
    seen: set[Expression] = set()
    stack = [expression]
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        if isinstance(node, Apply):
            stack += reversed(node.arguments)
        else:
            yield node


@dataclass(frozen=True)
class Update:
    """The end of a training step.

    Attributes:
        phases: for each trainable weight by name, what is computed one after the other.
        preparation: for some weights, what comes before their gradients' norms are taken.
        slots: arrays that are kept for each weight from step to step.
        scalars: names of the hyperparameters in the order in which the caller gives them.
        constraints: for some weights, the norms that are brought within limits at the end.
        clip: "clipnorm" for each gradient's own norm, "global_clipnorm" for the norm of all together, None for neither. The
            limit is the scalar of that name.
    """

    phases: Mapping[str, tuple[Phase | SpecialPhase, ...]]
    preparation: Mapping[str, Phase]
    slots: tuple[str, ...]
    scalars: tuple[str, ...]
    constraints: Mapping[str, NormConstraint]
    clip: str | None = None


class Optimizing(Protocol):
    """What a plan needs to know of an optimizer."""

    def update(self, weights: Mapping[str, Value]) -> Update:
        """What it does to the trainable weights."""
