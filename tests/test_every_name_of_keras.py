"""No public name of Keras is missing without a word: it is here, or its error says why not, or what to do instead."""

import importlib
import inspect
from typing import Any

import keras
import numpy as np
import pytest

import depthwise
from depthwise import activations, initializers, layers, losses, metrics, optimizers, saving, utils
from depthwise.absent import ABSENT

MODULES = [
    "", "activations", "applications", "callbacks", "config", "constraints", "datasets", "initializers", "layers", "losses", "metrics", "models",
    "optimizers", "optimizers.schedules", "preprocessing", "preprocessing.image", "random", "regularizers", "saving", "utils",
]  # fmt: skip
OPEN = ["backend", "ops"]
"""What NumPy has is not listed here name by name: the error says so."""

PRIVATE = {"src"}


def of_keras(module: str) -> Any:
    return importlib.import_module(f"keras.{module}".rstrip("."))


def of_ours(module: str) -> Any:
    return importlib.import_module(f"depthwise.{module}".rstrip("."))


def names(module: str) -> list[str]:
    found = of_keras(module)
    submodules = {name for name in dir(found) if inspect.ismodule(getattr(found, name))}
    inner = {item.partition(".")[0] for item in MODULES if item.startswith(module) and item != module}
    return sorted(
        name for name in dir(found) if not name.startswith("_") and name not in PRIVATE | (submodules & inner)
    )


@pytest.mark.parametrize("module", MODULES)
def test_what_is_missing_has_a_reason(module: str) -> None:
    silent = []
    for name in names(module):
        try:
            getattr(of_ours(module), name)
        except AttributeError as error:
            if "is not supported: " not in str(error):
                silent.append(name)
    assert silent == []


@pytest.mark.parametrize("module", OPEN)
def test_what_is_missing_among_many_is_named(module: str) -> None:
    missing = [name for name in names(module) if not hasattr(of_ours(module), name)]
    assert missing
    for name in missing:
        with pytest.raises(AttributeError, match=rf"depthwise\.{module} has no '{name}'"):
            getattr(of_ours(module), name)


def test_no_reason_for_what_is_here_or_not_of_keras() -> None:
    old = {"preprocessing": {"text"}, "": {"mixed_precision"}}
    for module, reasons in ABSENT.items():
        for name in set(reasons) - old.get(module, set()):
            assert hasattr(of_keras(module), name) or module.startswith("preprocessing"), (module, name)
            with pytest.raises(AttributeError, match="is not supported: "):
                getattr(of_ours(module), name)
    with pytest.raises(
        AttributeError, match=r"module 'depthwise\.utils' has no attribute 'nothing'; there are CustomObjectScope,"
    ):
        utils.nothing  # noqa: B018


def test_objects_go_through_their_configuration() -> None:
    """Keras reads what we write, and we read what Keras writes."""
    pairs: list[tuple[Any, Any, Any]] = [
        (losses, keras.losses, losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.25)),
        (metrics, keras.metrics, metrics.TopKCategoricalAccuracy(k=3)),
        (optimizers.schedules, keras.optimizers.schedules, optimizers.schedules.ExponentialDecay(0.5, 3, 0.25)),
        (initializers, keras.initializers, initializers.RandomUniform(-1.0, 2.0, seed=3)),
        (depthwise.constraints, keras.constraints, depthwise.constraints.MaxNorm(3.0, axis=(0, 1))),
        (depthwise.regularizers, keras.regularizers, depthwise.regularizers.L1L2(0.5, 0.25)),
    ]
    for ours, theirs, made in pairs:
        there = theirs.deserialize(ours.serialize(made))
        assert type(there).__name__ == type(made).__name__
        again = ours.deserialize(theirs.serialize(there))
        assert type(again) is type(made)
        assert ours.serialize(again) == ours.serialize(made)
    assert activations.deserialize(activations.serialize(activations.selu)) is activations.selu


def test_other_names_of_initializers() -> None:
    assert initializers.he_normal is initializers.HeNormal
    assert initializers.OrthogonalInitializer is initializers.Orthogonal
    assert initializers.get(initializers.Ones) == initializers.Ones()
    kernel = layers.Dense(2, kernel_initializer=initializers.glorot_normal(seed=1))(depthwise.Input((3,)))
    assert kernel.layer.kernel_initializer == initializers.GlorotNormal(1)


def test_functions_that_came_last() -> None:
    rng = np.random.default_rng(0)
    x, y = (rng.standard_normal((4, 6)).astype(np.float32) for _ in range(2))
    for name in ("pearson_correlation", "concordance_correlation"):
        ours, true = (getattr(kit.metrics, name)(x, y) for kit in (depthwise, keras))
        # Means of six products below 16, of numbers divided by their spread.
        np.testing.assert_allclose(ours, np.asarray(true), rtol=0, atol=16 * 16 * 2.0**-24)
    for arguments in ((x,), (x, y), (x, y, y), ([x, y],)):
        assert type(utils.pack_x_y_sample_weight(*arguments)) is type(keras.utils.pack_x_y_sample_weight(*arguments))
    packed = utils.pack_x_y_sample_weight(x, y)
    assert all(a is b for a, b in zip(utils.unpack_x_y_sample_weight(packed), (x, y, None), strict=True))
    with pytest.raises(depthwise.errors.InvalidDataError, match="got 4 items"):
        utils.unpack_x_y_sample_weight((x, x, x, x))
    assert depthwise.version() == depthwise.__version__


def test_weights_through_saving(tmp_path: Any) -> None:
    models = [depthwise.Sequential([depthwise.Input((3,)), layers.Dense(2)]) for _ in range(2)]
    saving.save_weights(models[0], tmp_path / "w.weights.h5")
    saving.load_weights(models[1], tmp_path / "w.weights.h5")
    assert all(np.array_equal(a, b) for a, b in zip(models[0].get_weights(), models[1].get_weights()))
