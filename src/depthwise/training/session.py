"""A running training: the native step, and how weights move between it and the model.

The step holds the weights while it trains. They are copied to the model when a callback reads it (`Callback.model`), at the end of each
epoch and at the end of `fit`, however it ends; weights that a callback sets go back before the next step.
"""

import threading
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np

from depthwise.layers.store import CHANGES, LOCK, Weights
from depthwise.optimizers.description import AVERAGE
from depthwise.training.batches import Batch, Place, Schedule
from depthwise.training.callback import CallbackList
from depthwise.training.compiled import Compiled, StepResult
from depthwise.training.metric_set import MetricSet

__all__ = ["Session", "seed_of_step"]

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

_GOLDEN = 0x9E3779B97F4A7C15  # 2⁶⁴ divided by the golden ratio: neighbouring steps get seeds that are far apart (Steele et al. 2014)


def seed_of_step(seed: int, iteration: int) -> int:
    """The seed of one step's dropout: 63 bits that follow from the training's seed and the steps done."""
    value = (seed + (iteration + 1) * _GOLDEN) & 0xFFFFFFFFFFFFFFFF
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
    return (value ^ (value >> 31)) >> 1


class Session:
    """One call of `fit` or `train_on_batch`.

    Args:
        model: the model. compiled: what `compile` left on it.
        seed: shuffles and dropout follow from it.
        schedule: the batches, None for a single step.

    Attributes:
        epoch, step: the first epoch and its first step, which a restored checkpoint moves.
        listeners: the training's callbacks.
        callback_states, stopped: what a restored checkpoint says of them, and whether one of them had ended the training.
    """

    def __init__(
        self, model: Any, compiled: Compiled, metrics: MetricSet, seed: int, schedule: Schedule | None = None
    ) -> None:
        self.model = model
        self.compiled = compiled
        self.optimizer = compiled.optimizer
        self.metrics = metrics
        self.seed = seed
        self.schedule = schedule
        self.epoch = 0
        self.step = 0
        self.listeners = CallbackList()
        self.callback_states: list[tuple[str, dict[str, Any]]] = []
        self.stopped = False
        compiled.optimizer.bind(model)
        self.graph = compiled.graph(model)
        self.native = compiled.step(self.graph)
        self._settings = compiled.optimizer.description
        self._seen = Weights({})
        self._dirty = False
        self._exposed = False
        self._thread = threading.get_ident()
        self.changes = 0
        self.load()
        if schedule is not None:
            model.hold(self)

    def load(self) -> None:
        """Puts the model's weights, and what the optimizer knows, into the step."""
        weights = self.model.weights_by_name
        self.native.load(weights, self.optimizer.state)
        self._seen = weights
        self._dirty = False
        self.changes += 1

    @property
    def has_newer(self) -> bool:
        """Whether the step holds newer weights than the model."""
        return self._dirty

    def run(self, batch: Batch) -> StepResult:
        """One step."""
        optimizer = self.optimizer
        if optimizer.description is not self._settings:
            self.take_settings()
        seed = seed_of_step(self.seed, optimizer.steps)
        self._dirty = True
        result = self.native(batch.x, batch.y, batch.sample_weight, learning_rate=optimizer.next_rate, seed=seed)
        optimizer.steps += 1
        CHANGES.grow()  # other models with the same layers must look
        return result

    def take_settings(self) -> None:
        """Somebody has set a hyperparameter: the next step obeys it."""
        self._settings = self.optimizer.description
        self.changes += 1
        if self.optimizer.structure == self.compiled.step_structure:
            self.native.take_optimizer(self._settings)
            return
        self.sync()
        self.native = self.compiled.step(self.graph)
        self.load()

    def take_changes(self) -> None:
        """Puts what a callback has set into the step, weights and hyperparameters: to be called before `run`."""
        if self.optimizer.description is not self._settings:
            self.take_settings()
        if not self._exposed:
            return
        self._exposed = False
        if not self._seen.same(self.model.held_weights()):
            self.load()

    def expose(self) -> None:
        """Updates the model for a caller that may read or set its weights."""
        self.sync()
        self._exposed = True

    def sync(self) -> None:
        """Copies weights and optimizer state out of the step."""
        self.take_changes()
        if not self._dirty:
            return
        weights, state = self.native.weights(), self.native.optimizer_state()
        with LOCK:  # whoever copies the model from another thread gets both from before or both from after
            self.model.put_weights(weights)
            self.optimizer.keep(state)
        self._seen = self.model.held_weights()
        self._dirty = False

    def look(self) -> None:
        """Brings the layers up to date for somebody who reads or sets their weights, in whatever model."""
        if threading.get_ident() != self._thread and self.schedule is not None:
            return  # `fit` is in the middle of a step; another thread sees what it last brought up to date
        if self.schedule is None:
            self.sync()  # on Ctrl-C the session stays open: what was learnt is still there
            self.model.close_session(self)
        elif not self._exposed:
            self.expose()

    def finish(self) -> None:
        """Ends the training: the layers have the newest weights, and nobody need look here any more.

        With the optimizer's `use_ema`, the weights are then their moving averages, as in Keras.
        """
        try:
            self.sync()
            if self.optimizer.description.use_ema:
                averages = {
                    name.rpartition("/")[0]: array.copy()
                    for name, array in self.optimizer.state.items()
                    if name.endswith(f"/{AVERAGE}")
                }
                self.model.put_weights(dict(self.model.held_weights()) | averages)
        except KeyboardInterrupt:  # A second one: what was learnt stays in the step, for the first who looks.
            self.schedule = None
            raise
        except BaseException:
            self.model.hold(None)
            raise
        self.model.hold(None)

    def put(self, weights: Mapping[str, Array], state: dict[str, Array]) -> None:
        """Replaces weights and optimizer state, of the model and of the step."""
        self.model.set_weights_by_name(weights)
        self.optimizer.keep(state)
        if "iteration" not in state:
            self.optimizer.reset()
        self._exposed = False
        self.load()

    def restart(self, seed: int, epoch: int, step: int, place: Place) -> None:
        """Continues where another session stopped."""
        assert self.schedule is not None
        self.seed = seed
        self.epoch, self.step = epoch, step
        self.schedule.source.reseed(seed)
        self.schedule.resume(place)
