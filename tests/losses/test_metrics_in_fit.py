"""Metrics of all kinds in `fit` and its validation, and their names in the logs, against real Keras."""

from typing import Any

import keras
import numpy as np
import pytest

from depthwise import callbacks, layers, losses, metrics, models
from depthwise.errors import InvalidArgumentError

RNG = np.random.default_rng(5)
X = RNG.standard_normal((50, 7)).astype(np.float32)
Y = np.eye(4, dtype=np.float32)[RNG.integers(0, 4, 50)]
WEIGHT = np.linspace(0.5, 2.0, 50).astype(np.float32)


def third(y_true: Any, y_pred: Any) -> Any:
    return ((y_pred - y_true) ** 2)[:, 2]


def compiled(kind: Any, source: Any, of: Any, loss: Any) -> Any:
    model = kind([source.InputLayer((7,)), source.Dense(4, activation="softmax")])
    unweighted = ["accuracy", of.Precision(name="p"), of.AUC(name="auc"), of.F1Score(), third, "kl_divergence"]
    weighted = [of.Recall(name="r"), "mse", third, of.TopKCategoricalAccuracy(k=2)]
    model.compile("sgd", loss, metrics=unweighted, weighted_metrics=weighted)
    return model


def test_the_logs_are_those_of_keras() -> None:
    ours = compiled(models.Sequential, layers, metrics, losses.CategoricalFocalCrossentropy())
    theirs = compiled(keras.Sequential, keras.layers, keras.metrics, keras.losses.CategoricalFocalCrossentropy())
    theirs.set_weights([array.copy() for array in ours.get_weights()])
    arguments: dict[str, Any] = {"batch_size": 16, "epochs": 2, "verbose": 0, "shuffle": False, "validation_split": 0.2}
    mine, other = (model.fit(X, Y, sample_weight=WEIGHT, **arguments).history for model in (ours, theirs))
    assert list(mine) == list(other)
    for name, values in other.items():
        np.testing.assert_allclose(np.array(mine[name]), np.array(values), rtol=1e-4, atol=1e-5, err_msg=name)


def test_callbacks_know_which_way_is_better() -> None:
    model = models.Sequential([layers.InputLayer((7,)), layers.Dense(4, activation="softmax")])
    model.compile("sgd", "categorical_crossentropy", metrics=[metrics.AUC(), third])
    stopper = callbacks.EarlyStopping("val_auc", patience=0)
    model.fit(X, Y, epochs=3, verbose=0, validation_split=0.2, callbacks=stopper)
    with pytest.raises(
        InvalidArgumentError, match="'third' should rise or fall is not known, as it is a function of your"
    ):
        model.fit(X, Y, epochs=1, verbose=0, callbacks=callbacks.EarlyStopping("third"))


def test_a_metric_that_the_labels_do_not_fit_is_refused() -> None:
    model = models.Sequential([layers.InputLayer((7,)), layers.Dense(4, activation="softmax")])
    with pytest.raises(
        Exception, match="the metric Precision needs labels with one value for each output, but the loss Spar"
    ):
        model.compile("sgd", "sparse_categorical_crossentropy", metrics=[metrics.Precision()])


def test_keras_losses_that_are_not_there_say_why() -> None:
    with pytest.raises(AttributeError, match=r"losses.CTC is not supported: it aligns sequences"):
        losses.CTC  # noqa: B018
