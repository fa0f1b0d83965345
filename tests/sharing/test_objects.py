"""Layers are objects that own their weights: shared live by every model, frozen on request, never assigned to in vain."""

import copy
import inspect
import pickle
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import depthwise
from depthwise import layers, models
from depthwise.callbacks import Callback
from depthwise.errors import InvalidArgumentError, ShapeError, UnsupportedError

X = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)
Y = np.arange(8) % 3


def chain() -> models.Sequential:
    model = models.Sequential(
        [layers.Dense(5, activation="relu", input_shape=(4,)), layers.Dense(3, activation="softmax")]
    )
    model.compile(depthwise.optimizers.SGD(0.5), "sparse_categorical_crossentropy")
    return model


def extractor(model: Any) -> models.Model:
    return models.Model(model.inputs, model.layers[0].output)


def popped(model: Any) -> models.Model:
    return models.Sequential([depthwise.Input((4,)), *model.layers[:-1]])


def added(model: Any) -> models.Model:
    new = models.Sequential([depthwise.Input((4,))])
    for layer in model.layers[:-1]:
        new.add(layer)
    return new


def on_a_new_input(model: Any) -> models.Model:
    start = depthwise.Input((4,))
    return models.Model(start, model.get_layer("dense")(start))


def inside(model: Any) -> models.Model:
    start = depthwise.Input((4,))
    return models.Model(start, extractor(model)(start))


UNSUPPORTED = {"renorm", "renorm_clipping", "renorm_momentum", "lora_rank", "lora_alpha", "quantization_config"}
WAYS = [extractor, popped, added, on_a_new_input, inside]


@pytest.mark.parametrize("way", WAYS)
def test_a_second_model_has_the_weights_of_now(way: Any) -> None:
    model = chain()
    before, second = model.get_weights(), way(model)
    assert all(np.array_equal(a, b) for a, b in zip(second.get_weights(), before))
    old = second.predict_on_batch(X)
    for step in (lambda: model.train_on_batch(X, Y), lambda: model.fit(X, Y, epochs=2, verbose=0)):
        step()
        hidden = np.maximum(X @ model.get_weights()[0] + model.get_weights()[1], 0)
        new = second.predict_on_batch(X)
        assert not np.array_equal(new, old)
        np.testing.assert_allclose(new, hidden, rtol=1e-5, atol=1e-6)
        old = new
    second.set_weights([np.zeros_like(w) for w in second.get_weights()])
    np.testing.assert_allclose(model.predict(X, verbose=0), np.broadcast_to(model.predict(X[:1], verbose=0), (8, 3)))


def test_training_two_models_in_turns_trains_the_same_weights() -> None:
    """An autoencoder and its encoder, each with an open session of `train_on_batch`."""
    model = chain()
    second = extractor(model)
    second.compile(depthwise.optimizers.SGD(0.1), "mse")
    alone = chain()
    alone.set_weights(model.get_weights())
    other = extractor(alone)
    other.compile(depthwise.optimizers.SGD(0.1), "mse")
    target = np.ones((8, 5), np.float32)
    for _ in range(3):
        model.train_on_batch(X, Y)
        second.train_on_batch(X, target)
        alone.train_on_batch(X, Y)
        other.set_weights(alone.get_weights()[:2])
        other.train_on_batch(X, target)
        assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), alone.get_weights(), strict=True))


