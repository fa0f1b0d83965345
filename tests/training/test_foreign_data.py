"""Data as scripts have it: loaders and tensors of other frameworks, lists, matrices, dicts with more in them than is read."""

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pytest

import depthwise
from depthwise import layers
from depthwise.errors import InvalidDataError

X = np.random.default_rng(0).normal(size=(14, 6)).astype(np.float32)
Y = np.arange(14) % 3


class Tensor:
    """What tensors of other frameworks have in common."""

    def __init__(self, values: Any) -> None:
        self.values = np.asarray(values)
        self.shape, self.ndim, self.dtype = self.values.shape, self.values.ndim, "own.float32"

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: Any) -> "Tensor":
        return Tensor(self.values[index])

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return np.asarray(self.values, dtype=dtype)


class Loader:
    """As a DataLoader of PyTorch: a length and an iterator, no access by number; each batch is a list of tensors."""

    def __init__(self, batch: Callable[[Any, Any], Any] = lambda x, y: [Tensor(x), Tensor(y)], size: int = 4) -> None:
        self.batch, self.size, self.passes = batch, size, 0

    def __len__(self) -> int:
        return -(-len(X) // self.size)

    def __iter__(self) -> Iterator[Any]:
        self.passes += 1
        for start in range(0, len(X), self.size):
            yield self.batch(X[start : start + self.size], Y[start : start + self.size])


class Endless(Loader):
    """A loader of an endless data set: asking for its length raises."""

    def __len__(self) -> int:
        raise TypeError("endless")


def model(framework: Any = depthwise) -> Any:
    network = framework.Sequential([framework.Input(shape=(6,)), framework.layers.Dense(3, activation="softmax")])
    rng = np.random.default_rng(1)
    network.set_weights([rng.normal(size=(6, 3)).astype(np.float32), np.zeros(3, np.float32)])
    network.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return network


def batches() -> Iterator[Any]:
    while True:
        for start in range(0, len(X), 4):
            yield X[start : start + 4], Y[start : start + 4]


@pytest.mark.parametrize("kind", [Loader, Endless])
@pytest.mark.parametrize("form", [lambda x, y: [Tensor(x), Tensor(y)], lambda x, y: (x, y), lambda x, y: [[x], y]])
def test_loaders(kind: Any, form: Any) -> None:
    ours, theirs = model(), model(keras)
    loader = kind(form)
    history = ours.fit(loader, epochs=3, verbose=0, validation_data=kind(form))
    expected = theirs.fit(
        batches(),
        shuffle=False,
        epochs=3,
        steps_per_epoch=4,
        verbose=0,
        validation_data=(X, Y),
        validation_batch_size=4,
    )
    assert list(history.history) == list(expected.history)
    for name, values in expected.history.items():
        np.testing.assert_allclose(history.history[name], values, rtol=2e-5, atol=1e-6)
    assert loader.passes == 3
    np.testing.assert_allclose(
        ours.evaluate(loader, verbose=0), theirs.evaluate(X, Y, batch_size=4, verbose=0), rtol=2e-5
    )
    np.testing.assert_allclose(ours.predict(kind(form), verbose=0), theirs.predict(X, verbose=0), rtol=2e-5, atol=1e-7)


def test_a_list_of_two_inputs_is_not_taken_for_a_pair() -> None:
    a, b = depthwise.Input(shape=(6,)), depthwise.Input(shape=(6,))
    network = depthwise.Model([a, b], layers.Add()([a, b]))
    given = (item for item in [[X[:2], X[2:4]], ([X[:2], X[:2]], Y[:2]), [[X[:2], X[:2]], Y[:2]]])
    result = network.predict(given, verbose=0)
    np.testing.assert_allclose(result, np.concatenate([X[:2] + X[2:4], 2 * X[:2], 2 * X[:2]]))


@pytest.mark.parametrize("x", [Tensor(X), [X], X.tolist(), X.astype(np.float64), np.asmatrix(X)])
@pytest.mark.parametrize("y", [Tensor(Y), Y.tolist(), Y[:, None], np.asmatrix(Y).T])
def test_arrays_of_any_kind(x: Any, y: Any) -> None:
    ours, expected = model(), model()
    ours.fit(x, y, epochs=2, verbose=0, shuffle=False)
    expected.fit(X, Y, epochs=2, verbose=0, shuffle=False)
    for mine, other in zip(ours.get_weights(), expected.get_weights()):
        np.testing.assert_array_equal(mine, other)
    np.testing.assert_array_equal(ours.predict(x, verbose=0), expected.predict(X, verbose=0))


def test_more_in_a_dict_than_the_network_reads() -> None:
    start = depthwise.Input(shape=(6,), name="pixels")
    network = depthwise.Model(start, layers.Dense(2)(start))
    np.testing.assert_array_equal(
        network.predict({"pixels": X, "file": X[:, :1]}, verbose=0), network.predict(X, verbose=0)
    )
    with pytest.raises(ValueError, match="'pixels', got 'file'"):
        network.predict({"file": X}, verbose=0)


def test_a_tensor_that_keeps_its_gradient() -> None:
    class Guarded(Tensor):
        def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.")

    with pytest.raises(InvalidDataError, match=r"detach\(\)"):
        model().predict(Guarded(X), verbose=0)


@pytest.mark.parametrize("steps", [2, 3])
def test_generators_go_on_where_the_epoch_before_stopped(steps: int) -> None:
    ours, theirs = model(), model(keras)
    for network in (ours, theirs):
        network.fit(batches(), epochs=4, steps_per_epoch=steps, shuffle=False, verbose=0)
    for mine, other in zip(ours.get_weights(), theirs.get_weights()):
        np.testing.assert_allclose(mine, other, rtol=2e-5, atol=1e-6)


def test_a_generator_that_ends_ends_the_training_as_in_keras() -> None:
    """Seven steps of data for three epochs of three: the third one has one step, as with Keras."""
    rows = [(X[i : i + 2], Y[i : i + 2]) for i in range(0, 14, 2)]
    histories = []
    for network in (model(), model(keras)):
        with pytest.warns(UserWarning, match="ran out"):
            histories.append(
                network.fit((item for item in rows), epochs=3, steps_per_epoch=3, shuffle=False, verbose=0).history
            )
    assert len(histories[0]["loss"]) == len(histories[1]["loss"])
    np.testing.assert_allclose(histories[0]["loss"], histories[1]["loss"], rtol=2e-5)
