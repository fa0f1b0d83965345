"""The border: every bad input is refused before the first step, in one sentence that says how to fix it."""

from typing import Any

import numpy as np
import pytest

from depthwise import layers, losses, models
from depthwise.data import Batches
from depthwise.errors import DepthwiseError, InvalidArgumentError, InvalidDataError, ShapeError, UnsupportedError
from depthwise.training.outputs import trained_outputs
from depthwise.training.samples import CHUNK, prepare
from support.reference_step import data, dense_model

SPARSE, CATEGORICAL = "sparse_categorical_crossentropy", "categorical_crossentropy"
X, Y = data()
ONE_HOT = np.eye(3, dtype=np.float32)[Y]


def changed(array: Any, index: Any, value: Any) -> Any:
    copy = np.array(array)
    copy[index] = value
    return copy


@pytest.mark.parametrize(
    ("loss", "x", "y", "kind", "message"),
    [
        (SPARSE, None, Y, InvalidArgumentError, "x is missing; training and evaluation need x and y"),
        (SPARSE, X, None, InvalidArgumentError, "y is missing"),
        (SPARSE, X[:0], Y[:0], InvalidDataError, "x holds no samples; give at least one"),
        (SPARSE, X, Y[:-1], InvalidDataError, "x has 50 samples but y has 49 labels; give exactly one label a sample"),
        (SPARSE, X, 3, InvalidDataError, "y is one number; give one label a sample, shape (50,)"),
        (SPARSE, X[:, :3], Y, ShapeError, "x must have the shape (samples, 4), got (50, 3)"),
        (SPARSE, changed(X, (7, 2), np.nan), Y, InvalidDataError, "x[7, 2] is nan; every value must be finite"),
        (SPARSE, changed(X, (49, 3), -np.inf), Y, InvalidDataError, "x[49, 3] is -inf; every value must be finite"),
        (SPARSE, changed(X.astype(float), (1, 0), 1e300), Y, InvalidDataError, "x[1, 0] is inf; every value must be"),
        (SPARSE, X.astype("U8"), Y, InvalidDataError, "x must hold numbers, got the dtype '<U8'"),
        (SPARSE, X, changed(Y, 4, 3), InvalidDataError, "y[4] is 3; the network has 3 outputs, so labels are 0 to 2; ren"),
        (SPARSE, X, changed(Y, 9, -1), InvalidDataError, "y[9] is -1; the network has 3 outputs, so labels are 0 to 2"),
        (SPARSE, X, np.arange(50) % 3 + 1, InvalidDataError, "the labels seem to start at 1, subtract 1"),
        (SPARSE, X, changed(Y.astype(float), 6, 1.5), InvalidDataError, "y[6] is 1.5; labels must be whole numbers from 0"),
        (SPARSE, X, changed(Y.astype(float), 6, np.nan), InvalidDataError, "y[6] is nan; every value must be finite"),
        (SPARSE, X, ONE_HOT, ShapeError, "one-hot labels, but the loss takes class numbers; use loss='categorical_cross"),
        (SPARSE, X, np.zeros((50, 2)), ShapeError, "y must have the shape (samples,) with one class number a sample, got"),
        (CATEGORICAL, X, Y, ShapeError, "y holds class numbers: use loss='sparse_categorical_crossentropy', or one-hot"),
        (CATEGORICAL, X, np.zeros((50, 4)), ShapeError, "y has the shape (50, 4), but the network's output has (50, 3)"),
        ("mse", X, Y, ShapeError, "for class numbers use loss='sparse_categorical_crossentropy'"),
        ("mse", X, changed(ONE_HOT, (3, 1), np.nan), InvalidDataError, "y[3, 1] is nan; every value must be finite"),
        ("mse", X, changed(ONE_HOT.astype(float), (3, 1), 1e39), InvalidDataError, "y[3, 1] is inf"),
        ("binary_crossentropy", X, changed(ONE_HOT, (2, 2), 7), InvalidDataError, "y[2, 2] is 7.0; binary labels are 0 or"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", ["fit", "evaluate", "train_on_batch", "test_on_batch"])
def test_bad_data_is_refused(
    loss: Any, x: Any, y: Any, kind: Any, message: str, method: str, reference_step: Any
) -> None:
    model = dense_model()
    model.compile("sgd", loss)
    with pytest.raises(kind) as caught:
        getattr(model, method)(x, y)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not any(step.calls for step in reference_step)


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"sample_weight": np.ones(49)}, ShapeError, "sample_weight must have the shape (50,), one weight a sample, got (49,)"),
        ({"sample_weight": changed(np.ones(50), 8, np.nan)}, InvalidDataError, "sample_weight[8] is nan"),
        ({"class_weight": [1, 2, 3]}, InvalidArgumentError, "class_weight must be weights by class number, for example {0"),
        ({"class_weight": {3: 1.0}}, InvalidArgumentError, "class_weight: 3 is no class; classes are 0 to 2"),
        ({"class_weight": {"cat": 1.0}}, InvalidArgumentError, "class_weight: 'cat' is no class"),
        ({"class_weight": {0: "much"}}, InvalidArgumentError, "class_weight[0] must be a finite number, got 'much'"),
        (
            {"class_weight": {0: 1.0}, "sample_weight": np.ones(50)},
            InvalidArgumentError,
            "give sample_weight or class_weight, not both",
        ),
        ({"epochs": -1}, InvalidArgumentError, "epochs must be an integer of at least 0, got -1"),
        ({"epochs": 1.5}, InvalidArgumentError, "epochs must be an integer of at least 0, got 1.5"),
        ({"batch_size": 0}, InvalidArgumentError, "batch_size must be an integer of at least 1, got 0"),
        ({"steps_per_epoch": 0, "batch_size": 5}, InvalidArgumentError, "steps must be an integer of at least 1"),
        ({"validation_split": 1.0}, InvalidArgumentError, "validation_split must be a share from 0 to below 1, got 1.0"),
        ({"validation_split": 0.99}, InvalidArgumentError, "validation_split=0.99 of 50 samples leaves none for training"),
        ({"validation_data": (X,)}, InvalidArgumentError, "validation_data must be (x, y), (x, y, sample_weight) or a"),
        ({"validation_data": (X, Y[1:])}, InvalidDataError, "validation_data: x has 50 samples but y has 49 labels"),
        ({"validation_freq": 0}, InvalidArgumentError, "validation_freq must be an integer of at least 1, or a list"),
        ({"verbose": 3}, InvalidArgumentError, "verbose must be 'auto', 0, 1 or 2, got 3"),
        ({"callbacks": [print]}, InvalidArgumentError, "callbacks must be instances of depthwise.callbacks.Callback, got"),
    ],
)  # fmt: skip
def test_bad_arguments_are_refused(arguments: Any, kind: Any, message: str, reference_step: Any) -> None:
    model = dense_model()
    model.compile("sgd", SPARSE)
    with pytest.raises(kind) as caught:
        model.fit(X, Y, **arguments)
    assert message in str(caught.value)
    assert not any(step.calls for step in reference_step)


