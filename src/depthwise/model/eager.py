"""A layer called on numbers: a model of this one layer, made once for each shape."""

from typing import Any

import numpy as np

from depthwise.arrays import numeric
from depthwise.errors import InvalidDataError, UnsupportedError
from depthwise.network.symbolic import Input

__all__ = ["run_alone"]

_DIFFERENT_IN_TRAINING = ("Random", "Gaussian", "Dropout", "SpatialDropout", "AlphaDropout")


def run_alone(layer: Any, inputs: Any, model_class: Any, training: bool | None = None) -> Any:
    """The layer's output for a batch of numbers, as in prediction.

    Args:
        layer: the layer.
        inputs: an array (samples, …), or a list of such for several inputs.
        model_class: `depthwise.models.Model`.
        training: None or False.

    Raises:
        UnsupportedError: training=True, or a layer of random changes, which does nothing in prediction.
        ShapeError: the layer does not take such inputs.
    """
    kind = type(layer).__name__
    if training or (training is None and kind.startswith("Random")):
        raise UnsupportedError(
            f"{kind}: a layer called on an array computes as in prediction, where nothing is random; "
            + ("give training=False" if not training else "put it into a model, and use fit")
        )
    several = isinstance(inputs, (list, tuple)) and bool(inputs) and all(hasattr(item, "__array__") for item in inputs)
    arrays = [numeric(item, f"the input of {kind}") for item in (inputs if several else [inputs])]
    if any(array.ndim < 2 for array in arrays):
        raise InvalidDataError(
            f"{kind} takes a batch (samples, …), got the shape {arrays[0].shape}; add an axis: x[None]"
        )
    shapes = tuple(array.shape[1:] for array in arrays)
    made = layer.alone.get(shapes)
    if made is None:
        first = layer.first_output
        starts = [Input(shape=shape) for shape in shapes]
        made = layer.alone[shapes] = model_class(starts, layer(starts if several else starts[0]))
        layer.forget_call(first)
    result = made.predict_on_batch(arrays if len(arrays) > 1 else arrays[0])
    return result if isinstance(result, np.ndarray) else list(result)
