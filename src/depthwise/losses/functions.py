"""Losses as functions of labels and predictions: the loss of every position, in an array, as Keras' functions give it."""

import inspect
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np

from depthwise.losses.base import Array, Loss, per_sample

__all__ = ["as_function", "class_of"]

_OF_COMPILE = ("reduction", "name", "dtype")


def as_function(cls: type[Loss], name: str) -> Callable[..., Array]:
    """A function (y_true, y_pred, …) with the loss's own arguments, in their order.

    >>> from depthwise.losses import Huber
    >>> as_function(Huber, "huber")([[0.0], [0.0]], [[1.0], [3.0]], delta=2.0).tolist()
    [0.5, 4.0]
    """
    own = [item for item in fields(cls) if item.name not in _OF_COMPILE]
    either = inspect.Parameter.POSITIONAL_OR_KEYWORD
    signature = inspect.Signature(
        [
            inspect.Parameter("y_true", either),
            inspect.Parameter("y_pred", either),
            *(inspect.Parameter(item.name, either, default=item.default) for item in own),
        ]
    )

    def function(*arguments: Any, **keywords: Any) -> Array:
        given = dict(signature.bind(*arguments, **keywords).arguments)
        labels, predictions = np.asarray(given.pop("y_true")), np.asarray(given.pop("y_pred"))
        loss = cls(**given)
        if predictions.ndim == 1 and not loss.axes_may_be_several:  # as in Keras: one position, not a batch of them
            return np.asarray(per_sample(loss, labels.reshape(1, -1)[:, : predictions.size], predictions[None])[0])
        return per_sample(loss, labels, predictions)

    function.__name__ = function.__qualname__ = name
    function.__module__ = "depthwise.losses"
    function.__doc__ = (
        f"The loss of every position, as an array; see `{cls.__name__}`.\n\n    {(cls.__doc__ or '').splitlines()[0]}"
    )
    function.__signature__ = signature  # type: ignore[attr-defined]
    function.loss = cls  # type: ignore[attr-defined]
    return function


def class_of(function: Any) -> type[Loss] | None:
    """The loss whose function it is; None for any other function."""
    found = getattr(function, "loss", None)
    return found if inspect.isfunction(function) and isinstance(found, type) and issubclass(found, Loss) else None
