"""A live `keras.Model`, of any backend, → a saved network. Keras is not imported: the model serialises itself."""

from typing import Any

from depthwise.arrays import checked_weight
from depthwise.data.formats.config import parse_model
from depthwise.data.formats.json_text import parse_json
from depthwise.data.formats.saved import SavedNetwork
from depthwise.errors import InvalidArgumentError, describe_value

__all__ = ["read_live"]


def read_live(model: Any) -> SavedNetwork:
    """The same network with copies of the same weights; see `depthwise.models.from_keras`."""
    if not all(callable(getattr(model, name, None)) for name in ("to_json", "get_layer", "get_weights")):
        raise InvalidArgumentError(f"from_keras takes a keras.Model, got {describe_value(type(model).__name__)}")
    what = "the Keras model"
    parsed = parse_model(parse_json(model.to_json(), what), what)
    weights = {}
    for path, call in parsed.graph.layers.items():
        if call.weights:
            layer = model
            for name in path:
                layer = layer.get_layer(name)
            for weight, array in zip(call.weights, layer.get_weights(), strict=True):
                weights[call.key(weight.name)] = checked_weight(call.key(weight.name), weight.shape, array)
    return SavedNetwork(parsed.tree, weights)
