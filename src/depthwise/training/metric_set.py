"""The loss and the metrics of a compiled model while it trains or is evaluated, in Keras' order and under Keras' names."""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np

from depthwise.errors import InvalidArgumentError, describe_value
from depthwise.losses import shares
from depthwise.metrics import Mean, Metric
from depthwise.training.outputs import TrainedOutput

__all__ = ["MetricSet"]

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Each: TypeAlias = Sequence[Array | None]
"""An array for each output; None where there is none."""


class MetricSet:
    """Running means over the batches since `reset`.

    With several losses each has a mean of its own, `<output>_loss`, and `loss` is their weighted sum; the metrics of several
    outputs are called `<output>_<metric>`.

    Args:
        outputs: the network's outputs.
    """

    def __init__(self, outputs: Sequence[TrainedOutput]) -> None:
        self.outputs = tuple(outputs)
        self.loss = Mean("loss")
        trained = [number for number, output in enumerate(outputs) if output.loss is not None]
        self._trained = [(number, outputs[number].weight, outputs[number].loss) for number in trained]
        self._plain = [loss is not None and loss.plain for _, _, loss in self._trained]
        self._sums = [Mean(f"{outputs[number].name}_loss") for number in trained] if len(trained) > 1 else []
        self._metrics = [
            (number, False, metric) for number, output in enumerate(outputs) for metric in output.metrics
        ] + [(number, True, metric) for number, output in enumerate(outputs) for metric in output.weighted_metrics]
        in_keras_order = sorted(range(len(self._sums)), key=lambda index: outputs[trained[index]].place)
        losses = [self._sums[index] for index in in_keras_order]
        named = list(zip(_unique_names(outputs), (metric for _, _, metric in self._metrics)))
        if (
            len(outputs) > 1
        ):  # as Keras lists them: what it does not know by its plain name comes last, in alphabetical order
            named.sort(key=lambda item: item[0])
        self.names = ("loss", *(metric.name for metric in losses), *(name for name, _ in named))
        self.all: tuple[Metric, ...] = (self.loss, *losses, *(metric for _, metric in named))
        # Two outputs of one layer have one name: as in Keras, the logs have the last one's loss.
        by_name = dict(zip(self.names, self.all))
        self._sorted = tuple((name, by_name[name]) for name in sorted(by_name))
        self._in_order = tuple(by_name[name] for name in self.names)
        self.keras_names = ["loss", *(["compile_metrics"] if self._metrics else []), *(item.name for item in losses)]
        """What `model.metrics_names` says."""

    def update(
        self, y_true: Each, predictions: Sequence[Array], losses: Each, sample_weight: Each, penalty: float = 0.0
    ) -> float:
        """Adds a batch; each argument has an item for every output, but for `penalty`, which regularizers add to the loss.

        Returns:
            its loss: for every output the sum of the weighted losses of its samples, divided by their number, times the
            output's own weight. A map's loss is the mean over its positions, each with its weight where `sample_weight` is
            (batch, …). The penalty is added to the sum over the outputs.
        """
        count = len(predictions[0])
        whole = penalty * count
        for index, (number, share, loss) in enumerate(self._trained):
            values = losses[number]
            assert values is not None
            if self._plain[index] and values.ndim and len(values) == count:
                total = _total(values, sample_weight[number])
            else:
                labels = y_true[number]
                assert labels is not None
                assert loss is not None
                counts = shares(loss, labels, values.shape, sample_weight[number])
                total = count * float(np.sum(values * counts, dtype=np.float64))
            if self._sums:
                self._sums[index].total += total
                self._sums[index].count += count
            whole += total if share == 1.0 else total * share
        self.loss.total += whole
        self.loss.count += count
        for number, weighted, metric in self._metrics:
            if weighted:
                metric.update_state(y_true[number], predictions[number], sample_weight[number])
            else:
                metric.update_state(y_true[number], predictions[number])
        return whole / count

    def results(self) -> dict[str, float]:
        """The running values by name; the names in alphabetical order, as in Keras' logs."""
        return {name: metric.result() for name, metric in self._sorted}

    def results_in_order(self) -> list[float]:
        """The running values, the loss first: what `evaluate` returns."""
        return [metric.result() for metric in self._in_order]

    def reset(self) -> None:
        for metric in self.all:
            metric.reset_state()

    def copied(self) -> "MetricSet":
        """Another set of equal metrics, which has seen no batches: for a call that runs beside the one that has this set.

        Raises:
            InvalidArgumentError: a metric of the user's own cannot be copied.
        """
        given = [(output.metrics, output.weighted_metrics) for output in self.outputs]
        copies = _deep_copied(given)
        outputs = [
            replace(output, metrics=own, weighted_metrics=weighted)
            for output, (own, weighted) in zip(self.outputs, copies)
        ]
        other = MetricSet(outputs)
        other.reset()
        return other

    def direction(self, name: str) -> str | None:
        """ "up" or "down" for the metric of that name, None for an unknown one."""
        return dict(zip(self.names, self.all))[name].direction if name in self.names else None

    @property
    def state(self) -> list[list[float]]:
        """The numbers of each metric, to be put back by `restore`."""
        return [metric.state for metric in self.all]

    def restore(self, state: Sequence[Sequence[float]]) -> None:
        for metric, numbers in zip(self.all, state, strict=True):
            metric.restore(numbers)


_ATTEMPTS = 100


def _deep_copied(
    given: list[tuple[tuple[Metric, ...], tuple[Metric, ...]]],
) -> list[tuple[tuple[Metric, ...], tuple[Metric, ...]]]:
    """Copies of metrics that another thread may be adding a batch to."""
    for attempt in range(_ATTEMPTS):
        try:
            return copy.deepcopy(given)
        except RuntimeError:  # the other thread has added a key to a dictionary of the metric meanwhile
            if attempt + 1 == _ATTEMPTS:
                raise
        except TypeError as error:
            names = ", ".join(describe_value(metric.name) for pair in given for group in pair for metric in group)
            raise InvalidArgumentError(
                f"the model is being trained or evaluated already, and one of its metrics ({names}) cannot be copied for a second call: "
                f"{describe_value(str(error))}; call it after the other has returned, or give the metric a __deepcopy__"
            ) from error
    raise AssertionError


def _total(losses: Array, sample_weight: Array | None) -> float:
    """The sum of the samples' losses, each the mean over its positions."""
    if sample_weight is None:
        total = float(np.add.reduce(losses, axis=None, dtype=np.float64))
    elif losses.ndim == 1:
        total = float(np.dot(losses.astype(np.float64), sample_weight))
    else:
        weights = sample_weight.reshape(len(losses), -1).astype(np.float64)
        total = float(np.sum(losses.reshape(len(losses), -1) * weights))
    return total / (losses.size / len(losses)) if losses.ndim > 1 else total


def _unique_names(outputs: Sequence[TrainedOutput]) -> Iterator[str]:
    """Keras' rule: a second `accuracy` is `accuracy_1`; a weighted one `weighted_accuracy`, then `weighted_accuracy_1`.

    Where there are several outputs, each metric's name begins with that of its output.
    """
    counts: dict[str, int] = {}
    for weighted in (False, True):
        for output in outputs:
            before = f"{output.name}_" if len(outputs) > 1 else ""
            for metric in output.weighted_metrics if weighted else output.metrics:
                name = before + metric.name
                if weighted and name in counts:
                    name = f"{before}weighted_{metric.name}"
                number = counts.get(name, 0)
                counts[name] = number + 1
                yield f"{name}_{number}" if number else name
