"""Depthwise and separable layers with strides and dilation both above 1, as Keras computes them."""

import itertools
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from depthwise import layers, models, optimizers
from depthwise.compiler.lower import lower
from depthwise.errors import UnsupportedError
from depthwise.explain.facts import network_facts
from depthwise.layers import descriptions
from depthwise.network.graph import sequential
from depthwise.network.twins import ordinary_twin
from depthwise.reference import bounds
from depthwise.runtime.prediction import Prediction
from support.gates import error_gate
from support.keras_steps import compare_steps
from support.oracle import keras_layer, set_keras_weights
from support.sizes import draw_inputs, draw_weights

KINDS: dict[str, Any] = {
    "depthwise": descriptions.DepthwiseConv2D,
    "separable": lambda *args, **options: descriptions.SeparableConv2D(5, *args, **options),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("padding", ["valid", "same"])
def test_against_keras(kind: str, padding: str) -> None:
    rng = np.random.default_rng(4)
    for strides, dilation, multiplier in itertools.product([(2, 2), (2, 3), (3, 1)], [(2, 2), (3, 2), (1, 2)], [1, 2]):
        window = {"strides": strides, "dilation_rate": dilation, "padding": padding, "depth_multiplier": multiplier}
        layer, shape = KINDS[kind]((3, 2), **window), (9, 8, 3)
        graph = sequential([descriptions.InputLayer(shape=shape), layer])
        own, xs = draw_weights(rng, layer, [shape]), draw_inputs(rng, [shape], 2)
        prediction = Prediction(lower(graph))
        prediction.load({f"{graph.outputs[0]}/{name}": value for name, value in own.items()})
        (y,) = prediction(tuple(xs))
        oracle = keras_layer(layer)
        oracle.build((None, *shape))
        set_keras_weights(oracle, layer, [shape], own)
        error_gate(y, np.asarray(oracle(xs[0])), 2.0 * bounds.layer_error(layer, own, xs), str(layer))


@pytest.mark.parametrize("kind", KINDS)
def test_three_steps(kind: str) -> None:
    graph = sequential(
        [
            descriptions.Conv2D(4, 2, input_shape=(9, 8, 2)),
            KINDS[kind](3, strides=2, dilation_rate=2, padding="same"),
            descriptions.Flatten(),
            descriptions.Dense(3, activation="softmax"),
        ]
    )
    compare_steps(graph, optimizers.SGD(0.05), 5, steps=3)


def test_files_explanations_and_twins(tmp_path: Path) -> None:
    model = models.Sequential(
        [
            layers.DepthwiseConv2D(3, strides=2, dilation_rate=2, padding="same", input_shape=(13, 12, 2)),
            layers.SeparableConv2D(4, 3, strides=2, dilation_rate=2, name="separable"),
        ]
    )
    model.save(tmp_path / "ours.keras")
    x = np.random.default_rng(0).standard_normal((2, 13, 12, 2)).astype(np.float32)
    theirs = keras.models.load_model(tmp_path / "ours.keras").predict(x, verbose=0)
    deviation = bounds.network_deviations(model.graph, model.weights_by_name, (x,))[model.graph.outputs[0]]
    error_gate(model.predict(x, verbose=0), theirs, 16.0 * deviation)
    ordinary = network_facts(model.graph)["layers"][-1]["separable"]["ordinary"]
    assert (ordinary["kind"], ordinary["output_shape"]) == ("Conv2D", list(model.output_shape[1:]))
    with pytest.raises(
        UnsupportedError, match=r"has strides \(2, 2\) and dilation_rate \(2, 2\), so the network has no"
    ):
        ordinary_twin(model.graph)


def test_conv2d_refuses_both_as_keras_does() -> None:
    with pytest.raises(UnsupportedError, match=r"cannot be combined \(Keras refuses it too\); set one of them to 1"):
        layers.Conv2D(2, 3, strides=2, dilation_rate=2)
    with pytest.raises(ValueError, match="strides > 1"):
        keras.layers.Conv2D(2, 3, strides=2, dilation_rate=2)
