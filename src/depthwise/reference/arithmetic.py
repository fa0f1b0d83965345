"""Operations on tensors and numbers, element by element."""

from collections.abc import Callable
from typing import Any

import numpy as np

from depthwise.layers.description import Description
from depthwise.layers.operation import OPERATIONS
from depthwise.reference.rules import Given, Rule
from depthwise.reference.running import Bounded, apply, exact
from depthwise.reference.windows import Array

__all__ = ["RULES", "summed_to"]

Slopes = Callable[..., tuple[Any, ...]]


def summed_to(shape: tuple[int, ...], gradient: Array) -> Array:
    """The gradient of what was broadcast: the sum over the axes along which it was repeated. Shapes with the batch."""
    missing = gradient.ndim - len(shape)
    padded = (shape[0], *(1,) * missing, *shape[1:])
    axes = tuple(axis for axis, size in enumerate(padded) if size == 1 and gradient.shape[axis] > 1)
    return np.asarray(gradient.sum(axis=axes, keepdims=True)).reshape(shape)


def _power(x: Any, y: Any) -> Bounded:
    """Whole constants by multiplication; anything else through the logarithm, so its error is absolute in the exponent."""
    if not isinstance(y, Bounded) and float(y).is_integer() and abs(y) <= 64:
        result: Bounded = exact(np.ones_like(x.value))
        for count in range(int(abs(y))):
            result = result * x if count else x
        return result if y >= 0 else 1.0 / result
    if not isinstance(y, Bounded) and y == 0.5:
        return apply("sqrt", x)
    size = apply("exp", y * apply("log", apply("max", x, -x)))
    with np.errstate(all="ignore"):
        return Bounded(np.power(*(getattr(item, "value", item) for item in (x, y))), size.error)


def _power_slopes(x: Any, y: Any) -> tuple[Any, ...]:
    with np.errstate(all="ignore"):
        return y * np.power(x, y - 1.0), np.power(x, y) * np.log(np.where(x > 0, x, 1.0))


def _share(x: Any, y: Any) -> Any:
    """Of the gradient of a maximum the part that x gets: half of it where the two are equal, as in JAX."""
    return np.where(x > y, 1.0, np.where(x == y, 0.5, 0.0))


_FUNCTIONS: dict[str, tuple[Callable[..., Bounded], Slopes]] = {
    "Absolute": (lambda x: apply("max", x, -x), lambda x: (np.where(x >= 0.0, 1.0, -1.0),)),
    "Add": (lambda x, y: x + y, lambda x, y: (1.0, 1.0)),
    "Divide": (lambda x, y: x / y, lambda x, y: (1.0 / y, -x / y**2)),
    "Exp": (lambda x: apply("exp", x), lambda x: (np.exp(x),)),
    "Log": (lambda x: apply("log", x), lambda x: (1.0 / x,)),
    "Maximum": (lambda x, y: apply("max", x, y), lambda x, y: (_share(x, y), _share(y, x))),
    "Minimum": (lambda x, y: apply("min", x, y), lambda x, y: (_share(y, x), _share(x, y))),
    "Multiply": (lambda x, y: x * y, lambda x, y: (y, x)),
    "Negative": (lambda x: -x, lambda x: (-1.0,)),
    "Power": (_power, _power_slopes),
    "Reciprocal": (lambda x: 1.0 / x, lambda x: (-1.0 / x**2,)),
    "Rsqrt": (lambda x: 1.0 / apply("sqrt", x), lambda x: (-0.5 * x**-1.5,)),
    "Sqrt": (lambda x: apply("sqrt", x), lambda x: (0.5 / np.sqrt(x),)),
    "Square": (lambda x: x * x, lambda x: (2.0 * x,)),
    "Subtract": (lambda x, y: x - y, lambda x, y: (1.0, -1.0)),
    "TrueDivide": (lambda x, y: x / y, lambda x, y: (1.0 / y, -x / y**2)),
}


def _rule(function: Callable[..., Bounded], slopes: Slopes) -> Rule:
    def arguments(given: Given, inputs: Any) -> list[Any]:
        rest = iter(inputs)
        return [next(rest) if value is None else value for value in given.layer.arguments]

    def forward(given: Given) -> Bounded:
        values = arguments(given, given.inputs)
        return function(*values) if any(isinstance(item, Bounded) for item in values) else values[0]

    def gradients(given: Given, dy: Array) -> tuple[list[Array], dict[str, Array]]:
        found = slopes(*arguments(given, given.arrays))
        kept = [slope for slope, value in zip(found, given.layer.arguments) if value is None]
        return [summed_to(x.shape, np.broadcast_to(dy * slope, dy.shape)) for slope, x in zip(kept, given.arrays)], {}

    return Rule(forward, gradients)


RULES: dict[type[Description], Rule] = {kind: _rule(*_FUNCTIONS[name]) for name, kind in OPERATIONS.items()}
