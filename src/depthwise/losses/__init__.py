"""Descriptions of Keras' losses: what `fit` minimises.

A description holds the arguments; the native training step differentiates it, and `per_sample` evaluates it in NumPy for
`evaluate` and `test_on_batch`. Names, arguments, defaults and values are those of `keras.losses`.
"""

from collections.abc import Callable
from typing import Any

from depthwise.absent import ABSENT, absent
from depthwise.configuration import made_from, serialized
from depthwise.documentation import document
from depthwise.errors import InvalidArgumentError, UnsupportedError, describe_value
from depthwise.losses.base import EPSILON, FormulaLoss, Loss, per_sample, shares
from depthwise.losses.crossentropy import BinaryCrossentropy, CategoricalCrossentropy, SparseCategoricalCrossentropy
from depthwise.losses.focal import (
    BinaryFocalCrossentropy,
    CategoricalFocalCrossentropy,
    CategoricalGeneralizedCrossEntropy,
    KLDivergence,
)
from depthwise.losses.functions import as_function, class_of
from depthwise.losses.hinge import CategoricalHinge, Hinge, SquaredHinge
from depthwise.losses.own import FunctionLoss
from depthwise.losses.regression import (
    CosineSimilarity,
    Huber,
    LogCosh,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    Poisson,
)
from depthwise.losses.segmentation import Dice, Tversky
from depthwise.meanings import LOSSES

__all__ = [
    "BCE",
    "EPSILON",
    "KLD",
    "MAE",
    "MAPE",
    "MSE",
    "MSLE",
    "BinaryCrossentropy",
    "BinaryFocalCrossentropy",
    "CategoricalCrossentropy",
    "CategoricalFocalCrossentropy",
    "CategoricalGeneralizedCrossEntropy",
    "CategoricalHinge",
    "CosineSimilarity",
    "Dice",
    "FormulaLoss",
    "FunctionLoss",
    "Hinge",
    "Huber",
    "KLDivergence",
    "LogCosh",
    "Loss",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "Poisson",
    "SparseCategoricalCrossentropy",
    "SquaredHinge",
    "Tversky",
    "bce",
    "binary_crossentropy",
    "binary_focal_crossentropy",
    "categorical_crossentropy",
    "categorical_focal_crossentropy",
    "categorical_generalized_cross_entropy",
    "categorical_hinge",
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
    "per_sample",
    "poisson",
    "serialize",
    "shares",
    "sparse_categorical_crossentropy",
    "squared_hinge",
    "tversky",
]

CLASSES: dict[str, type[Loss]] = {
    "sparse_categorical_crossentropy": SparseCategoricalCrossentropy,
    "categorical_crossentropy": CategoricalCrossentropy,
    "binary_crossentropy": BinaryCrossentropy,
    "binary_focal_crossentropy": BinaryFocalCrossentropy,
    "categorical_focal_crossentropy": CategoricalFocalCrossentropy,
    "categorical_generalized_cross_entropy": CategoricalGeneralizedCrossEntropy,
    "kl_divergence": KLDivergence,
    "poisson": Poisson,
    "mean_squared_error": MeanSquaredError,
    "mean_absolute_error": MeanAbsoluteError,
    "mean_absolute_percentage_error": MeanAbsolutePercentageError,
    "mean_squared_logarithmic_error": MeanSquaredLogarithmicError,
    "cosine_similarity": CosineSimilarity,
    "huber": Huber,
    "log_cosh": LogCosh,
    "hinge": Hinge,
    "squared_hinge": SquaredHinge,
    "categorical_hinge": CategoricalHinge,
    "dice": Dice,
    "tversky": Tversky,
}

_ALIASES = {
    "bce": "binary_crossentropy",
    "BCE": "binary_crossentropy",
    "kld": "kl_divergence",
    "KLD": "kl_divergence",
    "kullback_leibler_divergence": "kl_divergence",
    "logcosh": "log_cosh",
    "mae": "mean_absolute_error",
    "MAE": "mean_absolute_error",
    "mape": "mean_absolute_percentage_error",
    "MAPE": "mean_absolute_percentage_error",
    "mse": "mean_squared_error",
    "MSE": "mean_squared_error",
    "msle": "mean_squared_logarithmic_error",
    "MSLE": "mean_squared_logarithmic_error",
}

