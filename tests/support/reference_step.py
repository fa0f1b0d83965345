"""A training step made of the float64 reference: what the loop does is tested without native code."""

from types import SimpleNamespace
from typing import Any

import numpy as np

from depthwise import layers, models
from depthwise.losses import per_sample
from depthwise.reference import network
from depthwise.reference.losses import loss_gradient


class ReferenceStep:
    """A training step in float64: SGD with momentum, or Adam. It keeps its own copies, as the native one does."""

    def __init__(self, graph: Any, outputs: Any, optimizer: Any) -> None:
        self.graph, self.outputs, self.optimizer = graph, outputs, optimizer
        self.calls: list[SimpleNamespace] = []

    def load(self, weights: Any, optimizer_state: Any) -> None:
        self._weights = {name: np.array(array, dtype=np.float64) for name, array in weights.items()}
        self._state = {name: np.array(array, dtype=np.float64) for name, array in optimizer_state.items()}

    def __call__(self, x: Any, y: Any, sample_weight: Any, learning_rate: Any, seed: Any) -> Any:
        self.calls.append(SimpleNamespace(x=[a.copy() for a in x], y=y, learning_rate=learning_rate, seed=seed))
        assert all(array.dtype == np.float32 and array.flags.c_contiguous for array in x)
        with np.errstate(all="ignore"):
            values = network.forward(self.graph, self._weights, x, training=True)
            predictions = tuple(values[name].astype(np.float32) for name in self.graph.outputs)
            start: dict[str, Any] = {}
            losses: list[Any] = []
            for name, output, labels, share in zip(self.graph.outputs, self.outputs, y, sample_weight, strict=True):
                if output.loss is None:
                    losses.append(None)
                    continue
                assert labels.dtype == (np.int32 if output.sparse else np.float32)
                gradient = output.weight * loss_gradient(output.loss, labels, values[name], share)
                start[name] = start.get(name, 0.0) + gradient
                losses.append(per_sample(output.loss, labels, values[name]).astype(np.float32))
            found, _ = network.gradients_from(self.graph, self._weights, values, start)
            self._weights.update(network.moving_statistics(self.graph, self._weights, values))
            self._update(found, learning_rate)
            # What goes from step to step is float32, as in the native one.
            self._weights = {name: array.astype(np.float32).astype(np.float64) for name, array in self._weights.items()}
            return SimpleNamespace(all_losses=tuple(losses), all_predictions=predictions, penalty=0.0)

    def _update(self, gradients: Any, rate: Any) -> None:
        step = self._state["iteration"] = self._state.get("iteration", np.zeros(())) + 1
        for name, g in gradients.items():
            if type(self.optimizer).__name__ == "SGD":
                m = self._slot(name, "momentum")
                m *= self.optimizer.momentum
                m -= rate * g
                self._weights[name] = self._weights[name] + m
            elif type(self.optimizer).__name__ == "Adam":
                m, v = self._slot(name, "momentum"), self._slot(name, "velocity")
                m += (g - m) * (1 - self.optimizer.beta_1)
                v += (g * g - v) * (1 - self.optimizer.beta_2)
                alpha = rate * np.sqrt(1 - self.optimizer.beta_2**step) / (1 - self.optimizer.beta_1**step)
                self._weights[name] = self._weights[name] - alpha * m / (np.sqrt(v) + self.optimizer.epsilon)
            else:
                raise NotImplementedError(self.optimizer)

    def _slot(self, name: Any, slot: Any) -> Any:
        return self._state.setdefault(f"{name}/{slot}", np.zeros_like(self._weights[name]))

    def take_optimizer(self, description: Any) -> None:
        self.optimizer = description

    def weights(self) -> Any:
        with np.errstate(over="ignore"):
            return {name: array.astype(np.float32) for name, array in self._weights.items()}

    def optimizer_state(self) -> Any:
        return {name: np.array(array) for name, array in self._state.items()}


def dense_model(inputs: int = 4, classes: int = 3, activation: str = "softmax") -> Any:
    """Softmax regression: the smallest network that learns."""
    return models.Sequential([layers.Dense(classes, activation=activation, input_shape=(inputs,))])


def data(samples: int = 50, inputs: int = 4, classes: int = 3, seed: int = 0) -> Any:
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(samples, inputs)).astype(np.float32)
    return x, (x @ generator.normal(size=(inputs, classes))).argmax(axis=1)
