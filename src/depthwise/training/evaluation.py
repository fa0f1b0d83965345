"""`evaluate` and `test_on_batch`: loss and metrics without training."""

from typing import Any

from depthwise.errors import InvalidDataError
from depthwise.losses import per_sample
from depthwise.model.inputs import is_batches
from depthwise.training.activities import ActivityPenalty
from depthwise.training.arguments import check_arguments, compiled_for, given_batches, one_batch, size_of_batch
from depthwise.training.batches import ArrayBatches, Batch, Schedule, Source
from depthwise.training.callback import CallbackList
from depthwise.training.compiled import Compiled
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
    metrics = compiled.metric_set(model.graph)
    schedule = Schedule(source, steps)
    items = [callbacks]
    if verbose != 0 and not any(isinstance(item, ProgbarLogger) for item in CallbackList(callbacks)):
        items.append(ProgbarLogger())
    listeners = CallbackList(items, model, {"verbose": verbose, "epochs": 1, "steps": schedule.count})
    metrics.reset()
    try:
        logs = run_evaluation(model, compiled, metrics, schedule, listeners)
    finally:
        for callback in listeners:
            if isinstance(callback, ProgbarLogger):
                callback.close()
    if not logs:
        raise InvalidDataError(
            "evaluate: x gave no batches, so there is no loss; a generator gives its batches only once: make a new one"
        )
    return logs if return_dict else in_order(metrics)


def run_evaluation(
    model: Any, compiled: Compiled, metrics: MetricSet, schedule: Schedule, listeners: CallbackList
) -> dict[str, float]:
    """One pass over the batches of `schedule`, into `metrics`. Returns the values by name: none where there was no batch."""
    listeners.call("on_test_begin", None)
    logs: dict[str, float] = {}
    step = -1
    penalty, activity = sum(model.losses), ActivityPenalty(model.graph, model.weights_by_name)
    for step, batch in schedule.epoch():
        listeners.on_batch("on_test_batch_begin", step, None)
        _add(model, metrics, batch, penalty + activity(batch.x))
        if listeners.wants_test_batch_end:
            listeners.on_batch("on_test_batch_end", step, metrics.results())
    if step >= 0:
        logs = metrics.results()
    listeners.call("on_test_end", logs)
    return logs


def _add(model: Any, metrics: MetricSet, batch: Batch, penalty: float) -> None:
    found = model.predict_on_batch(batch.x[0] if len(batch.x) == 1 else list(batch.x))
    predictions = list(found.values()) if isinstance(found, dict) else found if isinstance(found, list) else [found]
    losses = [
        None if output.loss is None or labels is None else per_sample(output.loss, labels, predicted)
        for output, labels, predicted in zip(metrics.outputs, batch.y, predictions)
    ]
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
    metrics = compiled.metric_set(model.graph)
    metrics.reset()
    batch = one_batch(prepare(model.graph, compiled.outputs(model.graph), x, y, sample_weight))
    activity = ActivityPenalty(model.graph, model.weights_by_name)
    _add(model, metrics, batch, sum(model.losses) + activity(batch.x))
    return metrics.results() if return_dict else in_order(metrics)


test_on_batch.__test__ = False  # type: ignore[attr-defined]  # nothing for pytest to collect


def in_order(metrics: MetricSet) -> Any:
    """The loss, or a list of the loss and the metrics: what Keras returns without `return_dict`."""
    values = metrics.results_in_order()
    return values[0] if len(values) == 1 else values
