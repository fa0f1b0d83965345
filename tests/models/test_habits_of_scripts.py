"""What scripts call besides layers, `fit` and `predict`: obeyed as in Keras, or refused with the way to do it."""

from typing import Any

import keras
import numpy as np
import pytest

import depthwise
from depthwise import callbacks, layers, models
from depthwise.errors import DepthwiseError, InvalidArgumentError, UnsupportedError

X = np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32)
Y = np.arange(12) % 3


def small(framework: Any = depthwise) -> Any:
    network = framework.Sequential(
        [
            framework.Input(shape=(4,)),
            framework.layers.Dense(8, activation="relu"),
            framework.layers.Dense(3, "softmax"),
        ]
    )
    rng = np.random.default_rng(1)
    network.set_weights([rng.normal(size=weight.shape).astype(np.float32) for weight in network.weights])
    network.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return network


@pytest.mark.parametrize(
    "arguments",
    [{"input_dim": 4}, {"batch_input_shape": (None, 4)}, {"input_shape": (4,)}, {"input_dim": 4, "weights": None}],
)
def test_the_first_layer_says_the_shape(arguments: dict[str, Any]) -> None:
    assert models.Sequential([layers.Dense(8, **arguments)]).input_shape == (None, 4)


@pytest.mark.parametrize(
    "arguments", [{"shape": (4,)}, {"batch_shape": (None, 4)}, {"batch_shape": (7, 4), "dtype": "float32"}]
)
def test_inputs(arguments: dict[str, Any]) -> None:
    assert depthwise.Input(**arguments).shape == (None, 4)
    assert models.Sequential([layers.InputLayer(**arguments), layers.Dense(2)]).input_shape == (None, 4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: depthwise.Input(shape=(4,), batch_shape=(None, 4)), "not both"),
        (lambda: depthwise.Input(batch_shape=4), "with the batch first"),
        (lambda: depthwise.Input(shape=(4,), sparse=True), "sparse"),
        (lambda: layers.Dense(2, input_dim=4, input_shape=(4,)), "not both"),  # type: ignore[call-arg]
        (lambda: layers.Dense(2, weights=[1]), "set_weights"),  # type: ignore[call-arg]
        (lambda: layers.Dense(3)(X, training=True), "use fit"),
        (lambda: layers.Dense(3)(X[0]), r"x\[None\]"),
        (lambda: small()(depthwise.Input(shape=(4,)), training=True), "fit alone trains"),
        (lambda: callbacks.TensorBoard(log_dir="logs"), "CSVLogger"),
        (lambda: callbacks.RemoteMonitor(), "LambdaCallback"),
        (lambda: callbacks.SwapEMAWeights(), "ema_overwrite_frequency"),
        (
            lambda: models.clone_model(small(), input_tensors=X),  # type: ignore[arg-type]
            "call the clone",
        ),
    ],
)
def test_what_is_refused(call: Any, message: str) -> None:
    with pytest.raises(DepthwiseError, match=message):
        call()


@pytest.mark.parametrize("base", [layers.Layer, layers.Dense])
def test_layers_of_ones_own(base: Any) -> None:
    class Own(base):  # type: ignore[misc]
        def __init__(self, units: int) -> None:
            super().__init__()
            self.units_of_mine = units

        def call(self, x: Any) -> Any:
            return x

    with pytest.raises(UnsupportedError, match=r"Own: layers with code of your own .* depthwise\.Model"):
        Own(3)


@pytest.mark.parametrize(
    "name", ["call", "train_step", "test_step", "predict_step", "compute_loss", "make_train_function"]
)
@pytest.mark.parametrize("base", [models.Model, models.Sequential])
def test_models_of_ones_own(name: str, base: Any) -> None:
    own = type("Own", (type("Between", (base,), {name: lambda self, data: data}),), {"__init__": lambda self: None})
    with pytest.raises(UnsupportedError, match=rf"Own\.{name}: a model's own code is not supported"):
        own()


def test_a_subclass_without_code_of_its_own_is_a_model() -> None:
    class Classifier(models.Model):
        def __init__(self, classes: int) -> None:
            x = depthwise.Input(shape=(4,))
            super().__init__(x, layers.Dense(classes)(x))

        def fit_and_tell(self) -> float:
            self.compile("sgd", "mse")
            return float(self.fit(X, X[:, :3], verbose=0).history["loss"][0])

    assert np.isfinite(Classifier(3).fit_and_tell())


