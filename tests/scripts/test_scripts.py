"""Every script runs with Depthwise in place of Keras, and gives the numbers that Keras gives."""

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image

import depthwise
import scripts
from depthwise.utils import datasets

NAMES = sorted(module.name for module in pkgutil.iter_modules(scripts.__path__) if not module.name.startswith("test_"))
OFTEN = (
    "cifar_with_augmentation",
    "deep_learning_with_python_10",
    "deep_learning_with_python_8",
    "hands_on_machine_learning_10",
    "mnist_for_beginners",
    "quickstart_for_beginners",
)
"""Those that the quick tests compare with Keras: the three styles of models, several inputs and outputs, generators, recurring callbacks.
The sweeps compare all; JAX takes seconds to compile each."""
TRAINING, TESTING = 256, 64
"""Images: fewer than the originals take."""

pytestmark = pytest.mark.filterwarnings(
    "ignore:Do not pass an `input_shape`:UserWarning",  # Keras 3 of what Keras 2's scripts do
    "ignore:.*scipy.ndimage.*:DeprecationWarning",
    "ignore:`shuffle=True` was passed:UserWarning",
    "ignore:.*data ran out:UserWarning",
    "ignore:Your input ran out of data:UserWarning",
    "ignore:`compile\\(\\)` was not called:UserWarning",  # Keras of the `compile` that sets the weights here
)


def small_mnist() -> Any:
    (x, y), (x_test, y_test) = depthwise.datasets.mnist.load_data()
    return (x[:TRAINING], y[:TRAINING]), (x_test[:TESTING], y_test[:TESTING])


def made_up_cifar() -> Any:
    rng = np.random.default_rng(5)
    x = rng.integers(0, 256, (96, 32, 32, 3), dtype=np.uint8)
    y = rng.integers(0, 10, (96, 1), dtype=np.uint8)
    y[:10, 0] = range(10)
    return (x[:64], y[:64]), (x[64:], y[64:])


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own with images, and small data sets under the names that the scripts load."""
    small = small_mnist()
    for framework in (keras, depthwise):
        for name, data in (("mnist", small), ("fashion_mnist", small), ("cifar10", made_up_cifar())):
            monkeypatch.setattr(getattr(framework.datasets, name), "load_data", lambda data=data: data)
    rng = np.random.default_rng(6)
    for number, name in enumerate(("Cat", "Dog")):
        (tmp_path / "PetImages" / name).mkdir(parents=True)
        for index in range(12):
            pixels = rng.integers(0, 128 + 127 * number, (36, 40, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "PetImages" / name / f"{index}.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def numbers(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every number that a script returns, by a name; shares of right answers aside, which jump."""
    if isinstance(value, dict):
        for key, item in value.items():
            if "acc" not in key:
                yield from numbers(item, f"{name}/{key}")
    else:
        yield name, np.asarray(value, np.float64)


def weighted_layers(model: Any) -> Iterator[Any]:
    for layer in model.layers:
        if hasattr(layer, "layers"):
            yield from weighted_layers(layer)
        elif layer.get_weights():
            yield layer


def comparable(framework: Any, monkeypatch: pytest.MonkeyPatch, change: float = 0.0) -> None:
    """Takes what is random out of a framework: weights follow from a seed, no shuffling, no dropout, no augmentation.

    Args:
        change: a share by which every weight is larger or smaller.
    """
    base = framework.Model
    compile_, fit = base.compile, base.fit
    started: list[Any] = []
    draws, signs = np.random.default_rng(7), np.random.default_rng(8)

    def compile_with_weights(self: Any, *args: Any, **kwargs: Any) -> Any:
        for layer in weighted_layers(self):
            if not any(layer is item for item in started):
                started.append(layer)
                drawn = [_drawn(weight, draws, signs, change) for weight in layer.get_weights()]
                layer.set_weights(drawn)
        return compile_(self, *args, **kwargs)

    def fit_in_order(self: Any, *args: Any, **kwargs: Any) -> Any:
        return fit(self, *args, **{**kwargs, "shuffle": False})

    dropout = framework.layers.Dropout
    generator = framework.preprocessing.image.ImageDataGenerator
    flow = generator.flow
    monkeypatch.setattr(base, "compile", compile_with_weights)
    monkeypatch.setattr(base, "fit", fit_in_order)
    monkeypatch.setattr(framework.layers, "Dropout", lambda rate, **kwargs: dropout(0.0, **kwargs))
    for name in ("RandomFlip", "RandomRotation"):
        monkeypatch.setattr(framework.layers, name, lambda *_, **__: framework.layers.Rescaling(1.0))
    monkeypatch.setattr(framework.preprocessing.image, "ImageDataGenerator", lambda **_: generator())
    monkeypatch.setattr(
        generator, "flow", lambda self, *args, **kwargs: flow(self, *args, **{**kwargs, "shuffle": False})
    )