# Losses as functions.
sparse_categorical_crossentropy = as_function(SparseCategoricalCrossentropy, "sparse_categorical_crossentropy")
categorical_crossentropy = as_function(CategoricalCrossentropy, "categorical_crossentropy")
binary_crossentropy = as_function(BinaryCrossentropy, "binary_crossentropy")
binary_focal_crossentropy = as_function(BinaryFocalCrossentropy, "binary_focal_crossentropy")
categorical_focal_crossentropy = as_function(CategoricalFocalCrossentropy, "categorical_focal_crossentropy")
categorical_generalized_cross_entropy = as_function(
    CategoricalGeneralizedCrossEntropy, "categorical_generalized_cross_entropy"
)
kl_divergence = as_function(KLDivergence, "kl_divergence")
poisson = as_function(Poisson, "poisson")
mean_squared_error = as_function(MeanSquaredError, "mean_squared_error")
mean_absolute_error = as_function(MeanAbsoluteError, "mean_absolute_error")
mean_absolute_percentage_error = as_function(MeanAbsolutePercentageError, "mean_absolute_percentage_error")
mean_squared_logarithmic_error = as_function(MeanSquaredLogarithmicError, "mean_squared_logarithmic_error")
cosine_similarity = as_function(CosineSimilarity, "cosine_similarity")
huber = as_function(Huber, "huber")
log_cosh = as_function(LogCosh, "log_cosh")
hinge = as_function(Hinge, "hinge")
squared_hinge = as_function(SquaredHinge, "squared_hinge")
categorical_hinge = as_function(CategoricalHinge, "categorical_hinge")
dice = as_function(Dice, "dice")
tversky = as_function(Tversky, "tversky")
bce = binary_crossentropy
BCE = binary_crossentropy
kld = kl_divergence
KLD = kl_divergence
kullback_leibler_divergence = kl_divergence
logcosh = log_cosh
mae = mean_absolute_error
MAE = mean_absolute_error
mape = mean_absolute_percentage_error
MAPE = mean_absolute_percentage_error
mse = mean_squared_error
MSE = mean_squared_error
msle = mean_squared_logarithmic_error
MSLE = mean_squared_logarithmic_error

_BY_NAME: dict[str, type[Loss]] = {
    **CLASSES,
    **{cls.__name__: cls for cls in CLASSES.values()},
    **{alias: CLASSES[name] for alias, name in _ALIASES.items()},
}

_REFUSED = {name.lower(): reason for name, reason in ABSENT["losses"].items()}


def get(identifier: str | Loss | type[Loss] | Callable[..., Any] | dict[str, Any]) -> Loss:
    """The description that `identifier` names: a name, an alias, a class, Keras' configuration, or a description itself.

    >>> get("mse")
    MeanSquaredError(reduction='sum_over_batch_size', name='mean_squared_error', dtype=None)

    Raises:
        InvalidArgumentError: not one of the losses here; the message lists them.
        UnsupportedError: one of Keras' losses that Depthwise does not have.
    """
    if isinstance(identifier, Loss):
        return identifier
    from_function = class_of(identifier)
    if from_function is not None:
        return from_function()
    if isinstance(identifier, type) and issubclass(identifier, Loss) and identifier in _BY_NAME.values():
        return identifier()
    name = identifier
    if isinstance(identifier, dict):
        name = str(identifier.get("class_name"))
        made = made_from(identifier, _BY_NAME)
        if made is not None:
            return made
    elif isinstance(identifier, str) and identifier in _BY_NAME:
        return _BY_NAME[identifier]()
    if isinstance(name, str) and name.lower() in _REFUSED:
        raise UnsupportedError(
            f"the loss {describe_value(name)} is not supported: {_REFUSED[name.lower()]}; there are {', '.join(sorted(CLASSES))}"
        )
    if callable(identifier):
        raise UnsupportedError(
            f"the loss {describe_value(getattr(identifier, '__name__', identifier))} is a Python function without a gradient; "
            "give both as losses.FunctionLoss(value=…, gradient=…), functions of NumPy arrays (y_true, y_pred), or use one of "
            + ", ".join(sorted(CLASSES))
        )
    raise InvalidArgumentError(f"unknown loss {describe_value(identifier)}; allowed are " + ", ".join(sorted(CLASSES)))


def serialize(loss: Loss) -> dict[str, Any]:
    """The loss as Keras serialises it."""
    return serialized("keras.losses", type(loss).__name__, loss.get_config())


def deserialize(name: str | dict[str, Any]) -> Loss:
    """A loss from what `serialize` gave, here or in Keras, or from its name."""
    return get(name)


document(globals(), __all__, LOSSES)


def __dir__() -> list[str]:
    return sorted(__all__)


def __getattr__(name: str) -> Any:
    raise absent("losses", {"ctc": "CTC", "circle": "Circle"}.get(name, name), __all__)
