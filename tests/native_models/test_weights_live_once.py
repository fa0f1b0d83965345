"""A large weight is in memory once: as the layer's array, or packed for predictions; what the user reads is the same, bit for bit."""

import copy
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from depthwise import layers, models
from depthwise.layers.store import Numbers
from depthwise.runtime import packed
from depthwise.runtime.packed import PackedWeight
from depthwise.runtime.threads import get_threads, set_threads

Floats = NDArray[np.float32]


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every weight is moved, in many blocks."""
    monkeypatch.setattr(packed, "MOVED_FROM", 1)
    monkeypatch.setattr(packed, "BLOCK", 100)
    before = get_threads()
    set_threads(2)
    yield
    set_threads(before)


def network() -> models.Sequential:
    """Kernels of every kind that are packed as they are, in sizes that no vector divides."""
    model = models.Sequential(
        [
            layers.Conv2D(19, 3, padding="same", input_shape=(6, 6, 3)),
            layers.SeparableConv2D(21, 3, activation="selu"),
            layers.Conv2D(42, 3, groups=3, padding="same"),
            layers.Flatten(),
            layers.Dense(37),
            layers.Dense(1),
        ]
    )
    rng = np.random.default_rng(3)
    model.set_weights([rng.standard_normal(array.shape).astype(np.float32) for array in model.get_weights()])
    return model


def numbers_of(model: models.Model) -> dict[str, Numbers]:
    return dict(model.weights_by_name.numbers)


def same(found: list[Floats], expected: list[Floats]) -> None:
    assert len(found) == len(expected)
    for a, b in zip(found, expected):
        assert a.shape == b.shape
        assert a.flags.c_contiguous
        assert a.tobytes() == b.tobytes()


X = np.random.default_rng(0).standard_normal((5, 6, 6, 3)).astype(np.float32)


@pytest.mark.parametrize("batches", [(1,), (5,), (1, 5), (5, 1)])
def test_what_is_read_back_is_what_was_set(batches: tuple[int, ...]) -> None:
    model = network()
    before = model.get_weights()
    outputs = [model.predict_on_batch(X[:batch]) for batch in batches]
    left = [name for name, numbers in numbers_of(model).items() if numbers.whole]
    assert left == [], "these are still in memory twice"
    same(model.get_weights(), before)
    same(model.weights, before)
    same([array for layer in model.layers for array in layer.get_weights()], before)
    same(copy.deepcopy(model).get_weights(), before)
    for batch, expected in zip(batches, outputs):
        np.testing.assert_array_equal(model.predict_on_batch(X[:batch]), expected)
    with pytest.raises(ValueError, match="read-only"):
        model.weights[0][...] = 0


def test_the_array_that_is_read_back_is_one_object_while_it_is_kept() -> None:
    model = network()
    model.predict_on_batch(X)
    kept = model.weights[0]
    assert model.weights[0] is kept
    assert model.layers[0].weights[0] is kept


def test_an_array_that_the_user_has_stays_as_it_is() -> None:
    model = network()
    arrays, before = model.weights, model.get_weights()
    rows = [array[:1] for array in arrays if array.ndim > 1]
    model.predict_on_batch(X)
    same(arrays, before)
    same(rows, [array[:1] for array in before if array.ndim > 1])


def test_a_layer_in_two_models_is_packed_for_both() -> None:
    first = network()
    before = first.get_weights()
    second = models.Sequential([layers.InputLayer(shape=(6, 6, 3)), *first.layers[:-1]])
    expected = first.predict_on_batch(X)
    inner = second.predict_on_batch(X)
    same(first.get_weights(), before)
    del first
    kernel, bias = before[-2:]
    np.testing.assert_allclose(inner @ kernel + bias, expected, rtol=1e-4, atol=1e-3)
    same(second.get_weights(), before[:-2])


def test_training_and_files_go_on_from_packed_weights(tmp_path: Path) -> None:
    model, other = network(), network()
    model.predict_on_batch(X)
    for each in (model, other):
        each.compile("adam", "mse")
    target = np.ones((5, 1), np.float32)
    assert model.train_on_batch(X, target) == other.train_on_batch(X, target)
    same(model.get_weights(), other.get_weights())
    expected = model.predict_on_batch(X)
    model.save(tmp_path / "model.keras")
    loaded = models.load_model(tmp_path / "model.keras")
    same(loaded.get_weights(), model.get_weights())
    np.testing.assert_array_equal(loaded.predict_on_batch(X), expected)
    model.set_weights(network().get_weights())
    np.testing.assert_array_equal(model.predict_on_batch(X), network().predict_on_batch(X))


def stopping(monkeypatch: pytest.MonkeyPatch, at: int, act: Callable[[], None]) -> list[int]:
    """`act` runs after a block has been packed, the one of number `at`; the list holds how many were."""
    real, seen = PackedWeight.pack, [0]

    def pack(self: PackedWeight, rows: Any, first: int = 0) -> None:
        real(self, rows, first)
        seen[0] += 1
        if seen[0] == at:
            act()

    monkeypatch.setattr(PackedWeight, "pack", pack)
    return seen


@pytest.mark.parametrize("at", range(1, 36, 5))
def test_an_interrupt_while_weights_move_loses_nothing(monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    model, expected = network(), network().predict_on_batch(X)
    before = model.get_weights()

    def interrupt() -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        stopping(patch, at, interrupt)
        with pytest.raises(KeyboardInterrupt):
            model.predict_on_batch(X)
    same(model.get_weights(), before)
    np.testing.assert_array_equal(model.predict_on_batch(X), expected)
    same(model.get_weights(), before)
    assert not any(numbers.moving or numbers.whole for numbers in numbers_of(model).values())


@pytest.mark.parametrize("at", range(1, 36, 5))
def test_code_that_interrupts_the_move_may_read_and_predict(monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    model, expected = network(), network().predict_on_batch(X)
    before = model.get_weights()

    def act() -> None:
        same(model.get_weights(), before)
        np.testing.assert_array_equal(model.predict_on_batch(X), expected)

    with monkeypatch.context() as patch:
        seen = stopping(patch, at, act)
        np.testing.assert_array_equal(model.predict_on_batch(X), expected)
        assert seen[0] >= at
    same(model.get_weights(), before)


MEASURED = """
import sys
import numpy as np
import depthwise
from depthwise import layers, models

def peak():
    with open("/proc/self/status") as status:  # getrusage starts from the parent's
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))

def network(units):
    return models.Sequential([layers.Dense(units, input_shape=(units,)), layers.Dense(10)])

x = np.ones((1, 4096), np.float32)
network(8).predict_on_batch(x[:, :8])  # compiler and thread team
network(8).predict_on_batch(np.ones((3, 8), np.float32))
before = peak()
model = network(4096) if sys.argv[1] == "drawn" else models.load_model(sys.argv[1])
model.predict_on_batch(x)
print(peak() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel's counters of memory differ elsewhere")
@pytest.mark.parametrize("source", ["drawn", "file"])
def test_peak_memory_of_a_first_prediction(tmp_path: Path, source: str) -> None:
    """At most 1.3 times the weights, from the file or the generator to the result."""
    if source == "file":
        path = str(tmp_path / "model.keras")
        models.Sequential([layers.Dense(4096, input_shape=(4096,)), layers.Dense(10)]).save(path)
    command = [sys.executable, "-c", MEASURED, path if source == "file" else "drawn"]
    environment = os.environ | {"DEPTHWISE_THREADS": "2"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert 4 * 4096 * 4096 < int(done.stdout) < 1.3 * 4 * 4096 * (4096 + 11)
