"""The judge of every rival: the forward pass and the loss in NumPy, slow and obvious.

It runs in float64 to know the right answer, and in float32 to know how far from it honest single-precision arithmetic
lands; the tolerance follows from that (`tolerance`). It shares no code with the package.
"""

from typing import Any

import numpy as np

from benchmarks.models import Array, Network, step_weights

# Other orders of summation, Winograd transforms and vector polynomials are honest; bfloat16 (65,536 times coarser) is not.
ALLOWED_TIMES_FLOAT32_ERROR = 64.0


def predict(network: Network, weights: list[Array], images: Array, dtype: Any = np.float64) -> Array:
    """Return the network's `(batch, classes)` outputs, computed in `dtype`."""
    x = images.astype(dtype)
    for step, own in step_weights(network, [values.astype(dtype) for values in weights]):
        if step.layer == "Conv2D":
            x = _convolve(x, own["kernel"], step["padding"]) + own["bias"]
        elif step.layer == "SeparableConv2D":
            windows = _windows(x, own["depthwise_kernel"].shape[0], step["padding"])
            x = np.einsum("nhwcij,ijc->nhwc", windows, own["depthwise_kernel"][..., 0])
            x = x @ own["pointwise_kernel"][0, 0] + own["bias"]
        elif step.layer == "MaxPooling2D":
            x = _pool(x, step["pool_size"])
        elif step.layer == "Flatten":
            x = x.reshape(len(x), -1)
        elif step.layer == "Dense":
            x = x @ own["kernel"] + own["bias"]
        else:
            raise ValueError(f"The reference knows no layer {step.layer!r}.")
        x = _activate(x, step.arguments.get("activation", "linear"))
    return x


def cross_entropy(probabilities: Array, labels: Array) -> float:
    """Return the mean sparse categorical cross-entropy (natural logarithm)."""
    return float(-np.mean(np.log(probabilities[np.arange(len(labels)), labels])))


def tolerance(network: Network, weights: list[Array], images: Array) -> float:
    """Return the largest absolute error a rival's probabilities may have."""
    exact = predict(network, weights, images)
    single = predict(network, weights, images, np.float32)
    unit = float(np.finfo(np.float32).eps)
    return ALLOWED_TIMES_FLOAT32_ERROR * max(float(np.abs(single - exact).max()), unit)


def _windows(x: Array, size: int, padding: str) -> Array:
    if padding == "same":
        before, after = (size - 1) // 2, size // 2
        x = np.pad(x, ((0, 0), (before, after), (before, after), (0, 0)))
    return np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(1, 2))


def _convolve(x: Array, kernel: Array, padding: str) -> Array:
    windows = _windows(x, kernel.shape[0], padding)
    n, h, w = windows.shape[:3]
    rows = windows.transpose(0, 1, 2, 4, 5, 3).reshape(n * h * w, -1)
    return (rows @ kernel.reshape(-1, kernel.shape[-1])).reshape(n, h, w, -1)


def _pool(x: Array, size: int) -> Array:
    n, h, w, c = x.shape
    whole = x[:, : h // size * size, : w // size * size]
    largest: Array = whole.reshape(n, h // size, size, w // size, size, c).max(axis=(2, 4))
    return largest


def _activate(x: Array, name: str) -> Array:
    if name == "relu":
        return np.maximum(x, 0)
    if name == "selu":
        alpha, scale = 1.6732632423543772, 1.0507009873554805
        return (scale * np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))).astype(x.dtype)
    if name == "softmax":
        exponentials = np.exp(x - x.max(axis=-1, keepdims=True))
        shares: Array = exponentials / exponentials.sum(axis=-1, keepdims=True)
        return shares
    if name == "linear":
        return x
    raise ValueError(f"The reference knows no activation {name!r}.")
