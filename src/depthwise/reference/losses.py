"""Keras' losses in float64: one value for each sample (of a map: for each pixel), and its gradient to the prediction.

Predictions are (batch, …, outputs). Where predictions are probabilities, Keras (under JAX) first divides them by their sum and
clips them to [1e-7, 1 − 1e-7]; where it clips, no gradient flows.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from depthwise.dataclass import dataclass
from depthwise.reference.activations import activation
from depthwise.reference.forward import float64
from depthwise.reference.windows import Array

__all__ = ["EPSILON", "Loss", "loss_gradient", "sample_losses", "total_loss"]

EPSILON = 1e-7
"""`keras.config.epsilon()`: how far from 0 and 1 probabilities are kept."""


@dataclass(frozen=True)
class Loss:
    """Which loss: Keras' class name and the arguments that change its value."""

    kind: str
    from_logits: bool = False
    label_smoothing: float = 0.0

    @classmethod
    def of(cls, description: Any) -> "Loss":
        """Of a description, of Keras' own loss object, or itself: read by class name and attributes."""
        if isinstance(description, cls):
            return description
        settings = {"from_logits": False, "label_smoothing": 0.0}
        for name in settings:
            settings[name] = getattr(description, name, settings[name])
        return cls(type(description).__name__, bool(settings["from_logits"]), float(settings["label_smoothing"]))


def _log_softmax(logits: Array) -> Array:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))


def _categorical(target: Array, prediction: Array, from_logits: bool) -> tuple[Array, Array]:
    if from_logits:
        log_probability = _log_softmax(prediction)
        gradient = np.exp(log_probability) * target.sum(axis=-1, keepdims=True) - target
        return -(target * log_probability).sum(axis=-1), gradient
    total = prediction.sum(axis=-1, keepdims=True)
    share = prediction / total
    probability = np.clip(share, EPSILON, 1.0 - EPSILON)
    share_gradient = np.where(probability == share, -target / probability, 0.0)
    # share = prediction / total, and every prediction is in the total.
    gradient = (share_gradient - (share_gradient * share).sum(axis=-1, keepdims=True)) / total
    return -(target * np.log(probability)).sum(axis=-1), gradient


def _categorical_crossentropy(loss: Loss, target: Array, prediction: Array) -> tuple[Array, Array]:
    smoothing = loss.label_smoothing
    return _categorical(target * (1.0 - smoothing) + smoothing / target.shape[-1], prediction, loss.from_logits)


def _sparse_categorical_crossentropy(loss: Loss, target: Array, prediction: Array) -> tuple[Array, Array]:
    one_hot = np.zeros_like(prediction)
    np.put_along_axis(one_hot, target.reshape(*prediction.shape[:-1], 1).astype(int), 1.0, axis=-1)
    return _categorical(one_hot, prediction, loss.from_logits)


def _binary_crossentropy(loss: Loss, target: Array, prediction: Array) -> tuple[Array, Array]:
    target = target * (1.0 - loss.label_smoothing) + 0.5 * loss.label_smoothing
    outputs = prediction.shape[-1]
    if loss.from_logits:
        value = target * activation("softplus", -prediction) + (1.0 - target) * activation("softplus", prediction)
        return value.mean(axis=-1), (activation("sigmoid", prediction) - target) / outputs
    probability = np.clip(prediction, EPSILON, 1.0 - EPSILON)
    value = -(target * np.log(probability) + (1.0 - target) * np.log(1.0 - probability))
    slope = (1.0 - target) / (1.0 - probability) - target / probability
    return value.mean(axis=-1), np.where(probability == prediction, slope, 0.0) / outputs


def _mean_squared_error(loss: Loss, target: Array, prediction: Array) -> tuple[Array, Array]:
    distance = prediction - target
    return (distance**2).mean(axis=-1), 2.0 * distance / prediction.shape[-1]


def _mean_absolute_error(loss: Loss, target: Array, prediction: Array) -> tuple[Array, Array]:
    distance = prediction - target
    return np.abs(distance).mean(axis=-1), np.sign(distance) / prediction.shape[-1]


_LOSSES: dict[str, Callable[[Loss, Array, Array], tuple[Array, Array]]] = {
    "SparseCategoricalCrossentropy": _sparse_categorical_crossentropy,
    "CategoricalCrossentropy": _categorical_crossentropy,
    "BinaryCrossentropy": _binary_crossentropy,
    "MeanSquaredError": _mean_squared_error,
    "MeanAbsoluteError": _mean_absolute_error,
}


def _evaluate(loss: Any, target: npt.ArrayLike, prediction: npt.ArrayLike) -> tuple[Array, Array]:
    kind, prediction, target = Loss.of(loss), float64(prediction), float64(target)
    if kind.kind != "SparseCategoricalCrossentropy":
        target = target.reshape(prediction.shape)
    return _LOSSES[kind.kind](kind, target, prediction)


def sample_losses(loss: Any, target: npt.ArrayLike, prediction: npt.ArrayLike) -> Array:
    """The loss of each sample, (batch,), or of each pixel of a map, (batch, rows, columns), before any weighting.

    >>> sample_losses(Loss("MeanSquaredError"), [[1.0, 2.0]], [[1.0, 4.0]]).tolist()
    [2.0]
    """
    return _evaluate(loss, target, prediction)[0]


def total_loss(
    loss: Any, target: npt.ArrayLike, prediction: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None
) -> float:
    """Keras' `sum_over_batch_size`: Σ weightᵢ · lossᵢ divided by the number of losses (not by the weights' sum).

    Weights are (batch,), or one for each loss.
    """
    values = sample_losses(loss, target, prediction)
    return float((_weights(sample_weight, values.ndim) * values).sum() / values.size)


def loss_gradient(
    loss: Any, target: npt.ArrayLike, prediction: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None
) -> Array:
    """Gradient of `total_loss` to the prediction, of the prediction's shape."""
    values, gradient = _evaluate(loss, target, prediction)
    return gradient * _weights(sample_weight, gradient.ndim) / values.size


def _weights(sample_weight: npt.ArrayLike | None, dimensions: int) -> Array:
    """The weights with as many axes as what they multiply."""
    weights = np.ones(1) if sample_weight is None else float64(sample_weight)
    return weights.reshape(weights.shape + (1,) * (dimensions - weights.ndim))
