"""The loss that a command takes for a classifier: from logits or from probabilities, decided by the whole graph."""

import numpy as np
import pytest

from depthwise import Input, Model, Sequential, layers
from depthwise.classification import class_loss
from depthwise.layers import Layer
from depthwise.network.graph import sequential

MAP = layers.Conv2D(4, 2, activation="softmax", input_shape=(3, 3, 1))
LOGITS = layers.Conv2D(4, 2, input_shape=(3, 3, 1))


@pytest.mark.parametrize(
    ("chain", "from_logits"),
    [
        ([layers.Dense(4, activation="softmax", input_shape=(3,))], False),
        ([layers.Dense(4, activation="sigmoid", input_shape=(3,))], False),
        ([layers.Dense(4, input_shape=(3,))], True),
        ([layers.Dense(4, activation="relu", input_shape=(3,))], True),
        ([layers.Dense(4, input_shape=(3,)), layers.Activation("softmax")], False),
        ([layers.Dense(4, activation="softmax", input_shape=(3,)), layers.Dropout(0.5)], False),
        ([layers.Dense(4, activation="softmax", input_shape=(3,)), layers.Activation("linear")], False),
        ([layers.Dense(4, activation="softmax", input_shape=(3,)), layers.Activation("tanh")], True),
        ([layers.Dense(4, activation="softmax", input_shape=(3,)), layers.Dense(4)], True),
        ([layers.Dense(4, activation="softmax", input_shape=(3,)), layers.BatchNormalization()], True),
        ([MAP, layers.Flatten()], False),
        ([MAP, layers.GlobalAveragePooling2D()], False),
        ([MAP, layers.GlobalMaxPooling2D(), layers.Dropout(0.1)], False),
        ([MAP, layers.AveragePooling2D(2), layers.Flatten()], False),
        ([MAP, layers.ZeroPadding2D(1), layers.MaxPooling2D(2), layers.Flatten()], False),
        ([LOGITS, layers.Flatten()], True),
        ([LOGITS, layers.GlobalAveragePooling2D()], True),
        ([layers.Flatten(input_shape=(3, 3, 1))], True),
    ],
)
def test_logits_or_probabilities(chain: list[Layer], from_logits: bool) -> None:
    assert class_loss(sequential(chain)).from_logits == from_logits


@pytest.mark.parametrize("layer", [layers.Add, layers.Concatenate])
@pytest.mark.parametrize("second", ["softmax", "linear"])
def test_every_way_to_the_output_counts(layer: type[Layer], second: str) -> None:
    start = Input(shape=(3,))
    heads = [layers.Dense(4, activation=activation)(start) for activation in ("softmax", second)]
    assert class_loss(Model(start, layer()(heads)).graph).from_logits == (second == "linear")


def test_a_tensor_added_to_itself_many_times_is_followed_once() -> None:
    """2⁶⁰ ways lead to the output."""
    start = Input(shape=(3,))
    tensor = layers.Dense(4, activation="softmax")(start)
    for _ in range(60):
        tensor = layers.Add()([tensor, layers.Dropout(0.1)(tensor)])
    assert not class_loss(Model(start, tensor).graph).from_logits


def test_flatten_behind_a_softmax_changes_no_loss() -> None:
    """An all-convolutional classifier has the loss of the same network that ends in its softmax."""
    rng = np.random.default_rng(0)
    x, y = rng.random((20, 3, 3, 1), np.float32), rng.integers(0, 4, 20)
    kernel = rng.permutation(36).reshape(3, 3, 1, 4) / 9.0 - 2.0
    found = []
    for last in (
        [layers.Conv2D(4, 3, activation="softmax"), layers.Flatten()],
        [layers.Conv2D(4, 3), layers.Flatten(), layers.Activation("softmax")],
        [layers.Conv2D(4, 3), layers.Flatten()],
    ):
        model = Sequential([Input(shape=(3, 3, 1)), *last])
        model.set_weights([kernel, np.zeros(4)])
        model.compile("sgd", class_loss(model.graph))
        found.append(model.evaluate(x, y, verbose=0))
    # Probabilities here are far from where they are clipped.
    np.testing.assert_allclose(found, found[0], rtol=1e-5)
