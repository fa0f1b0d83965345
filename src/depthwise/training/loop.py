"""The loops: `fit` and `train_on_batch`, with Keras' arguments, order of things and results.

Data is checked once at the border (`samples`), cut into batches (`batches`), and each batch is one native call (`session`).
What Python does in a step besides it: cut the batch, add up loss and metrics, call the hooks that a callback overrides.
"""

import contextlib
from typing import Any

from depthwise.errors import InvalidDataError, UnsupportedError
from depthwise.model.inputs import is_batches
from depthwise.random import next_seed
from depthwise.training.arguments import (
    check_arguments,
    claim,
    compiled_for,
    given_batches,
    one_batch,
    release,
    size_of_batch,
    split_off,
    validation_schedule,
)
from depthwise.training.batches import ArrayBatches, Batch, Schedule, Source
from depthwise.training.callback import CallbackList
from depthwise.training.compiled import Compiled, StepResult
from depthwise.training.evaluation import evaluate, in_order, run_evaluation, test_on_batch
from depthwise.training.history import History
from depthwise.training.metric_set import MetricSet
from depthwise.training.not_finite import NotFiniteGuard
from depthwise.training.progress import ProgbarLogger
from depthwise.training.samples import Samples, prepare
from depthwise.training.session import Session

__all__ = ["compile_model", "evaluate", "fit", "test_on_batch", "train_on_batch"]


def compile_model(
    model: Any,
    optimizer: Any = "rmsprop",
    loss: Any = None,
    loss_weights: Any = None,
    metrics: Any = None,
    weighted_metrics: Any = None,
) -> Compiled:
    """What `model.compile` keeps: loss, optimizer (without any memory of earlier training) and metrics.

    Args:
        model: the model; where it knows its shapes already, they are checked against the loss.
        optimizer: a name or a description.
        loss: a name or a description, used for every output; or a list or a dict with one for each output, None for outputs
            that are not trained. Without a loss nothing can be trained, but the model predicts.
        loss_weights: what each output's loss counts for in the sum, 1 by default: a list, or a dict by output.
        metrics: names and metrics, not weighted by `sample_weight`: a list for one output; a list of lists, or a dict by
            output, for several.
        weighted_metrics: the same, weighted by `sample_weight`.

    Raises:
        InvalidArgumentError, UnsupportedError, ShapeError: an argument that is unknown or does not fit the network.
    """
    compiled = Compiled(optimizer, loss, loss_weights, metrics, weighted_metrics)
    compiled.trainable = model.flags()
    if model.built:
        compiled.metric_set(model.graph)
    return compiled


def fit(
    model: Any,
    x: Any = None,
    y: Any = None,
    batch_size: int | None = None,
    epochs: int = 1,
    verbose: str | int = "auto",
    callbacks: Any = None,
    validation_split: float = 0.0,
    validation_data: Any = None,
    shuffle: bool | str = True,
    class_weight: Any = None,
    sample_weight: Any = None,
    initial_epoch: int = 0,
    steps_per_epoch: int | None = None,
    validation_steps: int | None = None,
    validation_batch_size: int | None = None,
    validation_freq: Any = 1,
) -> History:
    """Trains the model: `depthwise.Model.fit`, which describes the arguments, and what is returned and raised."""
    compiled = compiled_for(model, "fit")
    check_arguments(
        epochs, initial_epoch, batch_size, validation_batch_size, validation_split, validation_freq, verbose
    )
    seed = next_seed()
    source, held_out = _source(
        model, compiled, x, y, sample_weight, class_weight, batch_size, steps_per_epoch, validation_split,
        validation_data, shuffle, seed,
    )  # fmt: skip
    schedule = Schedule(source, steps_per_epoch)
    validation = validation_schedule(
        model, compiled, validation_data, held_out, validation_batch_size or batch_size, validation_steps
    )
    training = object()
    session: Session | None = None
    listeners = CallbackList()
    taken = contextlib.ExitStack()
    try:
        claim(compiled, training, "fit")
        metrics = taken.enter_context(compiled.metrics_of_call(model.graph))
        session = Session(model, compiled, metrics, seed, schedule)
        session.epoch = initial_epoch
        listeners, history, guard = _callbacks(model, callbacks, verbose, epochs, schedule)
        session.listeners = listeners
        model.history = history
        model.learn_usage(x)
        model.stop_training = False
        compiled.session = session
        logs = _train_epochs(session, guard, epochs, validation, validation_freq)
    finally:
        try:
            if session is not None:
                _close(session, listeners)
        finally:  # also after a second Ctrl-C
            taken.close()
            release(compiled, training)
    listeners.call("on_train_end", logs)
    return history


def _train_epochs(
    session: Session, guard: NotFiniteGuard, epochs: int, validation: Any, validation_freq: Any
) -> dict[str, float]:
    """All epochs. Returns the logs of the last one."""
    model, metrics, listeners = session.model, session.metrics, session.listeners
    logs: dict[str, float] = {}
    validated = False
    listeners.call("on_train_begin", None)
    listeners.set_training_states(session.callback_states)
    stopped = session.stopped
    model.stop_training = stopped or model.stop_training
    guard.watch(session)
    first_step = session.step
    for epoch in range(session.epoch, session.epoch if stopped and not first_step else epochs):
        if not first_step:
            metrics.reset()
        listeners.call("on_epoch_begin", epoch, None)
        steps = 0 if stopped else _train_epoch(model, session, listeners, guard, first_step)
        if not steps and not first_step:
            if epoch == session.epoch:
                raise InvalidDataError(
                    "fit: x gave no batches; a generator gives its batches only once: make a new one"
                )
            break  # the data ran out: nothing to say about this epoch
        first_step = 0
        session.sync()
        logs = metrics.results()
        if validation is not None and _validates(epoch, validation_freq):
            metrics.reset()
            values = run_evaluation(model, metrics, validation(), listeners)
            if not values and not validated:
                raise InvalidDataError(
                    "fit: validation_data gave no batches; a generator gives its batches only once: make a new one"
                )
            validated = True  # a generator that has run out since then adds nothing to the logs
            logs.update({f"val_{name}": value for name, value in values.items()})
            logs = dict(sorted(logs.items()))  # as Keras: accuracy, loss, val_accuracy, val_loss, weighted_…
        listeners.call("on_epoch_end", epoch, logs)
        if model.stop_training:
            break
    return logs


