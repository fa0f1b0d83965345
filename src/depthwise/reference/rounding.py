"""How far float32 is off: one rounding, one function, and how activations pass an error on."""

__all__ = ["ACTIVATION_ROUNDINGS", "LIPSCHITZ", "SMALLEST_NORMAL", "UNIT_ROUNDOFF"]

UNIT_ROUNDOFF = 2.0**-24

SMALLEST_NORMAL = 2.0**-126
"""Smaller float32 values may become 0."""

ACTIVATION_ROUNDINGS = 4.0
"""An activation within 2 ulp: 2 ulp are at most 4·u·|y|."""

LIPSCHITZ = {
    "linear": 1.0,
    "relu": 1.0,
    "relu6": 1.0,
    "leaky_relu": 1.0,
    "elu": 1.0,
    "selu": 1.7581,  # scale · alpha, the slope just below 0
    "gelu": 1.1290,  # at x = √2
    "silu": 1.0999,  # at x = 2.3994
    "sigmoid": 0.25,
    "hard_sigmoid": 1.0 / 6.0,
    "hard_silu": 1.5,
    "tanh": 1.0,
    "softplus": 1.0,
    "softmax": 0.5,  # against the largest change of any input
}
"""The steepest slope of each activation: an error of its input grows by at most this."""
