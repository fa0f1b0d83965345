"""A new head on a trained body: which layers it takes, and the same numbers as Keras training the whole with a frozen body."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import depthwise
from depthwise import layers, models, transfer, utils
from depthwise.errors import InvalidArgumentError, InvalidDataError, UnsupportedError

RNG = np.random.default_rng(3)
X = RNG.normal(size=(24, 8, 8, 3)).astype(np.float32)
Y = np.arange(24) % 3


def network(module: Any, classes: int = 2) -> Any:
    """A separable block with a skip connection, pooled, with a hidden dense layer; of Depthwise or Keras."""
    make = module.layers
    start = module.Input(shape=(8, 8, 3))
    tensor = make.Conv2D(6, 3, padding="same", name="stem")(start)
    inner = make.BatchNormalization(name="norm")(make.DepthwiseConv2D(3, padding="same", name="spatial")(tensor))
    tensor = make.GlobalAveragePooling2D(name="pool")(make.Add(name="add")([tensor, make.ReLU(name="relu")(inner)]))
    tensor = make.Dense(5, activation="relu", name="hidden")(tensor)
    return module.Model(start, make.Dense(classes, activation="softmax", name="classes")(tensor), name="net")


def body_and_head(theirs: Any) -> Any:
    """Keras' way: the body frozen, called with training=False."""
    body = keras.Model(theirs.input, theirs.get_layer("pool").output)
    body.trainable = False
    start = keras.Input(shape=(8, 8, 3))
    hidden = keras.layers.Dense(5, activation="relu", name="hidden")
    tensor = keras.layers.Dense(3, activation="softmax", name="classes")(hidden(body(start, training=False)))
    return keras.Model(start, tensor)


