"""The loss of one output as the native step takes it: its rule, its labels, and what each loss counts for."""

import math
from dataclasses import replace

import numpy as np

from depthwise import losses
from depthwise.compiler.differentiate import LossRule
from depthwise.errors import UnsupportedError

__all__ = ["StepLoss", "loss_rule"]

_KERNELS = {
    "SparseCategoricalCrossentropy": "categorical",
    "CategoricalCrossentropy": "categorical",
    "BinaryCrossentropy": "binary",
    "MeanSquaredError": "squared",
    "MeanAbsoluteError": "absolute",
}
"""Losses with kernels of their own; others are given by their formula."""


def loss_rule(loss: losses.Loss, shape: tuple[int, ...]) -> LossRule:
    """How the native step computes the loss of an output of that shape.

    Raises:
        UnsupportedError: a loss whose axis is not the last one, or that is not reduced.
    """
    if loss.reducing is None:
        raise UnsupportedError(
            f"{type(loss).__name__}: training needs one number, so reduction must not be None; use 'sum_over_batch_size'"
        )
    axes = loss.axes(len(shape) + 1)
    last, sample = (len(shape),), tuple(range(1, len(shape) + 1))
    if loss.handed_over or (loss.axes_may_be_several and axes not in (last, sample)):
        return LossRule("given", False, False, 0.0, handed_over=True)
    if axes not in (last, sample) or (axes == sample != last and not loss.axes_may_be_several):
        raise UnsupportedError(
            f"{type(loss).__name__}: training takes axis=-1, the outputs of a position; got axis={vars(loss)['axis']}"
        )
    smoothing = float(getattr(loss, "label_smoothing", 0.0))
    name = type(loss).__name__
    if name in _KERNELS:
        return LossRule(_KERNELS[name], bool(getattr(loss, "from_logits", False)), loss.sparse, smoothing)
    assert isinstance(loss, losses.FormulaLoss)
    formula = replace(loss.formula(shape[-1]), whole=axes != last)
    kind = "binary_focal" if name == "BinaryFocalCrossentropy" else name.lower()
    return LossRule(kind, False, loss.sparse, smoothing, formula)


class StepLoss:
    """One output's loss.

    Args:
        loss: its description; shape: of the output, without the batch.
        weight: what the loss counts for beside those of other outputs.

    Attributes:
        rule: what is differentiated.
        positions: axes of a sample's losses: (…) for an output (…, channels), () where a sample has one.
    """

    def __init__(self, loss: losses.Loss, shape: tuple[int, ...], weight: float = 1.0) -> None:
        self.rule = loss_rule(loss, shape)
        self.positions = () if self.rule.formula is not None and self.rule.formula.whole else shape[:-1]
        self._loss = loss
        self._weight = np.float32(weight)
        self._share = np.float32(1.0)
        self._shares = np.ones(0, np.float32)

    def targets(self, y: np.ndarray) -> np.ndarray:
        """The labels of a batch as the native step reads them."""
        return self._loss.batch_targets(y)

    def shares(self, y: np.ndarray, sample_weight: np.ndarray | None) -> np.ndarray:
        """What each loss of the batch counts for: float32 (batch, …), without gaps."""
        batch = len(y)
        if len(self._shares) != batch:
            shape = (batch, *self.positions)
            self._share = np.float32(1.0 / math.prod(shape)) * self._weight
            self._shares = np.full(shape, self._share, np.float32)
        if not self._loss.plain:
            shares = self._weight * losses.shares(self._loss, y, self._shares.shape, sample_weight)
            return np.ascontiguousarray(np.broadcast_to(shares, self._shares.shape), np.float32)
        if sample_weight is None:
            return self._shares
        weight: np.ndarray = sample_weight * self._share
        return np.repeat(weight, self._shares.size // batch) if weight.ndim < self._shares.ndim else weight

    def hand_over(
        self, y: np.ndarray, predictions: np.ndarray, weight: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The losses of a batch that Python computes, and the gradient of their sum, with what each counts for."""
        values = losses.per_sample(self._loss, y, predictions)
        counts = self._weight * losses.shares(self._loss, y, values.shape, weight)
        return values, self._loss.gradient_of_sum(y, predictions, counts)
