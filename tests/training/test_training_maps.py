"""The loop with a map as output: what labels and weights it takes, and what it reports, against real Keras."""

from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest

from depthwise import layers, losses, metrics, models
from depthwise.errors import InvalidDataError, ShapeError

Array = npt.NDArray[Any]
SPARSE, CATEGORICAL = "sparse_categorical_crossentropy", "categorical_crossentropy"
SAMPLES, ROWS, COLUMNS, CLASSES = 10, 3, 2, 3
POSITIONS = (SAMPLES, ROWS, COLUMNS)
RNG = np.random.default_rng(4)
X = RNG.standard_normal((*POSITIONS, 2)).astype(np.float32)
Y = RNG.integers(0, CLASSES, POSITIONS)
ONE_HOT = np.eye(CLASSES, dtype=np.float32)[Y]
BY_SAMPLE = RNG.uniform(0.5, 2.0, SAMPLES).astype(np.float32)
BY_POSITION = RNG.uniform(0.0, 2.0, POSITIONS).astype(np.float32)
WEIGHTS: dict[str, Array | None] = {"not": None, "by sample": BY_SAMPLE, "by position": BY_POSITION}


def pair(activation: str, outputs: int = CLASSES, **arguments: Any) -> tuple[models.Sequential, Any]:
    """A network of ours and the same of Keras, compiled."""
    ours = models.Sequential([layers.Conv2D(outputs, 1, activation=activation, input_shape=(ROWS, COLUMNS, 2))])
    theirs = keras.Sequential([keras.Input((ROWS, COLUMNS, 2)), keras.layers.Conv2D(outputs, 1, activation=activation)])
    theirs.set_weights([array.copy() for array in ours.get_weights()])
    ours.compile("sgd", **arguments)
    theirs.compile("sgd", run_eagerly=True, **arguments)  # JAX then compiles each operation once for all tests
    return ours, theirs


CASES = {
    SPARSE: ("softmax", Y, ["accuracy", "sparse_top_k_categorical_accuracy"]),
    CATEGORICAL: ("softmax", ONE_HOT, ["accuracy"]),
    "binary_crossentropy": ("sigmoid", ONE_HOT, ["binary_accuracy"]),
    "mse": ("linear", ONE_HOT, ["mae"]),
    "mae": ("tanh", ONE_HOT, ["mse"]),
}


@pytest.mark.parametrize("weighted", ["not", "by sample", "by position"])
@pytest.mark.parametrize("loss", CASES)
def test_fit_and_evaluate_report_what_keras_reports(loss: str, weighted: str) -> None:
    activation, y, names = CASES[loss]
    ours, theirs = pair(activation, loss=loss, metrics=names, weighted_metrics=names)
    weight = WEIGHTS[weighted]
    # Keras broadcasts along the last axes: one weight a sample needs axes of length 1 there.
    for_keras = BY_SAMPLE.reshape(SAMPLES, 1, 1) if weighted == "by sample" else weight
    seen = []
    for model, share in ((ours, weight), (theirs, for_keras)):
        arguments: dict[str, Any] = {"sample_weight": share, "batch_size": 4}
        history = model.fit(X, y, epochs=2, shuffle=False, verbose=0, validation_data=(X, y), **arguments).history
        seen.append((history, model.evaluate(X, y, verbose=0, return_dict=True, **arguments), model.get_weights()))
    assert list(seen[0][0]) == list(seen[1][0])
    for name, values in seen[1][0].items():
        np.testing.assert_allclose(seen[0][0][name], values, rtol=1e-5, err_msg=name)
    for name, value in seen[1][1].items():
        assert seen[0][1][name] == pytest.approx(value, rel=1e-5), name
    for mine, their in zip(seen[0][2], seen[1][2]):
        np.testing.assert_allclose(mine, their, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("loss", "outputs", "shapes"),
    [
        (SPARSE, CLASSES, [POSITIONS, (*POSITIONS, 1)]),
        ("mse", 1, [(*POSITIONS, 1), POSITIONS]),
        ("binary_crossentropy", 1, [(*POSITIONS, 1), POSITIONS]),
    ],
)
def test_labels_may_leave_out_the_last_axis(loss: str, outputs: int, shapes: list[tuple[int, ...]]) -> None:
    """As Keras takes them; so may weights. (Keras takes one of the two: without its last axis, a map has a loss a row.)"""
    ours, theirs = pair("softmax" if outputs > 1 else "sigmoid", outputs, loss=loss)
    y = Y if outputs > 1 else (Y > 0).astype(np.float32)
    expected = theirs.test_on_batch(X, y.reshape(shapes[0]), sample_weight=BY_POSITION)
    for shape in shapes:
        assert ours.test_on_batch(X, y.reshape(shape)) == pytest.approx(
            theirs.test_on_batch(X, y.reshape(shape)), rel=1e-5
        )
        for weight in (BY_POSITION, BY_POSITION[..., np.newaxis]):
            assert ours.test_on_batch(X, y.reshape(shape), sample_weight=weight) == pytest.approx(expected, rel=1e-5)


def test_one_weight_a_sample_may_have_axes_of_length_1() -> None:
    ours, _ = pair("softmax", loss=SPARSE)
    expected = ours.test_on_batch(X, Y, sample_weight=BY_SAMPLE)
    for shape in ((SAMPLES, 1), (SAMPLES, 1, 1), (SAMPLES, 1, 1, 1)):
        assert ours.test_on_batch(X, Y, sample_weight=BY_SAMPLE.reshape(shape)) == expected


