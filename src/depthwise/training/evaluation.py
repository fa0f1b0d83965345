"""`evaluate` and `test_on_batch`: loss and metrics without training."""

from typing import Any

from depthwise.errors import InvalidDataError
from depthwise.losses import per_sample
from depthwise.model.inputs import is_batches
from depthwise.training.activities import ActivityPenalty
from depthwise.training.arguments import check_arguments, compiled_for, given_batches, one_batch, size_of_batch
from depthwise.training.batches import ArrayBatches, Batch, Schedule, Source
from depthwise.training.callback import CallbackList
from depthwise.training.metric_set import MetricSet
from depthwise.training.progress import ProgbarLogger
from depthwise.training.samples import prepare

__all__ = ["evaluate", "in_order", "run_evaluation", "test_on_batch"]


def evaluate(
    model: Any,
    x: Any = None,
    y: Any = None,
    batch_size: int | None = None,
    verbose: str | int = "auto",
    sample_weight: Any = None,
    steps: int | None = None,
    callbacks: Any = None,
    return_dict: bool = False,
) -> Any:
    """Loss and metrics on the data: `depthwise.Model.evaluate`, which describes the arguments."""
    compiled = compiled_for(model, "evaluate")
    check_arguments(1, 0, batch_size, None, 0.0, 1, verbose)
    source: Source
    if is_batches(x):
        source = given_batches(model, compiled, x, y, sample_weight, None, False, 0)
    else:
        samples = prepare(model.graph, compiled.outputs(model.graph), x, y, sample_weight)
        source = ArrayBatches(samples, size_of_batch(len(samples), batch_size, steps))
    schedule = Schedule(source, steps)
    items = [callbacks]
    if verbose != 0 and not any(isinstance(item, ProgbarLogger) for item in CallbackList(callbacks)):
        items.append(ProgbarLogger())
    listeners = CallbackList(items, model, {"verbose": verbose, "epochs": 1, "steps": schedule.count})
    with compiled.metrics_of_call(model.graph) as metrics:
        metrics.reset()
        try:
            logs = run_evaluation(model, metrics, schedule, listeners)
        finally:
            for callback in listeners:
                if isinstance(callback, ProgbarLogger):
                    callback.close()
        if not logs:
            raise InvalidDataError(
                "evaluate: x gave no batches, so there is no loss; a generator gives its batches only once: make a new one"
            )
        return logs if return_dict else in_order(metrics)


def run_evaluation(model: Any, metrics: MetricSet, schedule: Schedule, listeners: CallbackList) -> dict[str, float]:
    """One pass over the batches of `schedule`, into `metrics`, with the weights that the model has at its start.

    Returns:
        The values by name: none where there was no batch.
    """
    listeners.call("on_test_begin", None)
    logs: dict[str, float] = {}
    step = -1
    of_batch = _OfBatch(model, metrics)
    for step, batch in schedule.epoch():
        listeners.on_batch("on_test_batch_begin", step, None)
        of_batch(batch)
        if listeners.wants_test_batch_end:
            listeners.on_batch("on_test_batch_end", step, metrics.results())
    if step >= 0:
        logs = metrics.results()
    listeners.call("on_test_end", logs)
    return logs


class _OfBatch:
    """Adds batches to `metrics`, all with the weights of the moment when it is made: another thread may change the model's."""

    def __init__(self, model: Any, metrics: MetricSet) -> None:
        self._metrics = metrics
        self._prediction = model._ready()
        weights = self._prediction.weights
        self._penalty = sum(model.penalties(weights))
        self._activity = ActivityPenalty(model.graph, weights)

    def __call__(self, batch: Batch) -> None:
        metrics, predictions = self._metrics, self._prediction(batch.x)
        losses = [
            None if output.loss is None or labels is None else per_sample(output.loss, labels, predicted)
            for output, labels, predicted in zip(metrics.outputs, batch.y, predictions)
        ]
        penalty = self._penalty + self._activity(batch.x)
        metrics.update(batch.y, predictions, losses, batch.sample_weight, penalty)


def test_on_batch(
    model: Any,
    x: Any,
    y: Any = None,  # noqa: PT028 - Keras' name, not a test
    sample_weight: Any = None,  # noqa: PT028
    return_dict: bool = False,  # noqa: PT028
) -> Any:
    """Loss and metrics of the whole of x as one batch: `depthwise.Model.test_on_batch`, which describes the arguments."""
    compiled = compiled_for(model, "test_on_batch")
    batch = one_batch(prepare(model.graph, compiled.outputs(model.graph), x, y, sample_weight))
    with compiled.metrics_of_call(model.graph) as metrics:
        metrics.reset()
        _OfBatch(model, metrics)(batch)
        return metrics.results() if return_dict else in_order(metrics)


test_on_batch.__test__ = False  # type: ignore[attr-defined]  # nothing for pytest to collect


def in_order(metrics: MetricSet) -> Any:
    """The loss, or a list of the loss and the metrics: what Keras returns without `return_dict`."""
    values = metrics.results_in_order()
    return values[0] if len(values) == 1 else values
