"""What watches over a training for NaN and infinity: names the first bad layer; `TerminateOnNaN` restores the last good weights.

By the time a loss is NaN, the update of the same step has spread it over every weight. So the guard keeps the state of a few
steps ago, runs the steps since then again (they give the same bits), and finds the step, and in it the layer, where the first
value went bad.
"""

import math
import warnings
from collections.abc import Mapping
from typing import Any, ClassVar, TypeAlias

import numpy as np

from depthwise.dataclass import dataclass
from depthwise.errors import DepthwiseError
from depthwise.layers.input import InputLayer
from depthwise.layers.normalization import BatchNormalization
from depthwise.network.graph import Graph
from depthwise.training.batches import Batch, Place
from depthwise.training.callback import Callback, Logs
from depthwise.training.session import Session, seed_of_step

__all__ = ["NotFiniteGuard", "NotFiniteWarning", "TerminateOnNaN", "first_bad_output", "first_bad_weight"]

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Each: TypeAlias = tuple[Array | None, ...]
"""The losses of every output."""

STEPS_BETWEEN_COPIES = 50
"""A copy of weights and state costs about one part in a hundred of so many steps."""

LARGEST = float(np.finfo(np.float32).max)


class NotFiniteWarning(RuntimeWarning):
    """The loss or a weight of a training was NaN or infinite."""


def _finite(array: Array) -> bool:
    with np.errstate(all="ignore"):
        return math.isfinite(float(np.add.reduce(array, axis=None))) or bool(np.isfinite(array).all())


def first_bad_weight(graph: Graph, weights: Mapping[str, Array]) -> tuple[str, str] | None:
    """(layer, what is wrong) of the first layer, in the order of the graph, with a weight that is not finite."""
    for node in graph.calls:
        for weight in node.weights:
            array = weights[node.key(weight.name)]
            if not _finite(array):
                bad = int(array.size - np.count_nonzero(np.isfinite(array)))
                return node.name, f"{bad} of the {array.size} numbers of its {weight.name} are NaN or infinite"
    return None


def first_bad_output(graph: Graph, weights: Mapping[str, Array], x: tuple[Array, ...]) -> tuple[str, str] | None:
    """(layer, what is wrong) of the first layer whose output float32 cannot hold, computed by the float64 reference."""
    from depthwise.reference import layer as reference  # needed once, when something went wrong
    from depthwise.reference.network import weights_of

    given = dict(zip(graph.inputs, x))
    values: dict[str, Any] = {}
    with np.errstate(all="ignore"):
        for node in graph.calls:
            reads = [given[node.name]] if isinstance(node.layer, InputLayer) else [values[name] for name in node.reads]
            training = isinstance(node.layer, BatchNormalization)
            value = reference.forward(node.layer, weights_of(node, weights), reads, training, None)
            values[node.name] = value
            bad = int(value.size - np.count_nonzero(np.abs(value) <= LARGEST))
            if bad:
                return node.name, f"{bad} of the {value.size} values of its output are NaN or beyond float32"
    return None


@dataclass(frozen=True)
class _Copy:
    """Weights and optimizer state at one moment."""

    weights: dict[str, Array]
    state: dict[str, Array]


@dataclass(frozen=True)
class _Done:
    """What it takes to run a step again."""

    place: Place
    learning_rate: float
    seed: int


