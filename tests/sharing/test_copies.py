"""Copies and pickles at any time: the same predictions, the same next training step, nothing shared that should not be."""

import copy
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import depthwise
from depthwise import layers, optimizers
from depthwise.callbacks import Callback, LambdaCallback

COPIES: dict[str, Callable[[Any], Any]] = {
    "pickle": lambda value: pickle.loads(pickle.dumps(value)),
    "deepcopy": copy.deepcopy,
}
X = np.random.default_rng(0).normal(size=(12, 6, 6, 1)).astype(np.float32)
Y = np.arange(12) % 3


def network(optimizer: Any = "adam") -> Any:
    x = depthwise.Input(shape=(6, 6, 1))
    a = layers.Conv2D(4, 3, padding="same", activation="relu")(x)
    b = layers.Conv2D(4, 3, padding="same")(a)
    y = layers.Dense(3, activation="softmax")(layers.Dropout(0.3)(layers.Flatten()(layers.Add()([a, b]))))
    model = depthwise.Model(x, y)
    if optimizer is not None:
        model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def before_use() -> Any:
    return network(None)


def compiled() -> Any:
    return network()


def predicted() -> Any:
    model = network(None)
    model.predict(X, verbose=0)
    return model


def trained() -> Any:
    model = network(optimizers.SGD(0.1, momentum=0.9))
    model.fit(X, Y, epochs=2, batch_size=4, verbose=0)
    model.predict(X, verbose=0)
    return model


def trained_on_batches() -> Any:
    model = network()
    model.train_on_batch(X, Y)
    model.train_on_batch(X, Y)
    return model


def sequential() -> Any:
    model = depthwise.Sequential([layers.Conv2D(2, 3, input_shape=(6, 6, 1)), layers.Flatten(), layers.Dense(3)])
    model.compile("rmsprop", "mse")
    model.predict(X, verbose=0)
    return model


def nested() -> Any:
    encoder = depthwise.Sequential([depthwise.Input(shape=(6, 6, 1)), layers.Flatten(), layers.Dense(4)])
    x = depthwise.Input(shape=(6, 6, 1))
    model = depthwise.Model(x, layers.Add()([encoder(x), encoder(x)]))
    model.compile("sgd", "mse")
    model.train_on_batch(X, np.zeros((12, 4)))
    return model


MODELS = [before_use, compiled, predicted, trained, trained_on_batches, sequential, nested]


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("make", MODELS)
def test_a_copy_predicts_the_same(make: Callable[[], Any], copied: Callable[[Any], Any]) -> None:
    model = make()
    twin = copied(model)
    assert type(twin) is type(model)
    assert twin.name == model.name
    assert [layer.name for layer in twin.layers] == [layer.name for layer in model.layers]
    np.testing.assert_array_equal(twin.predict(X, verbose=0), model.predict(X, verbose=0))
    changed = [array + 1 for array in twin.get_weights()]
    twin.set_weights(changed)
    assert not any(np.array_equal(a, b) for a, b in zip(model.get_weights(), twin.get_weights()))


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("make", [trained, trained_on_batches, compiled])
def test_a_copy_goes_on_training_as_the_original(make: Callable[[], Any], copied: Callable[[Any], Any]) -> None:
    """The optimizer's memory travels: without it the third step would be another one."""
    model = make()
    twin = copied(model)
    assert twin.optimizer.iterations == model.optimizer.iterations
    for network in (model, twin):
        depthwise.utils.set_random_seed(4)
        network.fit(X, Y, epochs=2, batch_size=5, verbose=0)
    for mine, other in zip(model.get_weights(), twin.get_weights()):
        np.testing.assert_array_equal(mine, other)
    assert model.optimizer.iterations == twin.optimizer.iterations


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
def test_parts_of_a_copy_connect_to_new_models(copied: Callable[[Any], Any]) -> None:
    model = copied(trained())
    part = depthwise.Model(model.input, model.layers[1].output)
    assert part.predict(X, verbose=0).shape == (12, 6, 6, 4)
    np.testing.assert_array_equal(part.get_weights()[0], model.get_weights()[0])


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
def test_models_copied_together_still_share_their_layers(copied: Callable[[Any], Any]) -> None:
    x = depthwise.Input(shape=(6,))
    code = layers.Dense(2)(x)
    autoencoder, encoder = depthwise.Model(x, layers.Dense(6)(code)), depthwise.Model(x, code)
    autoencoder.compile(optimizers.SGD(0.1), "mse")
    copies = copied({"encoder": encoder, "autoencoder": autoencoder})
    data = X[:, :, 0, 0]
    copies["autoencoder"].fit(data, data, epochs=1, verbose=0)
    np.testing.assert_array_equal(copies["encoder"].get_weights()[0], copies["autoencoder"].get_weights()[0])
    assert not np.array_equal(encoder.get_weights()[0], copies["encoder"].get_weights()[0])
    both = depthwise.Model(copies["autoencoder"].input, copies["autoencoder"].layers[1].output)
    np.testing.assert_array_equal(both.predict(data, verbose=0), copies["encoder"].predict(data, verbose=0))


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
def test_a_layer_alone(copied: Callable[[Any], Any]) -> None:
    model = trained()
    layer = copied(model.layers[1])
    assert layer.name == model.layers[1].name
    assert layer.built
    np.testing.assert_array_equal(layer.get_weights()[0], model.layers[1].get_weights()[0])
    layer.set_weights([array * 0 for array in layer.get_weights()])
    assert model.layers[1].get_weights()[0].any()
    with pytest.raises(ValueError, match="was never called"):
        layer.output  # noqa: B018