def test_class_weights_weigh_each_position_by_its_class() -> None:
    """Keras refuses class weights on maps; here they are the weights of the positions."""
    for loss, y in ((SPARSE, Y), (CATEGORICAL, ONE_HOT)):
        weighed, by_hand = pair("softmax", loss=loss)[0], pair("softmax", loss=loss)[0]
        by_hand.set_weights(weighed.get_weights())
        first = weighed.fit(X, y, class_weight={0: 3.0, 2: 0.0}, verbose=0, shuffle=False).history
        share = np.array([3.0, 1.0, 0.0], np.float32)[Y]
        assert first == by_hand.fit(X, y, sample_weight=share, verbose=0, shuffle=False).history


@pytest.mark.parametrize(
    ("loss", "arguments", "kind", "message"),
    [
        (
            SPARSE,
            {"y": Y[:, 0, 0]},
            ShapeError,
            "y must have the shape (samples, 3, 2) with one class number for each pos",
        ),
        (
            SPARSE,
            {"y": Y[:, 0, 0]},
            ShapeError,
            "for one class a sample end the network with Flatten() or GlobalAverageP",
        ),
        (SPARSE, {"y": ONE_HOT}, ShapeError, "use loss='categorical_crossentropy', or y.argmax(axis=3)"),
        (
            SPARSE,
            {"y": np.where(X[..., 0] == X[4, 1, 1, 0], 3, Y)},
            InvalidDataError,
            "y[4, 1, 1] is 3; the network has 3",
        ),
        (
            SPARSE,
            {"y": np.where(X[..., 0] == X[4, 1, 1, 0], 0.5, Y)},
            InvalidDataError,
            "y[4, 1, 1] is 0.5; labels must",
        ),
        (CATEGORICAL, {"y": Y}, ShapeError, "y holds class numbers: use loss='sparse_categorical_crossentropy'"),
        (
            "mse",
            {"y": ONE_HOT[:, :2]},
            ShapeError,
            "y has the shape (10, 2, 2, 3), but the network's output has (10, 3, 2",
        ),
        (
            SPARSE,
            {"y": Y, "sample_weight": np.ones((10, 3))},
            ShapeError,
            "sample_weight must have the shape (10,), one weight a sample, or (10, 3, 2), one for each position, got (10, 3)",
        ),
    ],
)
def test_labels_and_weights_that_do_not_fit_the_map(
    loss: str, arguments: dict[str, Any], kind: type[Exception], message: str
) -> None:
    ours, _ = pair("softmax", loss=loss)
    with pytest.raises(kind) as caught:
        ours.fit(X, **arguments)
    assert message in str(caught.value)


def test_binary_labels_of_a_map_out_of_range_are_named_by_their_place() -> None:
    ours, _ = pair("sigmoid", loss="binary_crossentropy")
    y = ONE_HOT.copy()
    y[3, 2, 1, 0] = 7.0
    with pytest.raises(InvalidDataError, match=r"y\[3, 2, 1, 0\] is 7.0; binary labels are 0 or 1"):
        ours.fit(X, y)


@pytest.mark.parametrize("name", ["MeanSquaredError", "MeanAbsoluteError", "BinaryCrossentropy"])
@pytest.mark.parametrize("weight", [None, BY_SAMPLE, BY_POSITION], ids=["not", "by sample", "by position"])
def test_losses_by_hand(rng: np.random.Generator, name: str, weight: Array | None) -> None:
    prediction = rng.uniform(0.1, 0.9, (*POSITIONS, CLASSES)).astype(np.float32)
    theirs = BY_SAMPLE.reshape(SAMPLES, 1, 1) if weight is BY_SAMPLE else weight
    expected = getattr(keras.losses, name)()(ONE_HOT, prediction, sample_weight=theirs)
    actual = getattr(losses, name)()(ONE_HOT, prediction, sample_weight=weight)
    assert actual == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize(
    ("metric", "y"),
    [
        ("SparseCategoricalAccuracy", Y),
        ("SparseTopKCategoricalAccuracy", Y),
        ("CategoricalAccuracy", ONE_HOT),
        ("TopKCategoricalAccuracy", ONE_HOT),
        ("BinaryAccuracy", ONE_HOT),
        ("MeanSquaredError", ONE_HOT),
        ("MeanAbsoluteError", ONE_HOT),
    ],
)
@pytest.mark.parametrize("weight", [None, BY_SAMPLE, BY_POSITION], ids=["not", "by sample", "by position"])
def test_metrics_by_hand(rng: np.random.Generator, metric: str, y: Array, weight: Array | None) -> None:
    prediction = rng.uniform(0.1, 0.9, (*POSITIONS, CLASSES)).astype(np.float32)
    arguments = {"k": 2} if "TopK" in metric else {}
    theirs = BY_SAMPLE.reshape(SAMPLES, 1, 1) if weight is BY_SAMPLE else weight
    expected = getattr(keras.metrics, metric)(**arguments)(y, prediction, sample_weight=theirs)
    assert getattr(metrics, metric)(**arguments)(y, prediction, weight) == pytest.approx(float(expected), rel=1e-5)
