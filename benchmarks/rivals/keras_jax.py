"""JAX through Keras 3: one `jax.jit` of the model's stateless call, and of a whole training step.

XLA's pool takes its size from the CPUs the process may use; the worker has already bound them.
"""

from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np

from benchmarks.models import Array
from benchmarks.protocol import Candidate, Candidates, Task


def configure(threads: int) -> None:
    """Nothing to set: see above."""


def prepare_predict(task: Task) -> Candidates:
    """Return the jitted model with its weights as arguments, and with its weights as constants."""

    def jitted(constant_weights: bool) -> Candidate:
        model = task.build(keras)
        weights = [variable.value for variable in model.trainable_variables]
        statistics = [variable.value for variable in model.non_trainable_variables]

        def forward(values: Any, images: Any) -> Any:
            return model.stateless_call(*values, images, training=False)[0]

        if constant_weights:
            closed = jax.jit(lambda images: forward((weights, statistics), images))
            return Candidate(lambda images: np.asarray(closed(images)), jnp.asarray)
        function = jax.jit(forward)
        return Candidate(lambda images: np.asarray(function((weights, statistics), images)), jnp.asarray)

    return {
        "jit": lambda: jitted(constant_weights=False),
        "jit, constant weights": lambda: jitted(constant_weights=True),
    }


def prepare_training(task: Task) -> Candidates:
    """Return one jitted step of forward, gradients and Adam, with its state donated."""

    def training() -> Candidate:
        model = task.build(keras, logits=True)
        settings = task.optimizer
        optimizer = keras.optimizers.Adam(settings.learning_rate, settings.beta_1, settings.beta_2, settings.epsilon)
        optimizer.build(model.trainable_variables)
        loss_function = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

        def loss(weights: Any, statistics: Any, images: Any, labels: Any) -> Any:
            logits, statistics = model.stateless_call(weights, statistics, images, training=True)
            return loss_function(labels, logits), statistics

        def step(weights: Any, statistics: Any, slots: Any, images: Any, labels: Any) -> Any:
            (value, statistics), gradients = jax.value_and_grad(loss, has_aux=True)(weights, statistics, images, labels)
            weights, slots = optimizer.stateless_apply(slots, gradients, weights)
            return weights, statistics, slots, value

        function = jax.jit(step, donate_argnums=(0, 1, 2))
        state = [
            [jnp.array(variable.value) for variable in variables]
            for variables in (model.trainable_variables, model.non_trainable_variables, optimizer.variables)
        ]

        def run(batch: tuple[Any, Any]) -> float:
            *state[:], value = function(*state, *batch)
            return float(value)

        def arrange(images: Array, labels: Array) -> tuple[Any, Any]:
            return jnp.asarray(images), jnp.asarray(labels)

        return Candidate(run, arrange)

    return {"jit": training}
