"""How each operation becomes kernel calls, by family."""

from depthwise.compiler.plan.rules import (
    contraction,
    convolution,
    elementwise,
    pooling,
    resampling,
    shaping,
    training,
    warping,
)
from depthwise.compiler.plan.rules.registry import RULES, calls_of

__all__ = [
    "RULES",
    "calls_of",
    "contraction",
    "convolution",
    "elementwise",
    "pooling",
    "resampling",
    "shaping",
    "training",
    "warping",
]
