"""Depthwise itself, through the public API that a user calls."""

import depthwise
from benchmarks.models import Adam, Array, build
from benchmarks.protocol import Candidate, Candidates, Task


def configure(threads: int) -> None:
    """Set the number of threads."""
    depthwise.set_threads(threads)


def prepare_predict(task: Task) -> Candidates:
    """Return `predict_on_batch` of the model."""

    def predict_on_batch() -> Candidate:
        model = build(task.network, depthwise)
        model.set_weights(task.weights)
        return Candidate(model.predict_on_batch)

    return {"predict_on_batch": predict_on_batch}


def prepare_training(task: Task) -> Candidates:
    """Return `train_on_batch` of the compiled model."""

    def train_on_batch() -> Candidate:
        model = build(task.network, depthwise)
        model.set_weights(task.weights)
        model.compile(optimizer=_adam(task.optimizer), loss="sparse_categorical_crossentropy")

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
