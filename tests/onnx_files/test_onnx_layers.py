"""Every layer as ONNX, computed by ONNX Runtime, against the reference."""

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

from depthwise.data.formats.onnx.writing.file import NEWEST_OPSET, OLDEST_OPSET
from depthwise.layers.descriptions import LAYERS, BatchNormalization, Concatenate, Conv2D, InputLayer
from support.onnx_runs import check_in_onnx_runtime
from support.sizes import Configuration, random_configuration

KINDS = [kind for kind in LAYERS.values() if kind is not InputLayer]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_layer(kind: Any) -> None:
    rng = np.random.default_rng(len(kind.__name__))
    check_in_onnx_runtime([random_configuration(rng, [kind]) for _ in range(12)])


@pytest.mark.parametrize("opset", [OLDEST_OPSET, 18, 20, NEWEST_OPSET])
def test_other_versions_of_the_operators(opset: int) -> None:
    rng = np.random.default_rng(opset)
    check_in_onnx_runtime([random_configuration(rng, [kind]) for kind in KINDS for _ in range(2)], opset)


def _first(configuration: Configuration) -> Configuration:
    """The same layer with its channels first."""
    layer = replace(configuration.layer, data_format="channels_first")  # type: ignore[call-arg]
    return Configuration(layer, tuple((shape[-1], *shape[:-1]) for shape in configuration.input_shapes))


def test_layers_with_their_channels_first() -> None:
    rng = np.random.default_rng(1)
    kinds = [kind for kind in KINDS if "data_format" in {field.name for field in fields(kind)}]
    check_in_onnx_runtime([_first(random_configuration(rng, [kind])) for kind in kinds for _ in range(3)])


def test_joins_and_normalisation_along_other_axes() -> None:
    layers = [BatchNormalization(axis=1), BatchNormalization(axis=2, scale=False), Conv2D(5, 3, activation="softmax")]
    configurations = [Configuration(layer, ((4, 5, 3),)) for layer in layers]
    configurations.append(Configuration(Concatenate(axis=1), ((3, 4, 5), (2, 4, 5))))
    configurations.append(Configuration(Concatenate(axis=2), ((3, 4, 1), (3, 2, 1), (3, 1, 1))))
    check_in_onnx_runtime([*configurations, _first(configurations[2])])


@pytest.mark.sweep
@pytest.mark.parametrize("seed", range(300))
def test_random_layers(seed: int) -> None:
    rng = np.random.default_rng(seed)
    opset = int(rng.integers(OLDEST_OPSET, NEWEST_OPSET, endpoint=True))
    configurations = [random_configuration(rng) for _ in range(30)]
    check_in_onnx_runtime(configurations, opset, int(rng.integers(1, 4)))
