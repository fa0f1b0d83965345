"""What `compile` leaves on a model: loss, optimizer in use, metrics; and, while `fit` runs, the native step."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np

from depthwise import metrics as metric_names
from depthwise import optimizers
from depthwise.errors import InvalidArgumentError, describe_value
from depthwise.layers.store import LOCK
from depthwise.network.graph import Graph
from depthwise.optimizers import Optimizer, OptimizerDescription
from depthwise.training.activities import activities, with_activities
from depthwise.training.metric_set import MetricSet
from depthwise.training.outputs import TrainedOutput, flat_metrics, loss_structure, trained_outputs

__all__ = ["Compiled", "StepResult", "TrainStep", "make_step"]

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


class StepResult(Protocol):
    """What a step reports about the batch, from before the update."""

    @property
    def all_losses(self) -> tuple[Array | None, ...]:
        """Of each output float32 (batch,), or (batch, …) for an output (…, channels); unweighted. None without a loss."""

    @property
    def all_predictions(self) -> tuple[Array, ...]:
        """Of each output float32 (batch, …)."""

    @property
    def penalty(self) -> float:
        """What the weights' regularizers add to the loss."""


class TrainStep(Protocol):
    """What `depthwise.runtime.training_step.TrainingStep` is to the loop."""

    def load(self, weights: Mapping[str, Array], optimizer_state: Mapping[str, Array]) -> None: ...

    def __call__(
        self,
        x: tuple[Array, ...],
        y: tuple[Array | None, ...],
        sample_weight: tuple[Array | None, ...],
        *,
        learning_rate: float,
        seed: int,
    ) -> StepResult: ...

    def take_optimizer(self, description: OptimizerDescription) -> None: ...

    def weights(self) -> dict[str, Array]: ...

    def optimizer_state(self) -> dict[str, Array]: ...


def make_step(graph: Graph, outputs: Sequence[TrainedOutput], optimizer: Optimizer) -> TrainStep:
    """The native training step: the one place where the loop gets it from."""
    from depthwise.compiler.lower import lower
    from depthwise.runtime.training_step import TrainingStep  # generates and compiles code: not before it is needed

    losses, weights = [output.loss for output in outputs], [output.weight for output in outputs]
    found = activities(graph)
    program = lower(with_activities(graph, found) if found else graph, training=True)
    penalties = [(item.loss, item.weight) for item in found]
    step: TrainStep = TrainingStep(program, losses, optimizer, weights, penalties)
    return step


class Compiled:
    """The result of `compile`.

    Args:
        optimizer, loss, loss_weights, metrics, weighted_metrics: as `keras.Model.compile` takes them.

    Attributes:
        optimizer: the optimizer: the object that was given, where it was one.
        loss: the loss's description; a list or a dict of such where it was given as one, None where no loss was given.
        loss_weights, metrics, weighted_metrics: as they were given.
        training: what stands for the one training that runs, None outside of `fit` and `train_on_batch`.
        session: the training that `fit` runs, None outside of it.
        step_structure: what the optimizer's `structure` was when the native step was made.
        trainable: what each layer's `trainable` was when the model was compiled.
    """

    def __init__(
        self, optimizer: Any, loss: Any, loss_weights: Any = None, metrics: Any = None, weighted_metrics: Any = None
    ) -> None:
        self.loss = loss_structure(loss)
        self.loss_weights = loss_weights
        self.optimizer = optimizers.get(optimizer)
        self.metrics = _structure("metrics", metrics)
        self.weighted_metrics = _structure("weighted_metrics", weighted_metrics)
        self.training: object = None
        self.session: Any = None
        self.trainable: Mapping[Any, bool] = {}
        self._graph_of: tuple[Graph, Graph] | None = None
        self._step: TrainStep | None = None
        self._step_graph: Graph | None = None
        self.step_structure: tuple[object, ...] = ()
        self._metric_set: tuple[Graph, MetricSet] | None = None
        self._metrics_taken: object = None
        for identifier in (*flat_metrics(self.metrics), *flat_metrics(self.weighted_metrics)):
            if not (isinstance(identifier, str) and identifier.lower() in ("accuracy", "acc")):
                metric_names.get(identifier)  # an unknown one is refused now, not when `fit` is called

    def __getstate__(self) -> dict[str, Any]:
        """For copies and pickles: what `compile` was told and what the optimizer knows; native code is made anew."""
        return {name: None if name in _MADE_ANEW else value for name, value in vars(self).items()}

    def graph(self, model: Any) -> Graph:
        """The model's graph with `trainable` as it was at `compile`; the same object as long as nothing changes."""
        now = model.graph
        if self._graph_of is None or self._graph_of[0] is not now:
            self._graph_of = (now, model.training_graph(self.trainable))
        return self._graph_of[1]

    def metric_set(self, graph: Graph) -> MetricSet:
        """Losses and metrics for the network: "accuracy" is what it means there.

        Raises:
            ShapeError: an output does not fit its loss.
            InvalidArgumentError: losses, weights or metrics do not fit the network's outputs.
        """
        made = self._metric_set
        if made is None or made[0] is not graph:
            outputs = trained_outputs(graph, self.loss, self.loss_weights, self.metrics, self.weighted_metrics)
            made = self._metric_set = graph, MetricSet(outputs)
        return made[1]

    @contextlib.contextmanager
    def metrics_of_call(self, graph: Graph) -> Iterator[MetricSet]:
        """`metric_set` for one call of `fit`, `evaluate` or their like, which nobody else changes until the call has ended.

        A second call meanwhile, from another thread or from a callback, gets a copy. The metric objects that `compile` was given
        show what the first one saw, as in Keras.
        """
        metrics, call = self.metric_set(graph), object()
        try:
            with LOCK:
                if self._metrics_taken is None:
                    self._metrics_taken = call
            yield metrics if self._metrics_taken is call else metrics.copied()
        finally:
            if self._metrics_taken is call:
                self._metrics_taken = None

    def outputs(self, graph: Graph) -> tuple[TrainedOutput, ...]:
        """What is asked of each of the network's outputs; raises what `metric_set` does."""
        return self.metric_set(graph).outputs

    def step(
        self, graph: Graph, factory: Callable[[Graph, Sequence[TrainedOutput], Optimizer], TrainStep] | None = None
    ) -> TrainStep:
        """The native step for the network, made once; what the optimizer knows is dropped when the network changed."""
        structure = self.optimizer.structure
        if self._step is None or self._step_graph is not graph or self.step_structure != structure:
            self._step = (factory or make_step)(graph, self.outputs(graph), self.optimizer)
            if self._step_graph is not None and self._step_graph != graph:
                self.optimizer.reset()
            self._step_graph, self.step_structure = graph, structure
        else:
            self._step.take_optimizer(self.optimizer.description)
        return self._step


_MADE_ANEW = ("training", "session", "_graph_of", "_step", "_step_graph", "_metric_set", "_metrics_taken")


def _structure(name: str, value: Any) -> Any:
    """A list or a dict of metrics."""
    if value is None:
        return []
    if not isinstance(value, (Sequence, Mapping)) or isinstance(value, str):
        raise InvalidArgumentError(
            f"compile: {name} must be a list, for example ['accuracy'], got {describe_value(value)}"
        )
    return dict(value) if isinstance(value, Mapping) else list(value)
