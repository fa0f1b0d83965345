"""What a callback is: Keras' hooks, called by the loops."""

import inspect
from collections.abc import Iterable
from typing import Any, ClassVar, TypeAlias

from depthwise.errors import InvalidArgumentError, describe_value

__all__ = ["Callback", "CallbackList", "LambdaCallback", "Logs"]

Logs: TypeAlias = dict[str, Any] | None


_SHOWN = (bool, int, float, str)
"""Types of arguments that a callback's `repr` shows."""


class Callback:
    """Base of all callbacks. Override the hooks you need.

    Hooks get the number of the epoch or of the batch within it, from 0, and the logs: at the end of a batch the running
    values of loss and metrics, at the end of an epoch those of the epoch and of the validation (`val_…`). Setting
    `self.model.stop_training = True` ends the training after the current batch or epoch.

    Attributes:
        params: `{"verbose": …, "epochs": …, "steps": …}`.
    """

    saves_training_state: ClassVar[bool] = False
    """Whether it is called last at the end of batches and epochs, because it saves what the others know."""

    def __init__(self) -> None:
        self.params: dict[str, Any] = {}
        self._model: Any = None

    def __repr__(self) -> str:
        shown = [name for name in inspect.signature(type(self)).parameters if isinstance(vars(self).get(name), _SHOWN)]
        return f"<{type(self).__name__}{''.join(f' {name}={vars(self)[name]!r}' for name in shown)}>"

    def set_params(self, params: dict[str, Any]) -> None:
        """Called by `fit` and the like before the first hook, with the attribute `params`."""
        self.params = params

    def set_model(self, model: Any) -> None:
        """Called by `fit` and the like before the first hook, with the model."""
        self._model = model

    @property
    def model(self) -> Any:
        """The model, with the weights of this moment: reading it in the middle of an epoch copies them out of the
        running step, and weights that you set are taken over before the next one."""
        session = getattr(getattr(self._model, "compiled", None), "session", None)
        if session is not None:
            session.expose()
        return self._model

    def get_training_state(self) -> dict[str, Any]:
        """What the callback must remember for a training that is interrupted to go on as if it had not been.

        `BackupAndRestore` keeps it in its file: numbers, texts and None by name, and lists of arrays with the shapes of
        `model.get_weights()`. Nothing by default.
        """
        return {}

    def set_training_state(self, state: dict[str, Any]) -> None:
        """Takes what `get_training_state` gave, of an interrupted training: called after `on_train_begin`."""

    def on_train_begin(self, logs: Logs = None) -> None:
        """Before the first epoch."""

    def on_train_end(self, logs: Logs = None) -> None:
        """After the last epoch, with its logs."""

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Before the first batch of an epoch."""

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """After the last batch of an epoch and its validation."""

    def on_batch_begin(self, batch: int, logs: Logs = None) -> None:
        """Other name of `on_train_batch_begin`."""

    def on_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Other name of `on_train_batch_end`."""

    def on_train_batch_begin(self, batch: int, logs: Logs = None) -> None:
        """Before a training step."""
        self.on_batch_begin(batch, logs=logs)

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """After a training step."""
        self.on_batch_end(batch, logs=logs)

    def on_test_begin(self, logs: Logs = None) -> None:
        """Before an evaluation or a validation."""

    def on_test_end(self, logs: Logs = None) -> None:
        """After an evaluation or a validation."""

    def on_test_batch_begin(self, batch: int, logs: Logs = None) -> None:
        """Before a batch of an evaluation or a validation."""

    def on_test_batch_end(self, batch: int, logs: Logs = None) -> None:
        """After a batch of an evaluation or a validation."""

    def on_predict_begin(self, logs: Logs = None) -> None:
        """Before a prediction."""

    def on_predict_end(self, logs: Logs = None) -> None:
        """After a prediction."""

    def on_predict_batch_begin(self, batch: int, logs: Logs = None) -> None:
        """Before a batch of a prediction."""

    def on_predict_batch_end(self, batch: int, logs: Logs = None) -> None:
        """After a batch of a prediction."""


HOOKS = tuple(name for name in vars(Callback) if name.startswith("on_"))


