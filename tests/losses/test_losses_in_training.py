"""Losses, reductions and weights in whole training steps, against real Keras."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest

from depthwise import callbacks, layers, losses, metrics, models
from depthwise.errors import ShapeError, UnsupportedError
from depthwise.runtime.threads import set_threads

Array = npt.NDArray[Any]
SAMPLES, ROWS, COLUMNS, CHANNELS = 6, 3, 2, 4
MAP, VECTOR = (ROWS, COLUMNS, CHANNELS), (CHANNELS,)
RNG = np.random.default_rng(8)
BY_SAMPLE = RNG.uniform(0.2, 2.0, SAMPLES).astype(np.float32)
BY_POSITION = RNG.uniform(0.2, 2.0, (SAMPLES, ROWS, COLUMNS)).astype(np.float32)
CLASSES = RNG.integers(0, CHANNELS, (SAMPLES, ROWS, COLUMNS))
IGNORED = np.where(RNG.random(CLASSES.shape) < 0.3, 255, CLASSES)


def cubic(y_true: Any, y_pred: Any) -> Any:
    return (abs(y_pred - y_true) ** 3).mean(axis=-1)


def cubic_slope(y_true: Any, y_pred: Any) -> Any:
    return 3.0 * (y_pred - y_true) * np.abs(y_pred - y_true) / y_pred.shape[-1]


def largest(y_true: Any, y_pred: Any) -> Any:
    return ((y_pred - y_true) ** 2).sum()


def largest_slope(y_true: Array, y_pred: Array) -> Array:
    return 2.0 * (y_pred - y_true)


def _bits(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return (rng.random((SAMPLES, *shape)) < 0.4).astype(np.float32)


def _numbers(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return rng.random((SAMPLES, *shape)).astype(np.float32)


SPARSE = "SparseCategoricalCrossentropy"
CASES: dict[str, tuple[str, dict[str, Any], tuple[int, ...], str, Array, Array | None]] = {
    "a map with weights by position": ("Huber", {}, MAP, "linear", _numbers(RNG, MAP), BY_POSITION),
    "labels 0 and 1": ("Hinge", {}, VECTOR, "tanh", _bits(RNG, VECTOR), None),
    "one loss of the batch": ("Dice", {}, MAP, "sigmoid", _bits(RNG, MAP), None),
    "one loss of the batch, weighted": ("Dice", {}, MAP, "sigmoid", _bits(RNG, MAP), BY_SAMPLE),
    "one loss of the batch, summed": (
        "Tversky",
        {"reduction": "sum", "alpha": 0.3},
        MAP,
        "sigmoid",
        _bits(RNG, MAP),
        None,
    ),
    "one loss a sample": ("Dice", {"axis": (1, 2, 3)}, MAP, "sigmoid", _bits(RNG, MAP), BY_SAMPLE),
    "one loss a channel": ("Dice", {"axis": (1, 2)}, MAP, "sigmoid", _bits(RNG, MAP), None),
    "one loss a position": ("Tversky", {"axis": -1}, MAP, "sigmoid", _bits(RNG, MAP), BY_POSITION),
    "ignored labels": (SPARSE, {"ignore_class": 255}, MAP, "softmax", IGNORED, None),
    "ignored labels, weighted": (SPARSE, {"ignore_class": 255}, MAP, "softmax", IGNORED, BY_POSITION),
    "ignored labels of logits, summed": (
        SPARSE,
        {"ignore_class": 255, "from_logits": True, "reduction": "sum"},
        MAP,
        "linear",
        IGNORED,
        None,
    ),
    "ignored labels by weight": (
        SPARSE,
        {"ignore_class": 255, "reduction": "mean_with_sample_weight"},
        MAP,
        "softmax",
        IGNORED,
        BY_POSITION,
    ),
    "a sum": ("MeanSquaredError", {"reduction": "sum"}, VECTOR, "linear", _numbers(RNG, VECTOR), BY_SAMPLE),
    "a mean by weight": (
        "MeanSquaredError",
        {"reduction": "mean_with_sample_weight"},
        VECTOR,
        "linear",
        _numbers(RNG, VECTOR),
        BY_SAMPLE,
    ),
    "functions": ("cubic", {}, VECTOR, "linear", _numbers(RNG, VECTOR), BY_SAMPLE),
    "functions on maps": ("cubic", {}, MAP, "linear", _numbers(RNG, MAP), BY_POSITION),
    "functions with one loss of the batch": ("largest", {}, MAP, "linear", _numbers(RNG, MAP), None),
}


def own_loss(name: str, arguments: dict[str, Any]) -> losses.Loss:
    if name == "cubic":
        return losses.FunctionLoss(cubic, cubic_slope)
    if name == "largest":
        return losses.FunctionLoss(largest, largest_slope)
    made: losses.Loss = getattr(losses, name)(**arguments)
    return made


def network(kind: Any, source: Any, shape: tuple[int, ...], activation: str) -> Any:
    first = source.Conv2D if len(shape) == 3 else source.Dense
    options = (CHANNELS, 1) if len(shape) == 3 else (CHANNELS,)
    batch = source.BatchNormalization()
    return kind([source.InputLayer((*shape[:-1], 5)), first(*options), batch, first(*options, activation=activation)])


@pytest.mark.parametrize("case", CASES)
def test_steps_are_those_of_keras(case: str) -> None:
    """Two steps and an evaluation: the losses reported, and the weights after."""
    name, arguments, shape, activation, y, weight = CASES[case]
    ours = network(models.Sequential, layers, shape, activation)
    theirs = network(keras.Sequential, keras.layers, shape, activation)
    theirs.set_weights([array.copy() for array in ours.get_weights()])
    ours.compile("sgd", own_loss(name, arguments))
    their_loss = globals()[name] if name in ("cubic", "largest") else getattr(keras.losses, name)(**arguments)
    theirs.compile("sgd", their_loss, run_eagerly=True)
    x = np.random.default_rng(3).standard_normal((SAMPLES, *shape[:-1], 5)).astype(np.float32)
    for _ in range(2):
        mine = ours.train_on_batch(x, y, sample_weight=weight)
        theirs.reset_metrics()
        assert mine == pytest.approx(float(theirs.train_on_batch(x, y, sample_weight=weight)), rel=1e-5)
    for own, other in zip(ours.get_weights(), theirs.get_weights()):
        np.testing.assert_allclose(own, other, rtol=1e-4, atol=2e-6)
    theirs.reset_metrics()
    expected = float(theirs.test_on_batch(x, y, sample_weight=weight))
    assert ours.test_on_batch(x, y, sample_weight=weight) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("loss", "shape"),
    [
        (losses.FunctionLoss(cubic, cubic_slope), VECTOR),
        (losses.Dice(axis=(1, 2, 3)), MAP),
        (losses.Dice(), MAP),
        (losses.CosineSimilarity(), MAP),
    ],
)
def test_the_bits_do_not_depend_on_the_number_of_threads(
    rng: np.random.Generator, loss: losses.Loss, shape: tuple[int, ...]
) -> None:
    x = rng.standard_normal((21, *shape[:-1], 5)).astype(np.float32)
    y = rng.random((21, *shape)).astype(np.float32)
    start = network(models.Sequential, layers, shape, "sigmoid").get_weights()
    found = []
    for threads in (1, 2):
        set_threads(threads)
        try:
            model = network(models.Sequential, layers, shape, "sigmoid")
            model.set_weights(start)
            model.compile("sgd", loss)
            model.fit(x, y, epochs=2, batch_size=8, shuffle=False, verbose=0)
            found.append(model.get_weights())
        finally:
            set_threads(None)
    for one, two in zip(*found):
        np.testing.assert_array_equal(one, two)
    assert any((one != other).any() for one, other in zip(found[0], start))


def test_a_function_without_a_gradient_is_refused() -> None:
    model = network(models.Sequential, layers, VECTOR, "linear")
    with pytest.raises(UnsupportedError) as caught:
        model.compile("sgd", cubic)
    message = str(caught.value)
    assert "the loss 'cubic' is a Python function without a gradient" in message
    assert "losses.FunctionLoss(value=…, gradient=…)" in message
    assert "binary_crossentropy" in message


def test_a_gradient_of_another_shape_is_named() -> None:
    model = network(models.Sequential, layers, VECTOR, "linear")
    model.compile("sgd", losses.FunctionLoss(cubic, lambda y_true, y_pred: np.zeros(3)))
    with pytest.raises(
        ShapeError, match=r"the gradient of 'cubic' has the shape \(3,\); it must have that of the pred"
    ):
        model.train_on_batch(np.zeros((2, 5), np.float32), np.zeros((2, CHANNELS), np.float32))


def test_training_needs_a_loss_that_is_one_number() -> None:
    model = network(models.Sequential, layers, VECTOR, "linear")
    model.compile("sgd", losses.MeanSquaredError(reduction=None))
    with pytest.raises(UnsupportedError, match="reduction must not be None; use 'sum_over_batch_size'"):
        model.train_on_batch(np.zeros((2, 5), np.float32), np.zeros((2, CHANNELS), np.float32))


@pytest.mark.parametrize("loss", ["mse", "binary_crossentropy", "huber"])
def test_class_weights_weigh_by_the_largest_label(rng: np.random.Generator, loss: str) -> None:
    """As Keras takes them, whatever the loss: the class is where the largest label is."""
    y = np.eye(CHANNELS, dtype=np.float32)[rng.integers(0, CHANNELS, SAMPLES)]
    ours = network(models.Sequential, layers, VECTOR, "sigmoid")
    theirs = network(keras.Sequential, keras.layers, VECTOR, "sigmoid")
    theirs.set_weights([array.copy() for array in ours.get_weights()])
    x = rng.standard_normal((SAMPLES, 5)).astype(np.float32)
    for model in (ours, theirs):
        model.compile("sgd", loss)
    expected = theirs.train_on_batch(x, y, class_weight={0: 0.5, 2: 3.0})
    assert ours.train_on_batch(x, y, class_weight={0: 0.5, 2: 3.0}) == pytest.approx(float(expected), rel=1e-5)
    for own, other in zip(ours.get_weights(), theirs.get_weights()):
        np.testing.assert_allclose(own, other, rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize("name", [name for name in losses.CLASSES if hasattr(keras.losses, name)])
def test_functions_of_losses(rng: np.random.Generator, name: str) -> None:
    """`losses.huber(y_true, y_pred)`: an array of Keras' shape."""
    prediction = rng.uniform(0.05, 0.95, (SAMPLES, ROWS, CHANNELS)).astype(np.float32)
    target: Array = _bits(rng, (ROWS, CHANNELS))
    if losses.CLASSES[name].sparse:
        target = rng.integers(0, CHANNELS, (SAMPLES, ROWS))
    arguments = {"q": 0.5} if "generalized" in name else {}  # Keras' function has no default for it
    expected = np.asarray(getattr(keras.losses, name)(target, prediction, **arguments))
    found = getattr(losses, name)(target, prediction, **arguments)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-6)


