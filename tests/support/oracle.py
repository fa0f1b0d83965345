"""Real Keras, from our descriptions: the oracle."""

import dataclasses
import importlib
from typing import Any

import numpy as np

from depthwise.layers import descriptions as layers
from depthwise.layers.descriptions import InputLayer
from depthwise.layers.operation import Operation
from depthwise.network.graph import Graph
from depthwise.reference import layer as one_layer

__all__ = ["keras_layer", "keras_model", "keras_result", "set_keras_weights"]

_OURS_ALONE = ("input_shape", "dtype", "name", "shape")


def keras_layer(layer: layers.Description, name: str | None = None) -> Any:
    """Keras' own layer with the same arguments; weights as its initializers draw them.

    For RandomCrop it is the layer that computes what Keras' documentation says of its prediction: its own leaves the image whole.
    """
    if isinstance(layer, layers.RandomCrop):
        arguments = {"height": layer.height, "width": layer.width, "data_format": layer.data_format}
        return _oracle_of("Resizing").Resizing(**arguments, crop_to_aspect_ratio=True, name=name or layer.name)
    arguments = {
        field.name: getattr(layer, field.name)
        for field in dataclasses.fields(layer)
        if field.name not in _OURS_ALONE and not field.name.endswith(("_initializer", "_regularizer", "_constraint"))
    }
    if not layer.writes_trainable:
        del arguments["trainable"]
    return getattr(_oracle_of(type(layer).__name__), type(layer).__name__)(**arguments, name=name or layer.name)


def _oracle_of(name: str) -> Any:
    """The module of Keras that has the layer: ConvNeXt's own is not among `keras.layers`."""
    import keras
    from keras.src.applications import convnext

    return keras.layers if hasattr(keras.layers, name) else convnext


def keras_result(oracle: Any, inputs: Any) -> Any:
    """What a Keras layer predicts of one array or a list of them. (Called without `training`, random layers would train.)"""
    merges = type(oracle).__name__ in (
        "Add",
        "Average",
        "Concatenate",
        "Dot",
        "Maximum",
        "Minimum",
        "Multiply",
        "Subtract",
    )
    tensors = inputs if len(inputs) > 1 or merges else inputs[0]
    random = type(oracle).__name__.startswith("Random")
    return np.asarray(oracle(tensors, training=False) if random else oracle(tensors))


def set_keras_weights(keras_layer: Any, layer: layers.Description, input_shapes: Any, weights: Any) -> None:
    """Gives a built Keras layer our weights, in Keras' order."""
    keras_layer.set_weights([np.asarray(weights[name]) for name in one_layer.weight_shapes(layer, input_shapes)])
    if hasattr(keras_layer, "finalize_state"):  # Normalization computes with copies
        keras_layer.finalize_state()


def keras_model(graph: Graph, weights: Any) -> Any:
    """The graph as a functional Keras model with the same layer names, and `weights` (`node/weight`) in it."""
    import keras

    values: dict[str, Any] = {}
    for node in graph.calls:
        if isinstance(node.layer, InputLayer):
            values[node.name] = keras.Input(node.output_shape, name=node.name)
            continue
        reads = [values[name] for name in node.reads]
        if isinstance(node.layer, Operation):
            rest = iter(reads)
            arguments = [next(rest) if value is None else value for value in node.layer.arguments]
            values[node.name] = getattr(importlib.import_module(node.layer.module), type(node.layer).__name__)(
                name=node.name
            )(*arguments)
            continue
        values[node.name] = keras_layer(node.layer)(reads if len(reads) > 1 or node.layer.takes_list else reads[0])
    starts, ends = ([values[name] for name in names] for names in (graph.inputs, graph.outputs))
    model = keras.Model(starts[0] if len(starts) == 1 else starts, ends[0] if len(ends) == 1 else ends)
    for node in graph.calls:
        own = {weight.name: weights[f"{node.name}/{weight.name}"] for weight in node.weights}
        if own:
            set_keras_weights(model.get_layer(node.name), node.layer, node.facts.input_shapes, own)
    return model
