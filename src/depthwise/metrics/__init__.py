"""Keras' metrics: running means over the samples seen since `reset_state`, in NumPy. Names and values are Keras' own.

The loop gives every metric the labels as the loss takes them: (batch, …) class numbers for sparse categorical
cross-entropy, else one value for each output. Called by hand, they take whatever Keras' take. A sample's value is the mean
over its outputs, and over its positions where it is a map.
"""

import inspect
from typing import Any

from depthwise.configuration import serialized
from depthwise.documentation import document
from depthwise.errors import InvalidArgumentError, describe_value
from depthwise.losses import (
    BCE,
    KLD,
    MAE,
    MAPE,
    MSE,
    MSLE,
    Loss,
    bce,
    binary_crossentropy,
    binary_focal_crossentropy,
    categorical_crossentropy,
    categorical_focal_crossentropy,
    categorical_generalized_cross_entropy,
    categorical_hinge,
    cosine_similarity,
    dice,
    hinge,
    huber,
    kl_divergence,
    kld,
    kullback_leibler_divergence,
    log_cosh,
    logcosh,
    mae,
    mape,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    mean_squared_logarithmic_error,
    mse,
    msle,
    poisson,
    sparse_categorical_crossentropy,
    squared_hinge,
    tversky,
)
from depthwise.losses.functions import class_of
from depthwise.meanings import METRICS
from depthwise.metrics.accuracy import (
    Accuracy,
    BinaryAccuracy,
    CategoricalAccuracy,
    SparseCategoricalAccuracy,
    SparseTopKCategoricalAccuracy,
    TopKCategoricalAccuracy,
)
from depthwise.metrics.auc import AUC
from depthwise.metrics.base import Mean, MeanMetric, MeanMetricWrapper, Metric, Sum
from depthwise.metrics.confusion import (
    FalseNegatives,
    FalsePositives,
    Precision,
    PrecisionAtRecall,
    Recall,
    RecallAtPrecision,
    SensitivityAtSpecificity,
    SpecificityAtSensitivity,
    TrueNegatives,
    TruePositives,
)
from depthwise.metrics.fscore import F1Score, FBetaScore
from depthwise.metrics.functions import as_function
from depthwise.metrics.iou import BinaryIoU, IoU, MeanIoU, OneHotIoU, OneHotMeanIoU
from depthwise.metrics.probabilities import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    CategoricalHinge,
    Hinge,
    KLDivergence,
    Poisson,
    SparseCategoricalCrossentropy,
    SquaredHinge,
)
from depthwise.metrics.regression import (
    ConcordanceCorrelation,
    CosineSimilarity,
    LogCoshError,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    PearsonCorrelation,
    R2Score,
    RootMeanSquaredError,
)

__all__ = [
    "AUC",
    "BCE",
    "KLD",
    "MAE",
    "MAPE",
    "MSE",
    "MSLE",
    "Accuracy",
    "BinaryAccuracy",
    "BinaryCrossentropy",
    "BinaryIoU",
    "CategoricalAccuracy",
    "CategoricalCrossentropy",
    "CategoricalHinge",
    "ConcordanceCorrelation",
    "CosineSimilarity",
    "F1Score",
    "FBetaScore",
    "FalseNegatives",
    "FalsePositives",
    "Hinge",
    "IoU",
    "KLDivergence",
    "LogCoshError",
    "Mean",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanIoU",
    "MeanMetric",
    "MeanMetricWrapper",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "Metric",
    "OneHotIoU",
    "OneHotMeanIoU",
    "PearsonCorrelation",
    "Poisson",
    "Precision",
    "PrecisionAtRecall",
    "R2Score",
    "Recall",
    "RecallAtPrecision",
    "RootMeanSquaredError",
    "SensitivityAtSpecificity",
    "SparseCategoricalAccuracy",
    "SparseCategoricalCrossentropy",
    "SparseTopKCategoricalAccuracy",
    "SpecificityAtSensitivity",
    "SquaredHinge",
    "Sum",
    "TopKCategoricalAccuracy",
    "TrueNegatives",
    "TruePositives",
    "bce",
    "binary_accuracy",
    "binary_crossentropy",
    "binary_focal_crossentropy",
    "categorical_accuracy",
    "categorical_crossentropy",
    "categorical_focal_crossentropy",
    "categorical_generalized_cross_entropy",
    "categorical_hinge",
    "concordance_correlation",
    "cosine_similarity",
    "deserialize",
    "dice",
    "get",
    "hinge",
    "huber",
    "kl_divergence",
    "kld",
    "kullback_leibler_divergence",
    "log_cosh",
    "logcosh",
    "mae",
    "mape",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_squared_error",
    "mean_squared_logarithmic_error",
    "mse",
    "msle",
    "pearson_correlation",
    "poisson",
    "resolve",
    "serialize",
    "sparse_categorical_accuracy",
    "sparse_categorical_crossentropy",
    "sparse_top_k_categorical_accuracy",
    "squared_hinge",
    "top_k_categorical_accuracy",
    "tversky",
]