class Broken(Batches):
    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: Any) -> Any:
        return X[:10], np.full(10, 5 if index == 2 else 0)


def test_a_bad_batch_of_a_sequence_is_named() -> None:
    model = dense_model()
    model.compile("sgd", SPARSE)
    with pytest.raises(InvalidDataError, match=r"batch 2: y\[0\] is 5; the network has 3 outputs"):
        model.fit(Broken(), shuffle=False, verbose=0)
    assert model.optimizer.iterations == 2
    with pytest.raises(InvalidArgumentError, match="x gives batches with their labels, so leave y out"):
        model.fit(Broken(), Y, verbose=0)
    with pytest.raises(UnsupportedError, match="validation_split needs arrays, got batches"):
        model.fit(Broken(), validation_split=0.5, verbose=0)
    with pytest.raises(InvalidDataError, match=r"batch 0: a batch must be \(x, y\) or \(x, y, sample_weight\), got 1"):
        model.fit(iter([(X,)]), verbose=0)


@pytest.mark.parametrize(
    ("chain", "loss", "message"),
    [
        (
            [layers.Conv2D(1, 3, input_shape=(5, 5, 1))],
            SPARSE,
            "needs at least two classes, but the network has one output at each position; use loss='binary_crossentropy'",
        ),
        (
            [layers.Dense(1, input_shape=(4,))],
            CATEGORICAL,
            "use loss='binary_crossentropy' with a sigmoid, or more outputs",
        ),
    ],
)
def test_networks_that_the_loss_cannot_read(chain: Any, loss: Any, message: str) -> None:
    with pytest.raises(ShapeError) as caught:
        models.Sequential(chain).compile("sgd", loss)
    assert message in str(caught.value)


def test_compile_refuses() -> None:
    model = dense_model()
    for arguments, message in (
        ({"loss": ["mse", "mae"]}, "compile: loss is a list of 2, but the model has 1 output ('dense'); give a loss for each"),
        ({"loss": "mse", "loss_weights": [2.0, 1.0]}, "loss_weights must be a number for each output, got [2.0, 1.0] for 1 output"),
        ({"loss": "mse", "metrics": "accuracy"}, "compile: metrics must be a list, for example ['accuracy'], got 'accuracy'"),
        ({"loss": "mse", "metrics": ["f1"]}, "unknown metric 'f1'"),
        ({"loss": SPARSE, "metrics": ["mae"]}, "the metric MeanAbsoluteError needs labels with one value for each output"),
    ):  # fmt: skip
        with pytest.raises(DepthwiseError) as caught:
            model.compile("sgd", **arguments)
        assert message in str(caught.value)
    with pytest.raises(
        InvalidArgumentError, match=r"fit: the model is not compiled; call compile\(optimizer=…, loss=…"
    ):
        dense_model().fit(X, Y)


def test_the_search_for_nan_reaches_every_chunk() -> None:
    model = models.Sequential([layers.Flatten(input_shape=(CHUNK // 4, 1)), layers.Dense(1)])
    x = np.zeros((6, CHUNK // 4, 1), np.float32)
    x[:] = 3e38  # sums overflow, which alone is no reason to refuse
    outputs = trained_outputs(model.graph, losses.get("mse"))
    assert len(prepare(model.graph, outputs, x, np.zeros(6))) == 6
    x[5, 17, 0] = np.nan
    with pytest.raises(InvalidDataError, match=r"x\[5, 17, 0\] is nan"):
        prepare(model.graph, outputs, x, np.zeros(6))