def test_functions_of_losses_take_their_arguments_in_keras_order(rng: np.random.Generator) -> None:
    logits = rng.standard_normal((SAMPLES, CHANNELS)).astype(np.float32)
    labels = rng.integers(0, CHANNELS, SAMPLES)
    expected = np.asarray(keras.losses.sparse_categorical_crossentropy(labels, logits, True))
    np.testing.assert_allclose(losses.sparse_categorical_crossentropy(labels, logits, True), expected, rtol=1e-5)
    get: Any = losses.get
    assert get(losses.huber) == losses.Huber()
    assert losses.mse([1.0, 2.0], [1.0, 4.0]) == 2.0


class OnceBad(callbacks.Callback):
    """Sets a weight to NaN after the first step of all, and good ones after the epoch."""

    def __init__(self, start: list[Array]) -> None:
        super().__init__()
        self.start, self.done = start, False

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if not self.done:
            self.done = True
            self.model.set_weights([np.full_like(array, np.nan) for array in self.start])

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.model.set_weights(self.start)


def test_a_training_may_recover(rng: np.random.Generator) -> None:
    """A loss that is NaN once is no end: good weights that a callback sets later are trained on."""
    model = network(models.Sequential, layers, VECTOR, "linear")
    model.compile("sgd", "mse")
    x, y = rng.standard_normal((20, 5)).astype(np.float32), rng.random((20, CHANNELS)).astype(np.float32)
    with pytest.warns(callbacks.NotFiniteWarning, match="in epoch 1, step 2: .*; training goes on"):
        history = model.fit(x, y, batch_size=8, epochs=2, verbose=0, callbacks=[OnceBad(model.get_weights())]).history
    assert [bool(np.isfinite(loss)) for loss in history["loss"]] == [False, True]