def test_a_chain_without_a_shape() -> None:
    chain = depthwise.Sequential([layers.Dense(2)])
    twin = pickle.loads(pickle.dumps(chain))
    assert not twin.built
    twin.add(layers.Dense(3))
    twin.build((None, 4))
    assert twin.output_shape == (None, 3)


def test_a_very_deep_network_is_copied() -> None:
    x = y = depthwise.Input(shape=(2,))
    for _ in range(1500):
        y = layers.Activation("relu")(y)
    assert len(pickle.loads(pickle.dumps(depthwise.Model(x, y))).layers) == 1501


def test_a_callback_can_pickle_the_model() -> None:
    model = network(optimizers.SGD(0.1, momentum=0.9))
    kept: list[Any] = []
    model.fit(
        X,
        Y,
        epochs=1,
        batch_size=4,
        verbose=0,
        callbacks=[LambdaCallback(on_train_batch_end=lambda batch, logs: kept.append(pickle.dumps(model)))],
    )
    twins = [pickle.loads(item) for item in kept]
    assert [twin.optimizer.iterations for twin in twins] == [1, 2, 3]
    for mine, other in zip(model.get_weights(), twins[-1].get_weights()):
        np.testing.assert_array_equal(mine, other)


def test_another_thread_gets_a_whole_state() -> None:
    """A copy made during `fit` holds weights, the optimizer's memory and its steps of one moment: at the end of an epoch."""
    model = network(optimizers.SGD(0.05, momentum=0.9))
    steps, seen = 3, {0: model.get_weights()}
    middle, copied = threading.Event(), threading.Event()

    class Pause(Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            seen[epoch * steps] = self.model.get_weights()

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if batch == 1:
                middle.set()
                assert copied.wait(60)
                copied.clear()

    thread = threading.Thread(
        target=lambda: model.fit(X, Y, epochs=4, batch_size=4, verbose=0, shuffle=False, callbacks=[Pause()])
    )
    thread.start()
    twins = []
    for _ in range(4):
        assert middle.wait(60)
        middle.clear()
        twins.append(pickle.loads(pickle.dumps(model)))
        copied.set()
    thread.join()
    assert [twin.optimizer.iterations for twin in twins] == [0, 3, 6, 9]
    for twin in twins:
        for mine, other in zip(twin.get_weights(), seen[twin.optimizer.iterations]):
            np.testing.assert_array_equal(mine, other)


def test_history_and_failed_copies() -> None:
    model = trained()
    history = pickle.loads(pickle.dumps(model.history))
    assert history.history == model.history.history
    model.history.own = threading.Lock()
    with pytest.raises(TypeError, match="cannot pickle"):
        pickle.dumps(model)
    assert np.isfinite(model.predict(X, verbose=0)).all()


def test_a_new_process_reads_the_pickle(tmp_path: Path) -> None:
    """What `spawn`, joblib and process pools do."""
    model = trained()
    np.save(tmp_path / "x.npy", X)
    (tmp_path / "model.pickle").write_bytes(pickle.dumps(model))
    program = (
        "import pickle, numpy as np; m = pickle.load(open('model.pickle', 'rb')); "
        "np.save('y.npy', m.predict(np.load('x.npy'), verbose=0))"
    )
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True)
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), model.predict(X, verbose=0))