CLASSES: dict[str, Any] = {
    "accuracy": Accuracy,
    "auc": AUC,
    "binary_accuracy": BinaryAccuracy,
    "binary_crossentropy": BinaryCrossentropy,
    "binary_io_u": BinaryIoU,
    "categorical_accuracy": CategoricalAccuracy,
    "categorical_crossentropy": CategoricalCrossentropy,
    "categorical_hinge": CategoricalHinge,
    "concordance_correlation": ConcordanceCorrelation,
    "cosine_similarity": CosineSimilarity,
    "f1_score": F1Score,
    "f_beta_score": FBetaScore,
    "false_negatives": FalseNegatives,
    "false_positives": FalsePositives,
    "hinge": Hinge,
    "io_u": IoU,
    "kl_divergence": KLDivergence,
    "log_cosh_error": LogCoshError,
    "mean": Mean,
    "mean_absolute_error": MeanAbsoluteError,
    "mean_absolute_percentage_error": MeanAbsolutePercentageError,
    "mean_io_u": MeanIoU,
    "mean_squared_error": MeanSquaredError,
    "mean_squared_logarithmic_error": MeanSquaredLogarithmicError,
    "one_hot_io_u": OneHotIoU,
    "one_hot_mean_io_u": OneHotMeanIoU,
    "pearson_correlation": PearsonCorrelation,
    "poisson": Poisson,
    "precision": Precision,
    "precision_at_recall": PrecisionAtRecall,
    "r2_score": R2Score,
    "recall": Recall,
    "recall_at_precision": RecallAtPrecision,
    "root_mean_squared_error": RootMeanSquaredError,
    "sensitivity_at_specificity": SensitivityAtSpecificity,
    "sparse_categorical_accuracy": SparseCategoricalAccuracy,
    "sparse_categorical_crossentropy": SparseCategoricalCrossentropy,
    "sparse_top_k_categorical_accuracy": SparseTopKCategoricalAccuracy,
    "specificity_at_sensitivity": SpecificityAtSensitivity,
    "squared_hinge": SquaredHinge,
    "sum": Sum,
    "top_k_categorical_accuracy": TopKCategoricalAccuracy,
    "true_negatives": TrueNegatives,
    "true_positives": TruePositives,
}

# Metrics as functions.
binary_accuracy = as_function(BinaryAccuracy, "binary_accuracy")
categorical_accuracy = as_function(CategoricalAccuracy, "categorical_accuracy")
sparse_categorical_accuracy = as_function(SparseCategoricalAccuracy, "sparse_categorical_accuracy")
sparse_top_k_categorical_accuracy = as_function(SparseTopKCategoricalAccuracy, "sparse_top_k_categorical_accuracy")
top_k_categorical_accuracy = as_function(TopKCategoricalAccuracy, "top_k_categorical_accuracy")
pearson_correlation = as_function(PearsonCorrelation, "pearson_correlation")
concordance_correlation = as_function(ConcordanceCorrelation, "concordance_correlation")

