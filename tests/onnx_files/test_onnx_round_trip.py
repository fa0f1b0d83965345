"""What we write we read: the same layers, and the same bits where the order of operations is the same."""

from pathlib import Path

import numpy as np
import pytest

import depthwise
from depthwise import layers
from depthwise.models import Model, Sequential


def chain() -> Model:
    return Sequential(
        [
            layers.Conv2D(8, 3, padding="same", activation="relu", input_shape=(9, 8, 3)),
            layers.BatchNormalization(),
            layers.MaxPooling2D(2),
            layers.SeparableConv2D(6, 3, padding="same", strides=1),
            layers.GlobalAveragePooling2D(),
            layers.Dense(4, activation="softmax"),
        ]
    )


@pytest.mark.parametrize("channels_first", [False, True])
def test_a_network_comes_back(channels_first: bool, tmp_path: Path) -> None:
    model = chain()
    model.export(tmp_path / "model.onnx", channels_first=channels_first)
    back = depthwise.load_model(tmp_path / "model.onnx")
    x = np.random.default_rng(0).standard_normal((3, 9, 8, 3)).astype(np.float32)
    given = np.ascontiguousarray(np.moveaxis(x, -1, 1)) if channels_first else x
    np.testing.assert_array_equal(back.predict(given, verbose=0), model.predict(x, verbose=0))
    back.export(tmp_path / "again.onnx")
    again = depthwise.load_model(tmp_path / "again.onnx")
    np.testing.assert_array_equal(again.predict(given, verbose=0), model.predict(x, verbose=0))


ONE_OPERATOR = (
    "celu", "elu", "exponential", "hard_shrink", "hard_sigmoid", "hard_silu", "hard_tanh", "leaky_relu", "mish", "relu", "relu6", "selu",
    "sigmoid", "soft_shrink", "softplus", "softsign", "sparse_sigmoid", "tanh",
)  # fmt: skip


def test_activations_that_are_one_operator_come_back_as_layers_of_keras(tmp_path: Path) -> None:
    """So the network can be written as `.keras` again."""
    start = depthwise.Input(shape=(8,))
    model = Model(start, [layers.Activation(name)(start) for name in ONE_OPERATOR])
    model.export(tmp_path / "model.onnx", opset_version=18)
    back = depthwise.load_model(tmp_path / "model.onnx")
    back.save(tmp_path / "back.keras")
    x = np.linspace(-4, 7, 3 * 8, dtype=np.float32).reshape(3, 8)
    again = depthwise.load_model(tmp_path / "back.keras").predict(x, verbose=0)
    for name, found, expected in zip(ONE_OPERATOR, again, model.predict(x, verbose=0), strict=True):
        np.testing.assert_array_equal(found, expected, name)