class NotFiniteGuard(Callback):
    """Says when the loss or a weight first is NaN or infinite, and where it came from; `fit` adds it by itself.

    A warning says in which step it happened and which layer went bad first. Training goes on, as in Keras.

    Attributes:
        message: what happened, None while all is well.
    """

    stops: ClassVar[bool] = False

    def __init__(self) -> None:
        super().__init__()
        self.raise_error = False
        self.message: str | None = None
        self._session: Session | None = None
        self._copy: _Copy | None = None
        self._done: list[_Done] = []
        self._changes = -1
        self._epoch = 0

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self._epoch = epoch

    def watch(self, session: Session) -> None:
        """Starts with a training; called by the loop."""
        self.message = None
        self._session = session
        self._take_copy()

    def _take_copy(self) -> None:
        assert self._session is not None
        native = self._session.native
        self._copy = _Copy(native.weights(), native.optimizer_state())
        self._done = []
        self._changes = self._session.changes

    def before(self, batch: Batch) -> None:
        """Called by the loop before each step."""
        session = self._session
        assert session is not None
        if self.message is not None:
            return
        if session.changes != self._changes:  # a callback has set weights
            self._take_copy()
        optimizer = session.optimizer
        seed = seed_of_step(session.seed, optimizer.steps)
        self._done.append(_Done(batch.place, optimizer.next_rate, seed))

    def after(self, batch: Batch, step: int, loss: float, losses: Each) -> bool:
        """Called by the loop after each step. Returns whether training must stop."""
        if self.message is not None:
            return False
        if math.isfinite(loss):
            if len(self._done) < STEPS_BETWEEN_COPIES:
                return False
            return self.check(batch, step)
        self._tell(batch, step, f"the loss became {loss}", losses)
        return self.stops

    def check(self, batch: Batch | None, step: int) -> bool:
        """Checks the weights; takes a new copy when they are fine. Returns whether training must stop."""
        session = self._session
        assert session is not None
        if not self._done or self.message is not None:
            return False
        weights = session.native.weights()
        if first_bad_weight(session.model.graph, weights) is None:
            self._copy = _Copy(weights, session.native.optimizer_state())
            self._done = []
            self._changes = session.changes
            return False
        self._tell(batch, step, "a weight is no longer finite", None)
        return self.stops

    def _tell(self, batch: Batch | None, step: int, what: str, losses: Each | None) -> None:
        session = self._session
        assert session is not None
        graph = session.model.graph
        rate = self._done[-1].learning_rate
        now = None if self.stops else _Copy(session.native.weights(), session.native.optimizer_state())
        good, steps_back, cause = self._find(batch, losses)
        where = f"epoch {self._epoch + 1}, step {step + 1}"
        from_start = first_bad_weight(graph, good.weights) is not None
        if now is not None:
            session.native.load(now.weights, now.state)
            before = "; the weights were bad before that step" if from_start else ""
            self.message = f"{what} in {where}: {cause}{before}; training goes on; callbacks.TerminateOnNaN() stops and keeps good weights"
        else:
            session.put(good.weights, good.state)
            kept = (
                "the model has the weights from before that step"
                if steps_back <= 1
                else f"the model has the weights from {steps_back} steps before"
            )
            if from_start:
                kept = "the weights were bad from the start: set good ones before training again"
            self.message = f"training stopped in {where}: {what}; {cause}; {kept}"
            session.model.stop_training = True
        self._done, self._copy = [], None
        self.message += (
            f". A smaller learning rate (it was {rate:g}), clipnorm=1.0, or inputs scaled to 0 … 1 usually fix it"
        )
        if self.raise_error:
            raise DepthwiseError(self.message)
        warnings.warn(self.message, NotFiniteWarning, stacklevel=5)

    def _find(self, batch: Batch | None, losses: Each | None) -> tuple[_Copy, int, str]:
        """The last good state, how many steps it lies before the end of the bad one, and what went bad first."""
        session, good = self._session, self._copy
        assert session is not None
        assert good is not None
        graph, native = session.model.graph, session.native
        source = session.schedule.source if session.schedule is not None else None
        bad_inputs = first_bad_weight(graph, good.weights)
        if bad_inputs is not None:
            return good, len(self._done), _names(bad_inputs)
        if source is None or not source.repeatable:
            return good, len(self._done), self._of_output(graph, good, batch, losses, last=len(self._done) == 1)
        native.load(good.weights, good.state)
        last = len(self._done) - 1
        for index, done in enumerate(self._done):
            again = source.batch(done.place)
            assert again is not None
            if index == last and losses is not None:
                return good, 1, self._of_output(graph, good, again, losses, last=True)
            native(again.x, again.y, again.sample_weight, learning_rate=done.learning_rate, seed=done.seed)
            weights = native.weights()
            bad = first_bad_weight(graph, weights)
            if bad is not None:
                return good, last - index + 1, _names(bad)
            good = _Copy(weights, native.optimizer_state())
        return good, 1, "no layer is bad when the steps are run again"

    def _of_output(self, graph: Graph, good: _Copy, batch: Batch | None, losses: Each | None, last: bool) -> str:
        if batch is None:
            return "the layer is not known, as the data cannot be read again"
        x = batch.x
        if losses is not None and not any(isinstance(node.layer, BatchNormalization) for node in graph.calls):
            bad_rows = (
                np.flatnonzero(~np.isfinite(values.reshape(len(values), -1)).all(axis=1))[:1]
                for values in losses
                if values is not None and values.ndim and len(values) == len(x[0])
            )
            rows = next((found for found in bad_rows if found.size), None)
            if rows is not None:
                x = tuple(array[rows] for array in x)
        bad = first_bad_output(graph, good.weights, x)
        if bad is not None:
            return _names(bad)
        if last:
            return "every layer's output is finite, so the loss itself is what float32 cannot hold"
        return "the layer is not known, as the data cannot be read again"


class TerminateOnNaN(NotFiniteGuard):
    """Stops the training when the loss or a weight is NaN or infinite, and restores the last good weights.

    A warning says in which step it happened, which layer went bad first, and which weights the model has now: those from
    before the step that went wrong.

    Args:
        raise_error: raise `DepthwiseError` with the same text instead of a warning.

    Attributes:
        message: what happened, None while all is well.
    """

    stops = True

    def __init__(self, raise_error: bool = False) -> None:
        super().__init__()
        self.raise_error = raise_error


def _names(bad: tuple[str, str]) -> str:
    return f"the first bad layer is {bad[0]}: {bad[1]}"
