"""A rectifier whose slope below zero is learned."""

from dataclasses import field
from typing import TYPE_CHECKING, ClassVar

from depthwise.arguments import integer
from depthwise.compiler.ir.expression import Operand, apply
from depthwise.constraints import Constraint
from depthwise.dataclass import dataclass
from depthwise.errors import ShapeError
from depthwise.initializers import Initializer
from depthwise.layers.description import Description
from depthwise.network.facts import LayerFacts, Shape, Weight, layer_facts, single, sizes
from depthwise.network.formula import number, product
from depthwise.regularizers import Regularizer

if TYPE_CHECKING:
    from depthwise.compiler.lower import Builder
    from depthwise.network.graph import Call

__all__ = ["PReLU"]


@dataclass(frozen=True)
class PReLU(Description):
    """max(0, x) + alpha · min(0, x) with a learned alpha (He et al. 2015, arXiv:1502.01852).

    Args:
        shared_axes: axes along which one alpha serves all places, counted from 1: [1, 2] gives one a channel.
    """

    alpha_initializer: str | Initializer = "zeros"
    alpha_regularizer: str | Regularizer | None = field(default=None, repr=False)
    alpha_constraint: str | Constraint | None = field(default=None, repr=False)
    shared_axes: int | tuple[int, ...] | None = None
    default_name: ClassVar[str] = "p_re_lu"

    def _normalise(self) -> None:
        axes = self.shared_axes
        if axes is not None:
            given = (axes,) if isinstance(axes, int) else tuple(axes)
            self._set(shared_axes=tuple(integer(self._owner, "shared_axes", axis) for axis in given))
        self._regularizers()
        self._initializers()

    def facts(self, shapes: tuple[Shape, ...]) -> LayerFacts:
        shape = single(self, shapes)
        shared = self.shared_axes if isinstance(self.shared_axes, tuple) else ()
        if any(axis > len(shape) for axis in shared):
            raise ShapeError(f"{self.label}: shared_axes must be between 1 and {len(shape)}, got {list(shared)}")
        kept = [number(1) if i + 1 in shared else size for i, size in enumerate(sizes(shape))]
        alpha = Weight("alpha", tuple(size.value for size in kept), product(kept), self.trainable)
        return layer_facts(self, shapes, sizes(shape), [alpha])

    def lower(self, builder: "Builder", call: "Call") -> None:
        x, alpha = Operand(0), Operand(1)
        # Of relu, not of maximum and minimum: at 0 it has no slope, as in Keras.
        expression = apply("relu", x) - alpha * apply("relu", -x)
        builder.elementwise(call, expression, *builder.inputs(call), builder.weight(call, "alpha"))