def _source(
    model: Any,
    compiled: Any,
    x: Any,
    y: Any,
    sample_weight: Any,
    class_weight: Any,
    batch_size: int | None,
    steps_per_epoch: int | None,
    validation_split: float,
    validation_data: Any,
    shuffle: bool | str,
    seed: int,
) -> tuple[Source, Samples | None]:
    """Where the batches of `fit` come from, and the samples that `validation_split` keeps from training."""
    if is_batches(x):
        if validation_split and validation_data is None:
            raise UnsupportedError("fit: validation_split needs arrays, got batches; give validation_data instead")
        return given_batches(model, compiled, x, y, sample_weight, class_weight, bool(shuffle), seed), None
    samples = prepare(model.graph, compiled.outputs(model.graph), x, y, sample_weight, class_weight)
    held_out = None
    if validation_split and validation_data is None:
        samples, held_out = split_off(samples, validation_split)
        if class_weight is not None:  # Keras weighs the training alone by class
            held_out = Samples(held_out.x, held_out.y, (None,) * len(held_out.y))
    size = size_of_batch(len(samples), batch_size, steps_per_epoch)
    return ArrayBatches(samples, size, shuffle, seed), held_out


def _close(session: Session, listeners: CallbackList) -> None:
    """Brings the model up to date, however the training ended."""
    session.compiled.session = None
    try:
        session.finish()
    finally:
        for callback in listeners:
            if isinstance(callback, ProgbarLogger):
                callback.close()


def _train_epoch(model: Any, session: Session, listeners: CallbackList, guard: NotFiniteGuard, first_step: int) -> int:
    """One epoch's steps. Returns how many there were."""
    metrics, schedule = session.metrics, session.schedule
    assert schedule is not None
    update, results, run = metrics.update, metrics.results, session.run
    begins, ends = listeners.wants_train_batch_begin, listeners.wants_train_batch_end
    steps, step, batch = 0, 0, None
    for step, batch in schedule.epoch(first_step):
        if begins:
            listeners.on_batch("on_train_batch_begin", step, None)
        session.take_changes()
        guard.before(batch)
        result = run(batch)
        loss = update(batch.y, result.all_predictions, result.all_losses, batch.sample_weight, result.penalty)
        steps += 1
        stop = guard.after(batch, step, loss, result.all_losses)
        if ends:
            listeners.on_batch("on_train_batch_end", step, results())
        if stop or model.stop_training:
            return steps
    session.take_changes()
    guard.check(batch, step)
    return steps


def train_on_batch(
    model: Any, x: Any, y: Any = None, sample_weight: Any = None, class_weight: Any = None, return_dict: bool = False
) -> Any:
    """One training step on the whole of x: `depthwise.Model.train_on_batch`, which describes the arguments."""
    compiled = compiled_for(model, "train_on_batch")
    training = object()
    try:
        claim(compiled, training, "train_on_batch")
        return _train_on_batch(model, compiled, x, y, sample_weight, class_weight, return_dict)
    finally:
        release(compiled, training)


def _train_on_batch(
    model: Any, compiled: Compiled, x: Any, y: Any, sample_weight: Any, class_weight: Any, return_dict: bool
) -> Any:
    batch = one_batch(prepare(model.graph, compiled.outputs(model.graph), x, y, sample_weight, class_weight))
    with compiled.metrics_of_call(model.graph) as metrics:
        metrics.reset()
        result = _step(model, compiled, metrics, batch)
        metrics.update(batch.y, result.all_predictions, result.all_losses, batch.sample_weight, result.penalty)
        return metrics.results() if return_dict else in_order(metrics)


def _step(model: Any, compiled: Compiled, metrics: MetricSet, batch: Batch) -> StepResult:
    # The step keeps the weights until they are asked for: copying them in and out would cost more than a small step.
    session = model.open_session(compiled)
    if session is None:
        session = Session(model, compiled, metrics, next_seed())
    try:
        return session.run(batch)  # type: ignore[no-any-return]
    finally:
        model.leave_open(session)


def _callbacks(
    model: Any, callbacks: Any, verbose: str | int, epochs: int, schedule: Schedule
) -> tuple[CallbackList, History, NotFiniteGuard]:
    given = list(CallbackList(callbacks))
    history = next((item for item in given if isinstance(item, History)), None) or History()
    guard = next((item for item in given if isinstance(item, NotFiniteGuard)), None) or NotFiniteGuard()
    items = [*(item for item in (guard,) if item not in given), *given]
    # As Keras: after the user's callbacks, so that what these add to the logs is kept and shown.
    items += [item for item in (history,) if item not in given]
    if verbose != 0 and not any(isinstance(item, ProgbarLogger) for item in given):
        items.append(ProgbarLogger())
    params = {"verbose": verbose, "epochs": epochs, "steps": schedule.count}
    return CallbackList(items, model, params), history, guard


def _validates(epoch: int, frequency: Any) -> bool:
    if hasattr(frequency, "__index__"):
        return (epoch + 1) % int(frequency) == 0
    return epoch + 1 in frequency