def test_a_callback_sees_and_changes_shared_weights_while_another_model_trains() -> None:
    model = chain()
    second = extractor(model)
    seen = []

    class Watch(Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            seen.append(second.predict_on_batch(X))
            if batch == 1:
                model.layers[0].set_weights([np.zeros((4, 5)), np.zeros(5)])

    model.fit(X, Y, batch_size=2, verbose=0, callbacks=[Watch()], shuffle=False)
    assert not np.array_equal(seen[0], seen[1])
    assert np.all(seen[2] == 0)  # no gradient comes through ReLU at 0


def test_frozen_layers_do_not_move_once_compiled() -> None:
    model = chain()
    first = model.layers[0]
    before = first.get_weights()
    first.trainable = False
    assert [len(first.trainable_weights), len(first.non_trainable_weights)] == [0, 2]
    assert len(model.trainable_weights) == 2
    model.train_on_batch(X, Y)
    moved = first.get_weights()
    assert not np.array_equal(before[0], moved[0])  # as compiled
    model.compile("sgd", "sparse_categorical_crossentropy")
    last = model.layers[1].get_weights()
    model.fit(X, Y, verbose=0)
    assert np.array_equal(first.get_weights()[0], moved[0])
    assert not np.array_equal(model.layers[1].get_weights()[0], last[0])
    model.trainable = False
    model.compile("sgd", "sparse_categorical_crossentropy")
    last = model.get_weights()
    model.fit(X, Y, verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(last, model.get_weights()))
    assert model.trainable_weights == []
    model.trainable = True
    assert [layer.trainable for layer in model.layers] == [True, True]


@pytest.mark.parametrize(
    ("thing", "name", "way"),
    [
        (lambda: layers.Dense(3), "units", "make a new layer with units="),
        (lambda: layers.Dense(3), "name", "make a new layer with name="),
        (chain, "weights", "call set_weights"),
        (chain, "metrics", "give metrics= to compile"),
        (chain, "optimizer", "give optimizer= to compile"),
        (chain, "mood", "nothing would read it"),
        (lambda: chain().optimizer, "mood", "what can be set is learning_rate, weight_decay"),
        (lambda: chain().optimizer, "lr", "the name is learning_rate"),
    ],
)
def test_an_assignment_that_nothing_obeys_raises(thing: Any, name: str, way: str) -> None:
    with pytest.raises(InvalidArgumentError, match=rf"\.{name} cannot be assigned: .*{way}"):
        setattr(thing(), name, 1)


def test_trainable_must_be_a_truth_value() -> None:
    with pytest.raises(InvalidArgumentError, match="trainable must be True or False, got 1"):
        layers.Dense(3).trainable = 1  # type: ignore[assignment]


def test_a_layer_has_identity_and_its_description_is_a_value() -> None:
    first, second = layers.Conv2D(3, 2), layers.Conv2D(3, (2, 2))
    assert first != second
    assert first.description == second.description
    assert hash(first.description) == hash(second.description)
    assert first.name is None
    model = models.Sequential([depthwise.Input((5, 5, 1)), first, second])
    assert [first.name, second.name] == ["conv2d", "conv2d_1"]
    other = models.Sequential([depthwise.Input((4, 4, 3)), layers.Conv2D(3, 1), second])
    assert [layer.name for layer in other.layers] == ["conv2d", "conv2d_1"]
    assert model.get_layer("conv2d_1") is other.get_layer("conv2d_1") is second
    assert isinstance(first, layers.Conv2D)
    assert isinstance(first, layers.Layer)
    assert first.input.shape == (None, 5, 5, 1)
    assert first.output.shape == (None, 4, 4, 3)


def test_automatic_names_give_way_and_chosen_ones_do_not() -> None:
    left, right = chain(), chain()
    joined = layers.Add()([left.layers[0].output, right.layers[0].output])
    model = models.Model([left.input, right.input], joined)
    assert sorted(call.name for call in model.graph.calls) == [
        "add",
        "dense",
        "dense_1",
        "input_layer",
        "input_layer_1",
    ]
    assert model.get_layer("dense_1") is right.layers[0]
    twice = [layers.Dense(3, name="mine", input_shape=(3,)), layers.Dense(3, name="mine")]
    with pytest.raises(InvalidArgumentError, match="2 layers are named 'mine'"):
        models.Sequential(twice)


def test_a_layer_alone() -> None:
    layer = layers.Dense(3)
    assert not layer.built
    with pytest.raises(InvalidArgumentError, match="does not know its input's shape yet"):
        layer.set_weights([])
    with pytest.raises(InvalidArgumentError, match="was never called, so it has no output"):
        layer.output  # noqa: B018
    layer.build((None, 4))
    assert layer.built
    assert layer.count_params() == 15
    assert [w.shape for w in layer.weights] == [(4, 3), (3,)]
    with pytest.raises(ShapeError, match=r"the weight 'dense/bias' must have the shape \(3,\), got \(4,\)"):
        layer.set_weights([np.zeros((4, 3)), np.zeros(4)])
    with pytest.raises(ShapeError, match="has its weights for inputs of the shape"):
        layer(depthwise.Input((5,)))
    assert keras.layers.Dense.from_config(layer.get_config()).units == 3
    assert layers.Dense.from_config(layer.get_config()).description == layer.description


@pytest.mark.parametrize("name", ["Conv2D", "Dense", "BatchNormalization", "ReLU"])
def test_signatures_show_the_arguments(name: str) -> None:
    ours = inspect.signature(getattr(layers, name)).parameters
    theirs = inspect.signature(getattr(keras.layers, name)).parameters
    assert {key for key in theirs if key != "kwargs"} - UNSUPPORTED <= set(ours)
    assert getattr(layers, name).__doc__


def test_layers_of_one_s_own_are_refused_with_the_way_out() -> None:
    class Mine(layers.Layer):
        def call(self, x: Any) -> Any:
            return x

    with pytest.raises(UnsupportedError, match="Mine: layers with code of your own are not supported"):
        Mine()


def test_copies_have_weights_of_their_own() -> None:
    layer = layers.Dense(3)
    layer.build((None, 4))
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert np.array_equal(other.get_weights()[0], layer.get_weights()[0])
        other.set_weights([np.zeros((4, 3)), np.zeros(3)])
        assert layer.get_weights()[0].any()


def test_a_new_element_wise_layer_is_one_file() -> None:
    """Everything finds a layer through the files of `depthwise.layers`: no table elsewhere names an element-wise one."""
    package = Path(depthwise.__file__).parent
    places = {
        path.relative_to(package).parts[0]
        for path in package.rglob("*.py")
        if "layers.preprocessing import" in path.read_text(encoding="utf-8") and "layers" not in path.parts
    }
    # What treats a preprocessed picture specially, and the reference, which computes everything a second time.
    assert places == {"classification.py", "network", "explain", "reference"}
    assert len((package / "layers" / "preprocessing.py").read_text(encoding="utf-8").splitlines()) <= 80
