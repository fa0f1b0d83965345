"""Every metric against real Keras, over random batches with and without weights."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest

from depthwise import metrics

Array = npt.NDArray[Any]
Data = Callable[[np.random.Generator], tuple[Array, Array]]
SAMPLES, OUTPUTS = 23, 4


def _bits(rng: np.random.Generator) -> tuple[Array, Array]:
    """Several yes-or-no outputs; some predictions lie on thresholds."""
    predictions = rng.random((SAMPLES, OUTPUTS)).astype(np.float32)
    predictions[0] = [0.0, 1.0, 0.5, 0.25]
    return (rng.random((SAMPLES, OUTPUTS)) < 0.4).astype(np.float32), predictions


def _one_bit(rng: np.random.Generator) -> tuple[Array, Array]:
    labels, predictions = _bits(rng)
    return labels[:, 0], predictions[:, :1]


def _one_hot(rng: np.random.Generator) -> tuple[Array, Array]:
    z = rng.standard_normal((SAMPLES, OUTPUTS))
    return np.eye(OUTPUTS, dtype=np.float32)[rng.integers(0, OUTPUTS, SAMPLES)], (
        np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    ).astype(np.float32)


def _classes(rng: np.random.Generator) -> tuple[Array, Array]:
    labels, predictions = _one_hot(rng)
    return labels.argmax(axis=1), predictions


def _two_classes(rng: np.random.Generator) -> tuple[Array, Array]:
    return rng.integers(0, OUTPUTS, (SAMPLES, 3)), rng.integers(0, OUTPUTS, (SAMPLES, 3))


def _numbers(rng: np.random.Generator) -> tuple[Array, Array]:
    return tuple(rng.uniform(0.1, 2.0, (SAMPLES, OUTPUTS)).astype(np.float32) for _ in range(2))  # type: ignore[return-value]


CASES: list[tuple[str, dict[str, Any], Data]] = [
    ("Accuracy", {}, _two_classes),
    ("BinaryAccuracy", {"threshold": 0.3}, _bits),
    ("CategoricalAccuracy", {}, _one_hot),
    ("SparseCategoricalAccuracy", {}, _classes),
    ("TopKCategoricalAccuracy", {"k": 2}, _one_hot),
    ("SparseTopKCategoricalAccuracy", {"k": 2}, _classes),
    (
        "SparseTopKCategoricalAccuracy",
        {"k": 2, "from_sorted_ids": True},
        lambda rng: (rng.integers(0, 4, SAMPLES).astype(np.float32), rng.permuted(np.tile(np.arange(4.0), (SAMPLES, 1)), axis=1)),
    ),
    *((name, {}, _bits) for name in ("TruePositives", "FalsePositives", "TrueNegatives", "FalseNegatives")),
    ("TruePositives", {"thresholds": [0.1, 0.25, 0.5]}, _bits),
    ("FalseNegatives", {"thresholds": [0.0, 0.5, 1.0]}, _bits),
    ("Precision", {}, _one_bit),
    ("Precision", {"thresholds": [0.2, 0.7]}, _bits),
    ("Precision", {"top_k": 2}, _bits),
    ("Precision", {"class_id": 2}, _bits),
    ("Recall", {}, _one_bit),
    ("Recall", {"thresholds": 0.25}, _bits),
    ("Recall", {"top_k": 1, "class_id": 1}, _bits),
    ("SensitivityAtSpecificity", {"specificity": 0.6}, _one_bit),
    ("SensitivityAtSpecificity", {"specificity": 0.3, "num_thresholds": 1}, _bits),
    ("SpecificityAtSensitivity", {"sensitivity": 0.4, "num_thresholds": 20}, _bits),
    ("PrecisionAtRecall", {"recall": 0.5}, _bits),
    ("RecallAtPrecision", {"precision": 0.4, "class_id": 1}, _bits),
    ("AUC", {}, _one_bit),
    ("AUC", {"num_thresholds": 7}, _bits),
    ("AUC", {"thresholds": [0.1, 0.4, 0.45]}, _bits),
    ("AUC", {"from_logits": True}, lambda rng: (_bits(rng)[0], _numbers(rng)[1] - 1.0)),
    *(
        ("AUC", {"curve": curve, "summation_method": method, "num_thresholds": 50, "multi_label": several}, _bits)
        for curve in ("ROC", "PR", "PRGAIN")
        for method in ("interpolation", "majoring", "minoring")
        for several in (False, True)
    ),
    ("AUC", {"label_weights": [1.0, 2.0, 0.5, 0.0]}, _bits),
    ("AUC", {"label_weights": [1.0, 2.0, 0.5, 0.0], "multi_label": True, "curve": "PR"}, _bits),
    *(("F1Score", {"average": average}, _one_hot) for average in (None, "micro", "macro", "weighted")),
    ("F1Score", {"threshold": 0.3, "average": "macro"}, _bits),
    ("FBetaScore", {"beta": 2.0, "average": "weighted"}, _one_hot),
    ("MeanIoU", {"num_classes": OUTPUTS}, _two_classes),
    ("MeanIoU", {"num_classes": OUTPUTS, "sparse_y_pred": False, "ignore_class": 1}, _classes),
    ("IoU", {"num_classes": OUTPUTS, "target_class_ids": [0, 2]}, _two_classes),
    ("BinaryIoU", {"threshold": 0.25}, _bits),
    ("BinaryIoU", {"target_class_ids": [1]}, _bits),
    ("OneHotIoU", {"num_classes": OUTPUTS, "target_class_ids": [1]}, _one_hot),
    ("OneHotMeanIoU", {"num_classes": OUTPUTS}, _one_hot),
    *(
        (name, {}, _numbers)
        for name in (
            "MeanSquaredError", "MeanAbsoluteError", "RootMeanSquaredError", "MeanAbsolutePercentageError",
            "MeanSquaredLogarithmicError", "LogCoshError", "CosineSimilarity", "R2Score", "KLDivergence", "Poisson",
            "PearsonCorrelation", "ConcordanceCorrelation",
        )
    ),
    ("R2Score", {"class_aggregation": None}, _numbers),
    ("R2Score", {"class_aggregation": "variance_weighted_average", "num_regressors": 2}, _numbers),
    *((name, {}, _bits) for name in ("Hinge", "SquaredHinge", "CategoricalHinge")),
    ("BinaryCrossentropy", {"label_smoothing": 0.1}, _bits),
    ("CategoricalCrossentropy", {"from_logits": True}, _one_hot),
    ("SparseCategoricalCrossentropy", {"ignore_class": 2}, _classes),
]  # fmt: skip


def _weights(name: str, rng: np.random.Generator, labels: Array, which: str) -> Array | None:
    if which == "none":
        return None
    if "IoU" in name:  # Keras leaves out the fractions of such weights
        return rng.integers(0, 4, labels.shape if "OneHot" not in name else SAMPLES)
    return rng.uniform(0.0, 2.0, SAMPLES).astype(np.float32)


@pytest.mark.filterwarnings("ignore:Explicitly requested dtype int64")  # Keras' own IoU asks for it
@pytest.mark.parametrize("which", ["none", "weighted"])
@pytest.mark.parametrize(("name", "arguments", "data"), CASES, ids=lambda item: str(item) if not callable(item) else "")
def test_metric(name: str, arguments: dict[str, Any], data: Data, which: str) -> None:
    """Three batches, the second of which is put aside and taken up again, then forgotten and one more."""
    rng = np.random.default_rng(len(name) + len(str(arguments)))
    ours, theirs = getattr(metrics, name)(**arguments), getattr(keras.metrics, name)(**arguments)
    for number in range(3):
        labels, predictions = data(rng)
        weights = _weights(name, rng, labels, which)
        ours.update_state(labels, predictions, weights)
        theirs.update_state(labels, predictions, weights)
        if number == 1:
            again = getattr(metrics, name)(**arguments)
            again.restore(ours.state)
            ours = again
    # Keras adds up in float32: each of its sums is off by so many roundings.
    size = 4.0 * 3 * SAMPLES * OUTPUTS * 2.0**-24
    np.testing.assert_allclose(ours.result(), np.asarray(theirs.result()), rtol=size, atol=size)
    for metric in (ours, theirs):
        metric.reset_state()
    labels, predictions = data(rng)
    ours.update_state(labels, predictions)
    theirs.update_state(labels, predictions)
    np.testing.assert_allclose(ours.result(), np.asarray(theirs.result()), rtol=size, atol=size)
    config = ours.get_config()
    rebuilt = metrics.get({"class_name": name, "config": config})
    assert rebuilt.get_config() == config
    getattr(keras.metrics, name).from_config(config)


def test_every_metric_is_tested() -> None:
    tested = {name for name, _, _ in CASES} | {"Mean", "Sum"}
    assert {cls.__name__ for cls in metrics.CLASSES.values()} <= tested
    needs_text_or_more = {"Metric", "MeanMetricWrapper"}
    theirs = {
        name for name in dir(keras.metrics) if name[0].isupper() and isinstance(getattr(keras.metrics, name), type)
    }
    assert theirs - needs_text_or_more <= {cls.__name__ for cls in metrics.CLASSES.values()}


def test_mean_and_sum() -> None:
    values, weights = [1.0, 5.0, 3.0], [1.0, 0.5, 2.0]
    for name in ("Mean", "Sum"):
        ours, theirs = getattr(metrics, name)(), getattr(keras.metrics, name)()
        assert ours(values, weights) == pytest.approx(float(theirs(values, weights)))
        assert ours(values) == pytest.approx(float(theirs(values)))


@pytest.mark.parametrize("name", ["binary_accuracy", "categorical_accuracy", "top_k_categorical_accuracy"])
def test_functions(name: str) -> None:
    labels, predictions = _one_hot(np.random.default_rng(1))
    arguments = {"k": 2} if "top_k" in name else {}
    expected = np.asarray(getattr(keras.metrics, name)(labels, predictions, **arguments))
    np.testing.assert_array_equal(getattr(metrics, name)(labels, predictions, **arguments), expected)


def test_own_functions_are_means_under_their_own_names() -> None:
    def largest_error(y_true: Array, y_pred: Array) -> Array:
        return np.asarray(np.abs(y_true - y_pred).max(axis=-1))

    metric = metrics.get(largest_error)
    assert metric.name == "largest_error"
    metric.update_state(np.zeros((2, 2)), np.array([[1.0, 2.0], [4.0, 0.0]]), [1.0, 3.0])
    assert metric.result() == (2.0 + 3.0 * 4.0) / 4.0
    whole = metrics.get(np.vdot)
    whole.update_state(np.ones(2), np.array([1.0, 2.0]))
    assert whole.result() == 3.0


def test_a_function_that_gives_too_few_values_is_named() -> None:
    def wrong(y_true: Array, y_pred: Array) -> Array:
        return y_true[:1]

    with pytest.raises(
        Exception, match=r"the metric 'wrong' gave float64 of shape \(1,\) for 2 samples; it must give one"
    ):
        metrics.get(wrong)(np.ones(2), np.ones(2))
