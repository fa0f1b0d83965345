"""Depthwise itself, through the public API that a user calls."""

import depthwise
from benchmarks.keras_networks import KerasNetwork
from benchmarks.models import Adam, Array
from benchmarks.protocol import Candidate, Candidates, Task


def configure(threads: int) -> None:
    """Set the number of threads."""
    depthwise.set_threads(threads)


def prepare_predict(task: Task) -> Candidates:
    """Return `predict_on_batch` of the model."""

    def predict_on_batch() -> Candidate:
        return Candidate(task.build(depthwise).predict_on_batch)

    return {"predict_on_batch": predict_on_batch}


def prepare_training(task: Task) -> Candidates:
    """Return `train_on_batch` of the compiled model."""

    def train_on_batch() -> Candidate:
        model = task.build(depthwise)
        loss = depthwise.losses.SparseCategoricalCrossentropy(from_logits=isinstance(task.network, KerasNetwork))
        model.compile(optimizer=_adam(task.optimizer), loss=loss)

        def run(batch: tuple[Array, Array]) -> float:
            return float(model.train_on_batch(*batch))

        return Candidate(run)

    return {"train_on_batch": train_on_batch}


def _adam(settings: Adam) -> object:
    return depthwise.optimizers.Adam(
        learning_rate=settings.learning_rate,
        beta_1=settings.beta_1,
        beta_2=settings.beta_2,
        epsilon=settings.epsilon,
    )
