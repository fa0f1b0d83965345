"""The loss and the metrics of a compiled model, in Keras' order and under Keras' names."""

from collections.abc import Sequence

import numpy as np

from depthwise.metrics.base import Array, Mean, Metric

__all__ = ["MetricSet"]


class MetricSet:
    """The loss and the metrics of a compiled model, in Keras' order and under Keras' names.

    Args:
        metrics: evaluated without sample weights, as in Keras.
        weighted_metrics: evaluated with them.
    """

    def __init__(self, metrics: Sequence[Metric], weighted_metrics: Sequence[Metric]) -> None:
        self.loss = Mean("loss")
        self.metrics = tuple(metrics)
        self.weighted_metrics = tuple(weighted_metrics)
        self.names = ("loss", *_unique_names(metrics, weighted_metrics))
        self.all = (self.loss, *self.metrics, *self.weighted_metrics)
        order = sorted(range(len(self.names)), key=lambda index: self.names[index])
        self._sorted = tuple((self.names[index], self.all[index]) for index in order)

    def update(self, y_true: Array, predictions: Array, losses: Array, sample_weight: Array | None) -> float:
        """Adds a batch. Returns its loss: the sum of the weighted losses of its samples, divided by their number.

        A map's loss is the mean over its positions, each with its own weight where `sample_weight` is (batch, …).
        """
        if sample_weight is None:
            total = float(np.add.reduce(losses, axis=None, dtype=np.float64))
        elif losses.ndim == 1:
            total = float(np.dot(losses.astype(np.float64), sample_weight))
        else:
            weights = sample_weight.reshape(len(losses), -1).astype(np.float64)
            total = float(np.sum(losses.reshape(len(losses), -1) * weights))
        if losses.ndim > 1:
            total /= losses.size / len(losses)
        self.loss.total += total
        self.loss.count += len(losses)
        for metric in self.metrics:
            metric.update_state(y_true, predictions)
        for metric in self.weighted_metrics:
            metric.update_state(y_true, predictions, sample_weight)
        return total / len(losses)

    def results(self) -> dict[str, float]:
        """The running values by name; the names in alphabetical order, as in Keras' logs."""
        return {name: metric.result() for name, metric in self._sorted}

    def results_in_order(self) -> list[float]:
        """The running values, the loss first: what `evaluate` returns."""
        return [metric.result() for metric in self.all]

    def reset(self) -> None:
        for metric in self.all:
            metric.reset_state()

    def direction(self, name: str) -> str | None:
        """ "up" or "down" for the metric of that name, None for an unknown one."""
        return dict(zip(self.names, self.all))[name].direction if name in self.names else None

    @property
    def state(self) -> list[list[float]]:
        """Sums and counts, to be put back by `restore`."""
        return [[metric.total, metric.count] for metric in self.all]

    def restore(self, state: Sequence[Sequence[float]]) -> None:
        for metric, (total, count) in zip(self.all, state, strict=True):
            metric.total, metric.count = float(total), float(count)


def _unique_names(metrics: Sequence[Metric], weighted_metrics: Sequence[Metric]) -> list[str]:
    """Keras' rule: a second `accuracy` is `accuracy_1`; a weighted one `weighted_accuracy`, then `weighted_accuracy_1`."""
    counts: dict[str, int] = {}
    names = []
    for weighted, group in ((False, metrics), (True, weighted_metrics)):
        for metric in group:
            name = metric.name
            if weighted and name in counts:
                name = f"weighted_{name}"
            number = counts.get(name, 0)
            counts[name] = number + 1
            names.append(f"{name}_{number}" if number else name)
    return names