_BY_NAME: dict[str, Any] = {
    **CLASSES,
    **{cls.__name__: cls for cls in CLASSES.values()},
    "bce": BinaryCrossentropy,
    "BCE": BinaryCrossentropy,
    "kld": KLDivergence,
    "KLD": KLDivergence,
    "logcosh": LogCoshError,
    "log_cosh": LogCoshError,
    "mae": MeanAbsoluteError,
    "MAE": MeanAbsoluteError,
    "mape": MeanAbsolutePercentageError,
    "MAPE": MeanAbsolutePercentageError,
    "mse": MeanSquaredError,
    "MSE": MeanSquaredError,
    "msle": MeanSquaredLogarithmicError,
    "MSLE": MeanSquaredLogarithmicError,
}

_TWINS = {
    "CategoricalAccuracy": "SparseCategoricalAccuracy",
    "SparseCategoricalAccuracy": "CategoricalAccuracy",
    "TopKCategoricalAccuracy": "SparseTopKCategoricalAccuracy",
    "SparseTopKCategoricalAccuracy": "TopKCategoricalAccuracy",
    "BinaryAccuracy": "SparseCategoricalAccuracy",
    "CategoricalCrossentropy": "SparseCategoricalCrossentropy",
    "SparseCategoricalCrossentropy": "CategoricalCrossentropy",
}


def get(identifier: Any) -> Metric:
    """A metric from its name, its class, Keras' configuration, or a metric itself.

    A metric given by name is called by that name, as Keras does ("mse" stays "mse" in the logs). A function of
    (y_true, y_pred) is the mean of what it gives, under its own name; a loss the mean of the loss.

    Raises:
        InvalidArgumentError: not one of the metrics here; the message lists them.
    """
    if isinstance(identifier, Metric):
        return identifier
    if isinstance(identifier, type) and issubclass(identifier, Metric) and identifier in CLASSES.values():
        return identifier()
    if isinstance(identifier, dict):
        cls = _BY_NAME.get(str(identifier.get("class_name")))
        config = identifier.get("config", {})
        if cls is not None and isinstance(config, dict):
            try:
                made: Metric = cls(**config)
            except TypeError:  # an argument that it does not have
                pass
            else:
                return made
    elif isinstance(identifier, Loss) or class_of(identifier) is not None or inspect.isroutine(identifier):
        return MeanMetricWrapper(identifier)
    elif isinstance(identifier, str) and identifier in _BY_NAME:
        named: Metric = _BY_NAME[identifier]()
        named.name = identifier
        return named
    raise InvalidArgumentError(
        f"unknown metric {describe_value(identifier)}; allowed are accuracy, " + ", ".join(sorted(CLASSES))
    )


def resolve(identifier: Any, loss: Loss, outputs: int) -> Metric:
    """The metric that `identifier` means beside `loss` on a network with so many outputs: "accuracy" (or "acc") is the
    binary, sparse categorical or categorical one, as Keras chooses.

    Raises:
        InvalidArgumentError: unknown, or it needs labels of another kind than the loss takes.
    """
    if isinstance(identifier, str) and identifier.lower() in ("accuracy", "acc"):
        chosen: Metric
        if outputs == 1:
            chosen = BinaryAccuracy()
        else:
            chosen = SparseCategoricalAccuracy() if loss.sparse else CategoricalAccuracy()
        chosen.name = identifier
        return chosen
    metric = get(identifier)
    if metric.labels != "any" and (metric.labels == "sparse") != loss.sparse:
        kind = type(metric).__name__
        takes = "class numbers" if loss.sparse else "one value for each output"
        needs = "class numbers" if metric.labels == "sparse" else "one value for each output"
        instead = f"; use {_TWINS[kind]}, or 'accuracy'" if kind in _TWINS else "; leave it out"
        raise InvalidArgumentError(
            f"the metric {kind} needs labels with {needs}, but the loss {type(loss).__name__} takes {takes}{instead}"
        )
    return metric


def serialize(metric: Metric) -> dict[str, Any]:
    """The metric as Keras serialises it."""
    return serialized("keras.metrics", type(metric).__name__, metric.get_config())


def deserialize(config: dict[str, Any]) -> Metric:
    """A metric from what `serialize` gave, here or in Keras."""
    return get(config)


document(globals(), __all__, METRICS)


def __dir__() -> list[str]:
    return sorted(__all__)
