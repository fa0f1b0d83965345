"""torch through Keras 3, which runs it eagerly, with the images in either order of channels.

Keras' convolutions on torch transpose maps that are not channels first, so `channels_first` is the expert's choice.
"""

from typing import Any

import keras
import numpy as np
import torch

from benchmarks.models import Array
from benchmarks.protocol import Candidate, Candidates, Task

FORMATS = ("channels_first", "channels_last")


def configure(threads: int) -> None:
    """Set torch's threads."""
    torch.set_num_threads(threads)


def _model(task: Task, data_format: str, logits: bool) -> Any:
    keras.config.set_image_data_format(data_format)
    return task.build(keras, logits, channels_first=data_format == "channels_first")


def _images(images: Array, data_format: str) -> torch.Tensor:
    if data_format == "channels_first":
        images = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    return torch.from_numpy(images)


def prepare_predict(task: Task) -> Candidates:
    """Return the model called under `inference_mode`, for each order of channels."""

    def eager(data_format: str) -> Candidate:
        model = _model(task, data_format, logits=False)

        def run(images: torch.Tensor) -> Array:
            with torch.inference_mode():
                return model(images, training=False).numpy()

        return Candidate(run, lambda images: _images(images, data_format))

    return {name: lambda name=name: eager(name) for name in FORMATS}


def prepare_training(task: Task) -> Candidates:
    """Return forward, `backward` and Keras' Adam in a loop of our own, for each order of channels."""

    def training(data_format: str) -> Candidate:
        model = _model(task, data_format, logits=True)
        settings = task.optimizer
        optimizer = keras.optimizers.Adam(settings.learning_rate, settings.beta_1, settings.beta_2, settings.epsilon)
        optimizer.build(model.trainable_variables)

        def run(batch: tuple[torch.Tensor, torch.Tensor]) -> float:
            images, labels = batch
            model.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(images, training=True), labels)
            loss.backward()
            with torch.no_grad():
                gradients = [variable.value.grad for variable in model.trainable_variables]
                optimizer.apply(gradients, model.trainable_variables)
            return loss.item()

        def arrange(images: Array, labels: Array) -> tuple[torch.Tensor, torch.Tensor]:
            return _images(images, data_format), torch.from_numpy(labels).long()

        return Candidate(run, arrange)

    return {name: lambda name=name: training(name) for name in FORMATS}
