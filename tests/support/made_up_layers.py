"""Layers that no file of the package knows: what holds for any layer is tested with them."""

from collections.abc import Callable
from typing import Any, ClassVar

from depthwise.compiler import functions
from depthwise.compiler.ir.expression import Expression, Operand, apply
from depthwise.layers.descriptions import Description
from depthwise.network.facts import layer_facts, sizes

__all__ = ["function_of_input", "layer_of", "made_up_layer"]

ARGUMENTS = {
    "fma": 3, "relu_layer": 4, "expm1_negative": 2, "where_negative": 3,
    **dict.fromkeys(("add", "subtract", "multiply", "divide", "max", "min", "maximum", "minimum"), 2),
    **{name: 4 for name in functions.FUNCTIONS if name.startswith("where_o") or name.startswith("where_u")},
}  # fmt: skip


Write = Callable[[Any, Any], object]


def made_up_layer(write: Write, channels: int | None = None, output: tuple[int, ...] | None = None) -> Description:
    """A layer named "made_up" of a class of its own, whose lowering is `write`.

    Its output has the shape `output`, or the input's with `channels` channels, or the input's.
    """

    class MadeUp(Description):
        default_name: ClassVar[str] = "made_up"

        def facts(self, shapes: Any) -> Any:
            return layer_facts(self, shapes, sizes(output or (*shapes[0][:-1], channels or shapes[0][-1])))

        def lower(self, builder: Any, call: Any) -> None:
            write(builder, call)

    return MadeUp(name="made_up")


def layer_of(expression: Expression) -> Description:
    """A layer that computes `expression` of its input."""
    return made_up_layer(lambda builder, call: builder.elementwise(call, expression))


def function_of_input(name: str) -> Expression:
    """The function `name` of operand 0, and of what follows from it where it takes more, where it is defined."""
    x = Operand(0)
    if name in ("sqrt", "log"):
        return apply(name, x * x + 0.1)
    if name == "relu_layer":
        return apply(name, x, 1.5, 0.1, 0.2)
    if name == "expm1_negative":  # its factor is a constant, and it is defined below 0
        return apply(name, apply("min", 0.0, x), 1.5)
    return apply(name, *(x, x * 0.5 + 0.25, 1.5 - x, x * x + 1.0)[: ARGUMENTS.get(name, 1)])
