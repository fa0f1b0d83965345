"""What Keras' objects have and ours have not, added while Keras' tests run: variables that can be assigned, steps with given gradients."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

import depthwise
from depthwise import layers, losses, metrics
from depthwise.layers.layer import Layer
from depthwise.optimizers.optimizer import Optimizer

__all__ = ["as_keras_names_them"]


class _Weight(np.ndarray):
    """A weight that can be assigned."""

    owner: Any = None
    name: str = ""

    def assign(self, values: Any) -> None:
        names = [weight.name for weight in self.owner._needs()]
        now = dict(zip(names, self.owner.get_weights()))
        self.owner.set_weights([np.asarray(values) if name == self.name else now[name] for name in names])


_attribute = Layer.__getattr__


def _attribute_of_layer(layer: Any, name: str) -> Any:
    found = _attribute(layer, name)
    if isinstance(found, np.ndarray) and not name.startswith("_"):
        weight: Any = found.view(_Weight)
        weight.owner, weight.name = layer, name
        return weight
    return found


class _Steps:
    """Native steps of an optimizer on variables: each is the alpha of a PReLU that sees -1 and gives -alpha."""

    def __init__(self, optimizer: Any, variables: list[Any]) -> None:
        self.gradients: list[Any] = [None] * len(variables)
        shapes = [np.shape(variable.value) or (1,) for variable in variables]
        inputs = [layers.Input(shape) for shape in shapes]
        own = [layers.PReLU(name=f"variable{number}") for number in range(len(shapes))]
        outputs = [layer(tensor) for layer, tensor in zip(own, inputs)]
        self.layers, self.inputs = own, [-np.ones((1, *shape), np.float32) for shape in shapes]
        self.model = depthwise.Model(inputs, outputs)
        self.model.compile(optimizer, [self._loss(number) for number in range(len(shapes))])

    def _loss(self, number: int) -> losses.FunctionLoss:
        def value(y_true: Any, y_pred: Any) -> Any:
            return np.zeros(len(y_pred), np.float32)

        def gradient(y_true: Any, y_pred: Any) -> Any:
            # The mean over positions divides by them; a sum over the last axis does not.
            return -np.asarray(self.gradients[number], np.float32).reshape(y_pred.shape)

        return losses.FunctionLoss(value, gradient, name=f"loss{number}")

    def __call__(self, variables: list[Any], gradients: list[Any]) -> None:
        self.gradients = gradients
        for layer, variable in zip(self.layers, variables):
            layer.set_weights([np.reshape(variable.value, layer.get_weights()[0].shape)])
        self.model.train_on_batch(self.inputs, [np.zeros_like(item) for item in self.inputs])
        for layer, variable in zip(self.layers, variables):
            variable.assign(layer.get_weights()[0].reshape(np.shape(variable.value)))


_steps: "WeakKeyDictionary[Any, _Steps]" = WeakKeyDictionary()


def _apply_gradients(optimizer: Any, pairs: Any) -> None:
    gradients, variables = ([*items] for items in zip(*pairs))
    if optimizer not in _steps:
        _steps[optimizer] = _Steps(optimizer, variables)
    _steps[optimizer](variables, gradients)


@contextmanager
def as_keras_names_them() -> Iterator[None]:
    """The additions, for as long as the block runs."""
    added: list[tuple[Any, str, Any]] = [
        (metrics.Metric, "variables", property(lambda self: list(self.state))),
        (metrics.Metric, "_dtype", property(lambda self: self.dtype)),
        (Optimizer, "apply_gradients", _apply_gradients),
    ]
    for owner, name, value in added:
        setattr(owner, name, value)
    Layer.__getattr__ = _attribute_of_layer  # type: ignore[method-assign]
    try:
        yield
    finally:
        Layer.__getattr__ = _attribute  # type: ignore[method-assign]
        for owner, name, _ in added:
            delattr(owner, name)