def test_the_same_numbers_as_keras_with_a_frozen_body() -> None:
    utils.set_random_seed(4)
    old = network(depthwise)
    theirs = network(keras)
    theirs.set_weights(old.get_weights())
    made = transfer.new_head(old, 3)
    body, head = transfer.split(made)
    reference = body_and_head(theirs)
    for name in ("hidden", "classes"):
        reference.get_layer(name).set_weights(made.get_layer(name).get_weights())
    reference.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
    with transfer.features(body, [(X[:10], Y[:10]), (X[10:], Y[10:])]) as (values, labels):
        head.compile(depthwise.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
        history = head.fit(values, labels, 8, 3, verbose=0, shuffle=False)
    expected = reference.fit(X, Y, batch_size=8, epochs=3, shuffle=False, verbose=0)
    np.testing.assert_allclose(history.history["loss"], expected.history["loss"], rtol=2e-5)
    for name in ("hidden", "classes"):  # the head's layers are the model's own
        for ours, its in zip(made.get_layer(name).get_weights(), reference.get_layer(name).get_weights()):
            np.testing.assert_allclose(ours, its, rtol=1e-4, atol=2e-6)
    np.testing.assert_allclose(made.predict(X), reference.predict(X, verbose=0), rtol=1e-4, atol=2e-6)
    for name in ("stem", "spatial", "norm"):
        for ours, its in zip(made.get_layer(name).get_weights(), old.get_layer(name).get_weights()):
            np.testing.assert_array_equal(ours, its)


@pytest.mark.parametrize("memory", [2**30, 100])
def test_results_of_the_body_on_the_disk_are_those_in_memory(memory: int) -> None:
    body, _ = transfer.split(network(depthwise))
    done: list[int] = []
    with transfer.features(body, [(X[:5], Y[:5]), (X[5:7], Y[5:7]), (X[7:], Y[7:])], memory, done.append) as kept:
        values, labels = np.array(kept[0]), kept[1]
        assert isinstance(kept[0], np.memmap) == (memory == 100)
    np.testing.assert_array_equal(values, body.predict(X))
    np.testing.assert_array_equal(labels, Y)
    assert done == [5, 7, 24]


def test_retraining_in_python_and_what_it_returns() -> None:
    utils.set_random_seed(4)
    old = network(depthwise)
    old.class_names = ["a", "b"]
    before = old.get_weights()
    one_hot = utils.to_categorical(Y)
    made = transfer.retrain_head(
        old, X, one_hot, ["x", "y", "z"], epochs=2, fine_tune=1, validation_data=(X, one_hot), verbose=0, memory=100
    )
    assert made.class_names == ("x", "y", "z")
    assert made.output_shape == (None, 3)
    assert set(made.history.history) == {"accuracy", "loss", "val_accuracy", "val_loss"}
    assert all(np.array_equal(a, b) for a, b in zip(before, old.get_weights()))
    data = utils.Dataset.from_tensor_slices((X, Y)).batch(8)
    data.class_names, data.pixel_scale = ["u", "v", "w"], "0..1"
    again = transfer.retrain_head(old, data, epochs=1, validation_data=data, verbose=0)
    assert (again.class_names, again.input_scale) == (("u", "v", "w"), "0..1")


def mobile(*end: Any) -> Any:
    """The ends of MobileNet and MobileNetV3: 1×1 convolutions behind pooling."""
    return models.Sequential(
        [layers.Conv2D(8, 3, input_shape=(8, 8, 3)), layers.GlobalAveragePooling2D(keepdims=True), *end]
    )


@pytest.mark.parametrize(
    ("model", "head", "kinds"),
    [
        (lambda: network(depthwise), ["hidden", "classes"], ["Dense", "Dense"]),
        (
            lambda: mobile(layers.Dropout(0.1), layers.Conv2D(4, 1), layers.Reshape((4,)), layers.Softmax()),
            ["flatten", "dropout", "conv2d_1_classes"],
            ["Flatten", "Dropout", "Dense"],
        ),
        (
            lambda: mobile(
                layers.Conv2D(9, 1, activation="relu"), layers.Dropout(0.1), layers.Conv2D(4, 1), layers.Flatten()
            ),
            ["flatten", "dropout", "conv2d_2_classes"],
            ["Flatten", "Dropout", "Dense"],
        ),
        (  # a hidden layer that is larger than the body stays
            lambda: models.Sequential(
                [
                    layers.Conv2D(2, 3, input_shape=(8, 8, 3)),
                    layers.Flatten(),
                    layers.Dense(40),
                    layers.Dense(4),
                    layers.Softmax(),
                ]
            ),
            ["dense_1"],
            ["Dense"],
        ),
    ],
    ids=["hidden layers", "MobileNet", "MobileNetV3", "a large hidden layer"],
)
def test_where_the_head_begins(model: Any, head: list[str], kinds: list[str], tmp_path: Path) -> None:
    old = model()
    made = transfer.new_head(old, 7)
    body, new = transfer.split(made)
    assert [layer.name for layer in new.layers][-len(kinds) :] == head[-len(new.layers) :]
    assert [type(layer.description).__name__ for layer in made.layers[-len(kinds) :]] == kinds
    assert made.layers[-1].description.activation == "softmax"
    both = new.predict(body.predict(X))
    np.testing.assert_allclose(both, made.predict(X), rtol=1e-5)
    kept = [w for name, w in made.weights_by_name.items() if name.split("/")[0] not in head]
    assert all(any(np.array_equal(w, o) for o in old.get_weights()) for w in kept)
    made.save(tmp_path / "a.keras")
    theirs = keras.models.load_model(tmp_path / "a.keras", compile=False)
    assert theirs.output_shape == (None, 7)


def test_what_has_no_head() -> None:
    maps = models.Sequential([layers.Conv2D(4, 3, input_shape=(8, 8, 3)), layers.GlobalAveragePooling2D()])
    with pytest.raises(UnsupportedError, match="no head that can be replaced: it must end with Dense"):
        transfer.new_head(maps, 3)
    with pytest.raises(InvalidArgumentError, match="two classes or more, got 1"):
        transfer.new_head(network(depthwise), 1)
    with pytest.raises(InvalidDataError, match="the data has none; give y"):
        transfer.retrain_head(network(depthwise), X)