class LambdaCallback(Callback):
    """A callback made of functions: `LambdaCallback(on_epoch_end=lambda epoch, logs: print(epoch, logs))`.

    Args:
        on_epoch_begin, on_epoch_end: called with (epoch, logs).
        on_train_begin, on_train_end: called with (logs).
        on_train_batch_begin, on_train_batch_end: called with (batch, logs=logs).
        kwargs: any other hook of `Callback`.
    """

    def __init__(
        self,
        on_epoch_begin: Any = None,
        on_epoch_end: Any = None,
        on_train_begin: Any = None,
        on_train_end: Any = None,
        on_train_batch_begin: Any = None,
        on_train_batch_end: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        given = {
            "on_epoch_begin": on_epoch_begin,
            "on_epoch_end": on_epoch_end,
            "on_train_begin": on_train_begin,
            "on_train_end": on_train_end,
            "on_train_batch_begin": on_train_batch_begin,
            "on_train_batch_end": on_train_batch_end,
            **kwargs,
        }
        for name, function in given.items():
            if name not in HOOKS:
                raise InvalidArgumentError(
                    f"LambdaCallback: unknown hook {describe_value(name)}; allowed are {', '.join(HOOKS)}"
                )
            if function is None:
                continue
            if not callable(function):
                raise InvalidArgumentError(f"LambdaCallback: {name} must be a function, got {describe_value(function)}")
            setattr(self, name, function)


class CallbackList:
    """Several callbacks called in order, each hook only on those that override it.

    Args:
        callbacks: a callback, or any nesting of lists of them.
        model: given to each.
        params: given to each.
    """

    def __init__(self, callbacks: Any = None, model: Any = None, params: dict[str, Any] | None = None) -> None:
        self.callbacks = list(_flatten(callbacks))
        self.params = params or {}
        for callback in self.callbacks:
            callback.set_params(self.params)
            callback.set_model(model)
        listening = {name: tuple(self._listeners(name)) for name in HOOKS}
        self._listening = listening
        self.wants_train_batch_begin = bool(listening["on_train_batch_begin"])
        self.wants_train_batch_end = bool(listening["on_train_batch_end"])
        self.wants_test_batch_end = bool(listening["on_test_batch_end"])

    def _listeners(self, hook: str) -> Iterable[Any]:
        aliases = {"on_train_batch_begin": "on_batch_begin", "on_train_batch_end": "on_batch_end"}
        # A backup holds what the other callbacks know after the hook.
        last = hook in ("on_epoch_end", "on_train_batch_end")
        for callback in sorted(self.callbacks, key=lambda item: last and item.saves_training_state):
            names = (hook, aliases[hook]) if hook in aliases else (hook,)
            if any(
                name in vars(callback) or getattr(type(callback), name) is not getattr(Callback, name) for name in names
            ):
                yield getattr(callback, hook)

    def call(self, hook: str, *arguments: Any) -> None:
        """Calls `hook` with (epoch or batch, logs), or with (logs) alone."""
        for listener in self._listening[hook]:
            listener(*arguments)

    def on_batch(self, hook: str, batch: int, logs: Logs) -> None:
        """As `call`, with the logs by name, as Keras hands them to batch hooks."""
        for listener in self._listening[hook]:
            listener(batch, logs=logs)

    def get_training_states(self) -> list[tuple[str, dict[str, Any]]]:
        """The class and the state of each callback that has one."""
        states = ((type(item).__name__, item.get_training_state()) for item in self.callbacks)
        return [(name, state) for name, state in states if state]

    def set_training_states(self, states: Iterable[tuple[str, dict[str, Any]]]) -> None:
        """Gives each state to the next callback of its class; callbacks that are left over begin anew."""
        waiting = list(self.callbacks)
        for name, state in states:
            found = next((item for item in waiting if type(item).__name__ == name), None)
            if found is not None:
                waiting.remove(found)
                found.set_training_state(state)

    def __iter__(self) -> Any:
        return iter(self.callbacks)


def _flatten(callbacks: Any) -> Iterable[Any]:
    if callbacks is None:
        return
    if isinstance(callbacks, CallbackList):
        yield from callbacks.callbacks
    elif isinstance(callbacks, (list, tuple)):
        for item in callbacks:
            yield from _flatten(item)
    elif isinstance(callbacks, Callback):
        yield callbacks
    else:
        hint = "; make an instance of it" if isinstance(callbacks, type) else ""
        raise InvalidArgumentError(
            f"callbacks must be instances of depthwise.callbacks.Callback, got {describe_value(callbacks)}{hint}"
        )