def test_layers_compute_on_arrays() -> None:
    ours, theirs = layers.Dense(3, activation="relu"), keras.layers.Dense(3, activation="relu")
    result = ours(X)
    theirs.build((None, 4))
    theirs.set_weights(ours.get_weights())
    np.testing.assert_allclose(result, np.asarray(theirs(X)), rtol=2**-20, atol=2**-22)
    ours.set_weights([weight * 2 for weight in ours.get_weights()])
    np.testing.assert_allclose(ours(X), 2 * result, rtol=2**-20)
    with pytest.raises(InvalidArgumentError, match="was never called"):
        ours.output  # noqa: B018
    np.testing.assert_array_equal(layers.Add()([X, X]), 2 * X)
    np.testing.assert_array_equal(layers.Rescaling(0.5)(X.tolist()), 0.5 * X)
    np.testing.assert_array_equal(layers.Dropout(0.5)(X, training=False), X)
    x = depthwise.Input(shape=(4,))
    np.testing.assert_allclose(models.Model(x, ours(x)).predict(X, verbose=0), 2 * result, rtol=2**-20)


def test_training_false_where_it_changes_nothing() -> None:
    x = depthwise.Input(shape=(4,))
    base = models.Sequential([depthwise.Input(shape=(4,)), layers.BatchNormalization(), layers.Dense(2)])
    with pytest.raises(UnsupportedError, match="trainable = False first"):
        base(x, training=False)
    base.trainable = False
    assert models.Model(x, base(x, training=False)).count_params() == base.count_params()
    dropped = models.Sequential([depthwise.Input(shape=(4,)), layers.Dropout(0.5)])
    with pytest.raises(UnsupportedError, match="Dropout"):
        dropped(x, training=False)


def test_parts_of_models() -> None:
    model = small()
    assert models.Model(model.inputs, model.get_layer(index=0).output).output_shape == (None, 8)
    assert models.Model(model.input, model.layers[-2].output).predict(X, verbose=0).shape == (12, 8)
    every = models.Model(model.inputs, [layer.output for layer in model.layers])
    assert [part.shape for part in every.predict(X, verbose=0)] == [(12, 8), (12, 3)]
    first, last = model.layers
    assert (first.output_shape, last.output_shape) == ((None, 8), (None, 3))
    assert first.kernel.shape == (4, 8)
    assert last.bias.shape == (3,)
    with pytest.raises(AttributeError, match="no attribute 'gamma'"):
        last.gamma  # noqa: B018
    assert first.count_params() == 40
    assert model.compute_output_shape((None, 4)) == (None, 3)
    assert layers.Conv2D(2, 3).compute_output_shape((None, 8, 8, 1)) == (None, 6, 6, 2)
    assert layers.Add().compute_output_shape([(None, 4), (None, 4)]) == (None, 4)
    assert model.pop() is last
    assert model.output_shape == (None, 8)


def test_clones() -> None:
    model = small()
    copied = models.clone_model(model)
    assert [layer.name for layer in copied.layers] == [layer.name for layer in model.layers]

    def wider(layer: Any) -> Any:
        return (
            layers.Dense(16, activation="relu")
            if layer is model.layers[0]
            else type(layer).from_config(layer.get_config())
        )

    changed = models.clone_model(model, clone_function=wider)
    assert changed.layers[0].units == 16
    assert changed.output_shape == (None, 3)
    x = depthwise.Input(shape=(4,))
    nested = models.Model(x, model(x))
    assert models.clone_model(nested, clone_function=lambda layer: layer).layers[1] is model
    assert models.clone_model(nested, clone_function=wider, recursive=True).layers[1].layers[0].units == 16


def test_monitors_name_what_there_is() -> None:
    for monitor in ("val_acc", "acc"):
        with pytest.raises(InvalidArgumentError, match=f"'{monitor}' should rise.*logs have loss, accuracy.*val_"):
            small().fit(X, Y, verbose=0, callbacks=[callbacks.EarlyStopping(monitor)])


def test_the_methods_for_batches_tell_of_their_batch_alone() -> None:
    ours, theirs = small(), small(keras)
    for scale in (1, 2):
        for network in (ours, theirs):
            network.reset_metrics()
        np.testing.assert_allclose(ours.train_on_batch(X * scale, Y), theirs.train_on_batch(X * scale, Y), rtol=2e-5)
    np.testing.assert_allclose(ours.test_on_batch(X, Y), theirs.test_on_batch(X, Y), rtol=2e-5)


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("mixed_precision", "float32"),
        ("Variable", "set_weights"),
        ("wrappers", "pickled"),
    ],
)
def test_names_that_there_are_not(name: str, instead: str) -> None:
    with pytest.raises(AttributeError, match=rf"depthwise\.{name} is not supported: .*{instead}"):
        getattr(depthwise, name)
    assert depthwise.Layer is layers.Layer
