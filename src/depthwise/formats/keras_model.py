"""A live `keras.Model`, of any backend, → a model here. Keras is not imported: the model serialises itself."""

from typing import TYPE_CHECKING, Any

import numpy as np

from depthwise.errors import InvalidArgumentError, describe_value
from depthwise.formats.config import parse_model
from depthwise.formats.json_text import parse_json

if TYPE_CHECKING:
    from depthwise.models import Model

__all__ = ["from_keras"]


def from_keras(model: Any) -> "Model":
    """The same network with copies of the same weights.

    Args:
        model: a built `Sequential` or functional model of Keras 3; its backend does not matter.

    Raises:
        InvalidArgumentError: not a Keras model.
        UnsupportedError: a layer or an option that Depthwise does not have; the message names it.
    """
    from depthwise.models import Model

    if not all(callable(getattr(model, name, None)) for name in ("to_json", "get_layer", "get_weights")):
        raise InvalidArgumentError(f"from_keras takes a keras.Model, got {describe_value(type(model).__name__)}")
    what = "the Keras model"
    parsed = parse_model(parse_json(model.to_json(), what), what)
    weights = {}
    for node in parsed.graph.calls:
        if node.weights:
            arrays = model.get_layer(node.name).get_weights()
            for weight, array in zip(node.weights, arrays, strict=True):
                weights[f"{node.name}/{weight.name}"] = np.asarray(array)
    return Model.from_graph(parsed.graph, weights, parsed.output_keys)
