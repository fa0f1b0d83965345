"""Activations on one vector, and their slopes: what a kernel applies before it stores."""

from collections.abc import Callable

from depthwise.emit.builder import Function

__all__ = ["apply"]


def _relu(function: Function, x: str) -> str:
    return function.largest(x, function.constant(0.0))


_FORWARD: dict[str, Callable[[Function, str], str]] = {"linear": lambda function, x: x, "relu": _relu}


def apply(function: Function, name: str, x: str) -> str:
    """activation(x) for a vector x."""
    return _FORWARD[name](function, x)