def _drawn(weight: Any, draws: Any, signs: Any, change: float) -> Any:
    if weight.ndim < 2:
        return weight
    fan_in = weight.size / weight.shape[-1] if weight.shape[-2] > 1 or weight.ndim == 2 else 9
    drawn = draws.normal(size=weight.shape) / np.sqrt(fan_in)
    return (drawn * (1 + change * signs.choice([-1.0, 1.0], weight.shape))).astype(np.float32)


def stand_ins_for_what_keras_needs_other_packages_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders of images need TensorFlow, drawings pydot; ImageDataGenerator has another name in Keras 3."""
    from keras.src.legacy.preprocessing import image as legacy

    class Batches(keras.utils.PyDataset):  # type: ignore[misc]
        def __init__(self, batches: list[Any]) -> None:
            super().__init__()
            self.batches = batches

        def __len__(self) -> int:
            return len(self.batches)

        def __getitem__(self, index: int) -> Any:
            return self.batches[index]

    def folder(*args: Any, **kwargs: Any) -> Any:
        return [Batches(list(part)) for part in depthwise.utils.image_dataset_from_directory(*args, **kwargs)]

    monkeypatch.setattr(keras.utils, "image_dataset_from_directory", folder)
    monkeypatch.setattr(keras.utils, "plot_model", lambda *args, **kwargs: None)
    monkeypatch.setattr(keras.preprocessing.image, "ImageDataGenerator", legacy.ImageDataGenerator, raising=False)


def same_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pictures of a folder in one order, so that every framework sees the same batches."""
    monkeypatch.setattr(datasets.Dataset, "shuffle", lambda self, *args, **kwargs: self)


def run(name: str) -> Callable[[Any], dict[str, Any]]:
    main: Callable[[Any], dict[str, Any]] = importlib.import_module(f"scripts.{name}").main
    return main


@pytest.mark.parametrize("name", NAMES)
def test_it_runs_as_written(name: str, place: Path) -> None:
    depthwise.utils.set_random_seed(1)
    for key, value in numbers(run(name)(depthwise)):
        assert np.isfinite(value).all(), key


@pytest.mark.parametrize(
    "name", [name if name in OFTEN else pytest.param(name, marks=pytest.mark.sweep) for name in NAMES]
)
def test_its_numbers_are_those_of_keras(name: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tolerance is what a change of every weight by a rounding or two makes of the numbers, and as much for each step of sums."""
    same_files(monkeypatch)
    results = []
    for change in (0.0, 2.0**-22):
        with monkeypatch.context() as patch:
            comparable(depthwise, patch, change)
            results.append(dict(numbers(run(name)(depthwise))))
    with monkeypatch.context() as patch:
        stand_ins_for_what_keras_needs_other_packages_for(patch)
        comparable(keras, patch)
        expected = dict(numbers(run(name)(keras)))
    ours, changed = results
    assert list(ours) == list(expected)
    for key, values in expected.items():
        assert ours[key].shape == values.shape, key
        moved = float(np.abs(ours[key] - changed[key]).max())
        allowed = 8 * moved + 64 * 2.0**-24 * max(1.0, float(np.abs(values).max()))
        error = float(np.abs(ours[key] - values).max())
        assert error <= allowed, f"{key}: {error:.2e} off, allowed {allowed:.2e}"


def test_there_are_sixteen() -> None:
    assert len(NAMES) == 16