def test_a_model_with_losses_and_metrics_of_all_kinds_is_saved(rng: np.random.Generator, tmp_path: Path) -> None:
    """As Keras reads it, and with all arguments."""
    model = network(models.Sequential, layers, VECTOR, "sigmoid")
    kinds = [
        metrics.Precision(thresholds=[0.2, 0.5], name="p"),
        metrics.AUC(num_thresholds=20, curve="PR"),
        metrics.F1Score(average="macro"),
        "mse",
    ]
    loss = losses.BinaryFocalCrossentropy(apply_class_balancing=True, alpha=0.3, gamma=1.5, reduction="sum")
    model.compile("sgd", loss, metrics=kinds)
    model.save(tmp_path / "model.keras")
    x, y = rng.standard_normal((SAMPLES, 5)).astype(np.float32), _bits(rng, VECTOR)
    expected = model.evaluate(x, y, verbose=0, return_dict=True)
    again = models.load_model(tmp_path / "model.keras")
    assert again.compiled.loss == loss
    for found in (again, keras.models.load_model(tmp_path / "model.keras")):
        values = found.evaluate(x, y, verbose=0, return_dict=True)
        assert set(values) == set(expected)
        for name, value in expected.items():
            np.testing.assert_allclose(values[name], value, rtol=1e-4, err_msg=name)


@pytest.mark.parametrize(
    "arguments", [{"loss": losses.FunctionLoss(cubic, cubic_slope)}, {"loss": "mse", "metrics": [cubic]}]
)
def test_a_model_with_own_functions_is_loaded_uncompiled(tmp_path: Path, arguments: dict[str, Any]) -> None:
    model = network(models.Sequential, layers, VECTOR, "linear")
    model.compile("sgd", **arguments)
    model.save(tmp_path / "model.keras")
    with pytest.warns(
        UserWarning, match="loaded but not compiled: .* 'cubic' is a Python function, which a file does not"
    ):
        assert models.load_model(tmp_path / "model.keras").compiled is None


def test_python_functions_where_nothing_trains() -> None:
    """No gradient is needed, so nothing in the native step waits for the loss."""
    model = models.Sequential([layers.ReLU(input_shape=(4,))])
    model.compile(
        "sgd", losses.FunctionLoss(lambda true, made: np.sum(made - true, axis=-1), lambda true, made: 1 + 0 * made)
    )
    data, labels = np.full((3, 4), 2.0, np.float32), np.ones((3, 4), np.float32)
    assert model.train_on_batch(data, labels) == model.test_on_batch(data, labels) == 4.0
