"""A live `keras.Model`, of any backend, → a saved network. Keras is not imported: the model serialises itself."""

from collections.abc import Iterator
from typing import Any

from depthwise.arrays import checked_weight
from depthwise.data.formats.config import parse_model
from depthwise.data.formats.json_text import parse_json
from depthwise.data.formats.saved import SavedNetwork
from depthwise.errors import InvalidArgumentError, describe_value
from depthwise.layers.input import InputLayer
from depthwise.layers.operation import Operation
from depthwise.network.graph import LayerPath
from depthwise.network.tree import ModelTree, inlined, with_shared

__all__ = ["read_live"]


def read_live(model: Any) -> SavedNetwork:
    """The same network with copies of the same weights; see `depthwise.models.from_keras`."""
    if not all(callable(getattr(model, name, None)) for name in ("to_json", "get_layer", "get_weights")):
        raise InvalidArgumentError(f"from_keras takes a keras.Model, got {describe_value(type(model).__name__)}")
    what = "the Keras model"
    parsed = parse_model(parse_json(model.to_json(), what), what)
    weights = {}
    tree = with_shared(parsed.tree, {path: id(_at(model, path)) for path in _members(parsed.tree, ())})
    for path, call in inlined(tree).layers.items():
        if call.weights:
            layer = _at(model, path)
            for weight, array in zip(call.weights, layer.get_weights(), strict=True):
                weights[call.key(weight.name)] = checked_weight(call.key(weight.name), weight.shape, array)
    return SavedNetwork(tree, weights)


def _at(model: Any, path: LayerPath) -> Any:
    for name in path:
        model = model.get_layer(name)
    return model


def _members(tree: ModelTree, path: LayerPath) -> Iterator[LayerPath]:
    """Where the layers and models are, but for inputs, which `Sequential` does not give, and operations, which are not layers."""
    for member in tree.members:
        if not isinstance(member, (InputLayer, Operation)):
            yield (*path, str(member.name))
        if isinstance(member, ModelTree):
            yield from _members(member, (*path, str(member.name)))
