"""All networks of keras.applications, beside real Keras: predicted from each form, one of each family trained for three steps."""

import inspect
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import depthwise
from depthwise import models
from depthwise.reference import network as reference
from support.keras_applications import FAMILIES, NAMES, application, picture, swept

TRAINED = tuple(name for name in FAMILIES if name != "InceptionResNetV2")
"""One of each family; InceptionResNetV2 takes too long: its layers are those of InceptionV3, with additions that are scaled."""
SIZES = {
    **dict.fromkeys(("ConvNeXtTiny", "DenseNet121", "EfficientNetB0", "MobileNetV2", "ResNet50", "ResNet50V2"), 64),
    "InceptionV3": 107,
    "NASNetMobile": 128,
}
"""Trained on images of these sizes: on the smallest that they take their last maps have a single place."""
RATES = {"InceptionV3": 1e-5}
"""Adam's first steps go by the sign of gradients: with larger ones the rounding of a few decides a hundredth of the loss, at random."""


def _check_predictions(model: Any, name: str, folder: Path) -> None:
    x = picture(name, model.input_shape[1:])
    expected = np.asarray(model.predict(x, verbose=0))
    model.save(folder / "model.keras")
    model.save(folder / "model.h5")
    for form, load in (
        ("live", lambda: depthwise.from_keras(model)),
        (".keras", lambda: models.load_model(folder / "model.keras")),
        (".h5", lambda: models.load_model(folder / "model.h5")),
    ):
        ours = load().predict(x, verbose=0)
        assert np.abs(ours - expected).max() <= 1e-5 * np.abs(expected).max(), form


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize("name", swept(NAMES, FAMILIES.__contains__))
def test_predictions(name: str, tmp_path: Path) -> None:
    _check_predictions(application(name), name, tmp_path)


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.long
@pytest.mark.parametrize("name", FAMILIES)
def test_predictions_of_images_of_the_usual_size(name: str, tmp_path: Path) -> None:
    size = 299 if name in ("InceptionResNetV2", "InceptionV3", "Xception") else 224
    _check_predictions(application(name, size), name, tmp_path)


def test_the_list_is_that_of_keras() -> None:
    theirs = [name for name in dir(keras.applications) if inspect.isfunction(getattr(keras.applications, name))]
    assert sorted(NAMES) == theirs
    assert len(NAMES) == 40


@pytest.mark.parametrize("name", swept(TRAINED, ("MobileNet", "MobileNetV3Small").__contains__))
def test_three_steps_of_training(name: str) -> None:
    """Ours are as near to the float64 reference as Keras is: four times its distance is allowed, and 10⁻⁵ of the way gone.

    The rate is small: with a larger one statistics of eight values grow rounding to a tenth of the loss within three steps, in
    Keras as here. Distances are of all weights together: single ones behind a BatchNormalization of few values are all rounding.
    """
    theirs = application(name, SIZES.get(name, 0))
    for layer in theirs.layers:
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0  # each framework draws its own
    ours = depthwise.from_keras(theirs)
    weights: dict[str, Any] = {key: value.astype(np.float64) for key, value in ours.weights_by_name.items()}
    start, rate = dict(weights), RATES.get(name, 1e-4)
    state: dict[str, Any] = {}
    loss, optimizer = depthwise.losses.SparseCategoricalCrossentropy(from_logits=True), depthwise.optimizers.SGD(rate)
    ours.compile(optimizer=optimizer, loss=loss)
    theirs.compile(keras.optimizers.SGD(rate), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    graph = ours.compiled.graph(ours)
    rng = np.random.default_rng(4)
    for _ in range(3):
        x, y = picture(name, graph.input_shapes[0], 8), rng.integers(0, 10, 8).astype(np.int32)
        one, other = float(ours.train_on_batch(x, y)), float(theirs.train_on_batch(x, y))
        step = reference.training_step(
            graph, weights, state, (x,), loss, y, optimizer, rate, np.ones(len(x), np.float32)
        )
        weights, state = step.weights, step.state
        assert abs(one - step.loss) <= 4.0 * abs(other - step.loss) + 1e-5 * abs(step.loss)
    names = list(start)
    own = [value for _, value in ours.weights_by_name.items()]
    gone, off, their_off = (
        np.sqrt(sum(float(((a - b) ** 2).sum()) for a, b in zip(left, right)))
        for left, right in (
            ([weights[key] for key in names], [start[key] for key in names]),
            (own, [weights[key] for key in names]),
            (theirs.get_weights(), [weights[key] for key in names]),
        )
    )
    print(f"{name}: gone {gone:.3g}, off {off / gone:.2e}, Keras off {their_off / gone:.2e}")
    assert gone > 0.0
    assert their_off <= 0.1 * gone
    assert off <= 4.0 * their_off + 1e-5 * gone
