"""Penalties on weights and limits on them, against real Keras: values, training, files."""

import inspect
from pathlib import Path
from typing import Any, cast

import keras
import numpy as np
import pytest

import depthwise
from depthwise import constraints, layers, models, optimizers, regularizers
from depthwise.errors import DepthwiseError, InvalidArgumentError, ShapeError, UnsupportedError
from depthwise.reference.bounds import UNIT_ROUNDOFF as U

GENERATOR = np.random.default_rng(5)
X = GENERATOR.standard_normal((12, 6, 6, 2)).astype(np.float32)
Y = GENERATOR.standard_normal((12, 3)).astype(np.float32)

REGULARIZERS: list[tuple[str, dict[str, Any]]] = [
    ("L1", {}),
    ("L2", {"l2": 0.05}),
    ("L1L2", {"l1": 0.02, "l2": 0.03}),
    ("L1L2", {}),
    ("OrthogonalRegularizer", {"factor": 0.1}),
    ("OrthogonalRegularizer", {"factor": 0.1, "mode": "columns"}),
]
CONSTRAINTS: list[tuple[str, dict[str, Any]]] = [
    ("MaxNorm", {}),
    ("MaxNorm", {"max_value": 0.5, "axis": [0, 1, 2]}),
    ("NonNeg", {}),
    ("UnitNorm", {"axis": 3}),
    ("UnitNorm", {"axis": [1, 3]}),
    ("MinMaxNorm", {"min_value": 0.3, "max_value": 0.6, "rate": 0.7, "axis": -1}),
    ("MinMaxNorm", {"min_value": 0.3, "max_value": 0.6, "axis": [0, 1, 2, 3]}),
]


def kept(module: Any, name: str, arguments: dict[str, Any]) -> Any:
    return getattr(module, name)(**arguments)


@pytest.mark.parametrize(("name", "arguments"), REGULARIZERS, ids=str)
def test_penalties_are_those_of_keras(rng: np.random.Generator, name: str, arguments: dict[str, Any]) -> None:
    ours, theirs = (kept(module, name, arguments) for module in (regularizers, keras.regularizers))
    for shape in ((7, 4), (4, 7)):
        w = rng.standard_normal(shape).astype(np.float32)
        assert ours(w) == pytest.approx(float(theirs(keras.ops.convert_to_tensor(w))), rel=w.size * U + 8 * U)
    assert ours.get_config().keys() == theirs.get_config().keys()
    read: Any = regularizers.get(keras.regularizers.serialize(theirs))
    assert read.get_config() == {key: pytest.approx(value) for key, value in theirs.get_config().items()}
    again = keras.regularizers.deserialize(regularizers.serialize(ours))
    assert again.get_config().keys() == ours.get_config().keys()


def test_the_gradient_of_the_orthogonal_penalty(rng: np.random.Generator) -> None:
    """Against central differences, away from the kinks where two vectors are at right angles."""
    for mode in ("rows", "columns"):
        penalty = regularizers.OrthogonalRegularizer(0.3, mode)
        w = rng.standard_normal((4, 3))
        found, step = penalty.gradient(w), 1e-6
        for index in np.ndindex(w.shape):
            up, down = w.copy(), w.copy()
            up[index] += step
            down[index] -= step
            assert found[index] == pytest.approx((penalty(up) - penalty(down)) / (2 * step), abs=1e-8)


@pytest.mark.parametrize(("name", "arguments"), CONSTRAINTS, ids=str)
def test_limits_are_those_of_keras(rng: np.random.Generator, name: str, arguments: dict[str, Any]) -> None:
    ours, theirs = (kept(module, name, arguments) for module in (constraints, keras.constraints))
    w = rng.standard_normal((3, 2, 4, 5)).astype(np.float32)
    np.testing.assert_allclose(ours(w), np.asarray(theirs(w)), rtol=(w.size + 8) * U)
    assert ours.get_config() == theirs.get_config()
    assert constraints.get(keras.constraints.serialize(theirs)) == ours
    assert constraints.get(constraints.serialize(ours)) == ours


def test_names_and_refusals() -> None:
    assert (
        regularizers.get("l2") == regularizers.get("L2") == regularizers.get(regularizers.L2) == regularizers.L2(0.01)
    )
    assert constraints.get("non_neg") == constraints.NonNeg()
    assert regularizers.get(None) is None
    assert constraints.get(None) is None
    for make, message in (
        (lambda: regularizers.get("l3"), "unknown regularizer 'l3'; allowed are 'l1', 'l2'"),
        (lambda: constraints.get("small"), "unknown constraint 'small'; allowed are 'max_norm'"),
        (lambda: layers.Dense(3, kernel_regularizer="lasso"), "unknown regularizer 'lasso'"),
        (lambda: regularizers.L1(-1.0), "L1: l1 must be a number of at least 0, got -1.0"),
        (lambda: regularizers.OrthogonalRegularizer(mode="both"), "mode must be 'rows' or 'columns', got 'both'"),
        (lambda: constraints.MinMaxNorm(rate=2.0), "MinMaxNorm: rate must be a number from 0 to 1, got 2.0"),
        (
            lambda: constraints.UnitNorm(axis=cast("int", "all")),
            "axis must be a whole number or a list of such, got 'all'",
        ),
    ):
        with pytest.raises(InvalidArgumentError) as caught:
            make()
        assert message in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kernel_regularizer": "orthogonal_regularizer"}, "takes weights of rank 2, such as a Dense layer's kernel"),
        ({"kernel_constraint": constraints.MaxNorm(axis=[0, 4])}, r"axis must be among those of .* got \[0, 4\]"),
    ],
)
def test_weights_of_the_wrong_rank(arguments: dict[str, Any], message: str) -> None:
    model = models.Sequential(
        [layers.Conv2D(2, 3, input_shape=(6, 6, 2), **arguments), layers.Flatten(), layers.Dense(3)]
    )
    model.compile("sgd", "mse")
    with pytest.raises(ShapeError, match=message):
        model.train_on_batch(X, Y)


def network(made: Any, options: Any, trainable: bool = True) -> Any:
    """A layer of each kind that has weights; `options` gives each its penalties and limits.

    No bias before the batch normalisation: its gradient is 0 but for rounding, which decides the sign that L1 goes by.
    """
    module = made.layers
    start = made.Input(shape=(6, 6, 2))
    x = module.Conv2D(4, 3, padding="same", use_bias=False, **options("kernel"))(start)
    x = module.BatchNormalization(**options("gamma", "beta"))(x)
    x = module.DepthwiseConv2D(3, **options("depthwise", "bias"))(x)
    x = module.SeparableConv2D(5, 3, padding="same", **options("depthwise", "pointwise", "bias"))(x)
    x = module.PReLU(shared_axes=[1, 2], **options("alpha"))(x)
    x = module.LayerNormalization(**options("gamma", "beta"))(x)
    x = module.Flatten()(x)
    frozen = module.Dense(7, trainable=trainable, **options("kernel", "bias"))
    return made.Model(start, module.Dense(3)(frozen(x)))


def settings(made: Any, kind: str, name: str, arguments: dict[str, Any]) -> Any:
    item = kept(getattr(made, f"{kind}s"), name, arguments)
    return lambda *weights: {f"{weight}_{kind}": item for weight in weights}


def away_from_zero(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    """Weights that keep their sign in a few steps: where one crosses 0, rounding decides in which step L1's slope jumps."""
    size = rng.uniform(0.1, 0.3, shape)
    return (size if len(shape) == 1 else size * rng.choice([-1, 1], shape)).astype(np.float32)


def assert_near(ours: Any, theirs: Any, steps: int) -> None:
    """A gradient is a sum of up to 12 × 36 products a weight, of numbers around 1; at rate 0.02 a step adds a fraction."""
    for a, b in zip(ours.get_weights(), theirs.get_weights()):
        assert np.abs(a - b).max() <= 12 * 36 * steps * U * max(1.0, float(np.abs(b).max()))


@pytest.mark.parametrize(
    ("kind", "name", "arguments"),
    [
        ("regularizer", "L1", {"l1": 0.01}),
        ("regularizer", "L2", {"l2": 0.02}),
        ("regularizer", "L1L2", {"l1": 0.01, "l2": 0.02}),
        ("constraint", "MaxNorm", {"max_value": 0.8}),
        ("constraint", "NonNeg", {}),
        ("constraint", "UnitNorm", {}),
        ("constraint", "MinMaxNorm", {"min_value": 0.4, "max_value": 0.8, "rate": 0.5, "axis": -1}),
    ],
)
def test_layers_of_every_kind_train_as_in_keras(
    kind: str, name: str, arguments: dict[str, Any], tmp_path: Path
) -> None:
    """Losses in the logs and from `evaluate` hold the penalty; a layer that is not trainable has none. Then through files."""
    ours = network(depthwise, settings(depthwise, kind, name, arguments), trainable=name != "L2")
    theirs = network(keras, settings(keras, kind, name, arguments), trainable=name != "L2")
    start = [away_from_zero(np.random.default_rng(i), array.shape) for i, array in enumerate(ours.get_weights())]
    ours.set_weights(start)
    theirs.set_weights(start)
    ours.compile(optimizers.SGD(0.02, momentum=0.5), "mse")
    theirs.compile(keras.optimizers.SGD(0.02, momentum=0.5), "mse")
    assert ours.losses == pytest.approx([float(item) for item in theirs.losses], rel=1e-5)
    assert ours.evaluate(X, Y, verbose=0) == pytest.approx(theirs.evaluate(X, Y, verbose=0), rel=1e-5)
    logs = ours.fit(X, Y, batch_size=5, epochs=2, shuffle=False, verbose=0).history["loss"]
    assert logs == pytest.approx(
        theirs.fit(X, Y, batch_size=5, epochs=2, shuffle=False, verbose=0).history["loss"], rel=1e-5
    )
    assert_near(ours, theirs, 6)
    if "l1" in arguments:
        assert all(np.array_equal(np.sign(a), np.sign(b)) for a, b in zip(start, theirs.get_weights()))

    ours.save(tmp_path / "ours.keras")
    theirs.save(tmp_path / "theirs.keras")
    read, opened = keras.models.load_model(tmp_path / "ours.keras"), models.load_model(tmp_path / "theirs.keras")
    assert opened.losses == pytest.approx([float(item) for item in theirs.losses], rel=1e-5)
    for model in (read, opened, theirs):
        model.train_on_batch(X, Y)
    assert_near(opened, read, 8)
    assert_near(opened, theirs, 8)


@pytest.mark.parametrize("mode", ["rows", "columns"])
@pytest.mark.parametrize("rule", ["sgd", "adam"])
def test_a_dense_kernel_becomes_orthogonal_as_in_keras(mode: str, rule: str) -> None:
    x, y = X.reshape(12, -1), Y
    ours = models.Sequential(
        [
            layers.Dense(5, input_shape=(72,), kernel_regularizer=regularizers.OrthogonalRegularizer(0.5, mode)),
            layers.Dense(3),
        ]
    )
    theirs = keras.Sequential(
        [
            keras.Input((72,)),
            keras.layers.Dense(5, kernel_regularizer=keras.regularizers.OrthogonalRegularizer(0.5, mode)),
            keras.layers.Dense(3),
        ]
    )
    theirs.set_weights(ours.get_weights())
    ours.compile(optimizers.SGD(0.02) if rule == "sgd" else optimizers.Adam(0.01, epsilon=1e-3), "mse")
    theirs.compile(keras.optimizers.SGD(0.02) if rule == "sgd" else keras.optimizers.Adam(0.01, epsilon=1e-3), "mse")
    for _ in range(4):
        assert ours.train_on_batch(x, y) == pytest.approx(float(theirs.train_on_batch(x, y)), rel=1e-5)
        theirs.reset_metrics()
    assert_near(ours, theirs, 4)
    assert set(ours.optimizer.state) == {"iteration"} | {
        f"{name}/{slot}" for name in ours.weights_by_name for slot in ours.optimizer.slots
    }


def test_penalties_meet_clipping_decay_averages_and_accumulated_gradients() -> None:
    options = {
        "learning_rate": 0.02,
        "clipnorm": 0.5,
        "weight_decay": 0.1,
        "gradient_accumulation_steps": 2,
        "use_ema": True,
    }
    ours, theirs = (
        network(made, lambda *weights: {f"{weight}_regularizer": "l2" for weight in weights})
        for made in (depthwise, keras)
    )
    theirs.set_weights(ours.get_weights())
    ours.compile(optimizers.SGD(**options), "mse")
    theirs.compile(keras.optimizers.SGD(**options), "mse")
    for model in (ours, theirs):
        model.fit(X, Y, batch_size=3, epochs=1, shuffle=False, verbose=0)
    assert_near(ours, theirs, 4)


def test_the_bits_do_not_depend_on_the_threads() -> None:
    model = models.Sequential(
        [
            layers.Conv2D(20, 3, input_shape=(6, 6, 2), kernel_constraint=constraints.MaxNorm(0.5, [0, 1, 2])),
            layers.Flatten(),
            layers.Dense(90, kernel_regularizer="l1_l2", kernel_constraint=constraints.UnitNorm(axis=1)),
            layers.Dense(3, kernel_regularizer=regularizers.L2(0.1), bias_constraint="non_neg"),
        ]
    )
    start, before, results = model.get_weights(), depthwise.get_threads(), []
    try:
        for threads in (1, 2, 3):
            depthwise.set_threads(threads)
            model.set_weights(start)
            model.compile(optimizers.Adam(0.01), "mse")
            model.fit(X, Y, batch_size=4, epochs=2, shuffle=False, verbose=0)
            results.append(model.get_weights())
    finally:
        depthwise.set_threads(before)
    for other in results[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(results[0], other))


def test_prediction_knows_nothing_of_them() -> None:
    """The same program, so the same code and the same time."""
    from depthwise.compiler.lower import lower

    limits: dict[str, Any] = {"kernel_regularizer": "l2", "bias_constraint": "non_neg"}
    none: dict[str, Any] = {}
    plain, limited = (
        models.Sequential(
            [
                layers.Conv2D(4, 3, name="a", input_shape=(6, 6, 2), **options),
                layers.Flatten(),
                layers.Dense(3, name="b"),
            ]
        )
        for options in (none, limits)
    )
    assert lower(plain.graph).parameters == lower(limited.graph).parameters


@pytest.mark.parametrize(
    "entry", [{"class_name": "Lambda"}, {"module": "builtins", "class_name": "L2", "config": {}}, "l9"]
)
def test_files_hold_no_other_regularizers(entry: Any) -> None:
    config = layers.Dense(3, name="dense", kernel_regularizer="l2").get_config()
    with pytest.raises(DepthwiseError, match="kernel_regularizer"):
        layers.Dense.from_config(config | {"kernel_regularizer": entry})


def test_every_layer_reads_its_regularizers_and_constraints() -> None:
    """A name is resolved, and one that does not exist is refused, for every argument of every layer."""
    from dataclasses import fields

    from depthwise.layers.descriptions import LAYERS

    count = 0
    needed = {"units": 3, "filters": 4, "kernel_size": 3}
    made: Any
    for made in LAYERS.values():
        names = {field.name for field in fields(made)}
        given = {key: value for key, value in needed.items() if key in names}
        for name in names:
            if name.endswith(("_regularizer", "_constraint")):
                known = "l2" if name.endswith("_regularizer") else "non_neg"
                assert not isinstance(getattr(made(**given, **{name: known}), name), str), (made, name)
                with pytest.raises(InvalidArgumentError, match="unknown"):
                    made(**given, **{name: "none of them"})
                count += 1
    assert count > 30


def test_a_weight_of_0_has_no_slope_under_l1() -> None:
    model = models.Sequential([layers.Dense(2, input_shape=(3,), kernel_initializer="zeros", kernel_regularizer="l1")])
    model.compile(optimizers.SGD(1.0), "mse")
    model.train_on_batch(np.zeros((4, 3), np.float32), np.zeros((4, 2), np.float32))
    assert not model.get_weights()[0].any()


def active(made: Any) -> Any:
    """Penalties on maps and vectors, and on the output itself."""
    module, kinds = made.layers, made.regularizers
    start = made.Input(shape=(6, 6, 2))
    x = module.Conv2D(4, 3, activation="tanh", activity_regularizer=kinds.L1(0.01))(start)
    x = module.DepthwiseConv2D(3, activity_regularizer=kinds.L2(0.002))(x)
    x = module.ActivityRegularization(l1=0.003, l2=0.001)(module.Flatten()(x))
    x = module.Dense(5, activation="relu", activity_regularizer=kinds.L1L2(0.01, 0.02), kernel_regularizer="l2")(x)
    return made.Model(start, module.Dense(3, activity_regularizer=kinds.L2(0.1))(x))


def loss_of(model: Any, batch_size: int) -> float:
    """Keras' loss step by step: traced for JAX once more, for a smaller batch, it has been seen to forget a penalty."""
    total = 0.0
    for start in range(0, len(X), batch_size):
        x, y = X[start : start + batch_size], Y[start : start + batch_size]
        error = np.mean(np.square(np.asarray(model(x), np.float64) - y))
        total += len(x) * float(error + sum(float(item) for item in model.losses))
    return total / len(X)


def test_penalties_on_what_layers_give(tmp_path: Path) -> None:
    ours, theirs = active(depthwise), active(keras)
    theirs.set_weights(ours.get_weights())
    ours.compile(optimizers.SGD(0.02, momentum=0.5), "mse")
    theirs.compile(keras.optimizers.SGD(0.02, momentum=0.5), "mse")
    assert ours.evaluate(X, Y, batch_size=5, verbose=0) == pytest.approx(loss_of(theirs, 5), rel=1e-5)
    options: dict[str, Any] = {"batch_size": 4, "epochs": 2, "shuffle": False, "verbose": 0}
    logs, wanted = (model.fit(X, Y, **options).history["loss"] for model in (ours, theirs))
    assert logs == pytest.approx(wanted, rel=1e-5)
    assert_near(ours, theirs, 6)
    assert ours.test_on_batch(X, Y) == pytest.approx(loss_of(theirs, len(X)), rel=1e-5)
    ours.save(tmp_path / "ours.keras")
    again = keras.models.load_model(tmp_path / "ours.keras")
    assert loss_of(again, len(X)) == pytest.approx(ours.test_on_batch(X, Y), rel=1e-5)


def test_every_call_of_a_layer_is_penalised(rng: np.random.Generator) -> None:
    """As Keras does it step by step; traced for JAX it forgets all calls but the last."""

    def twice(made: Any) -> Any:
        start = made.Input(shape=(4,))
        layer = made.layers.Dense(4, activity_regularizer=made.regularizers.L2(0.1))
        return made.Model(start, layer(layer(start)))

    ours, theirs = twice(depthwise), twice(keras)
    theirs.set_weights(ours.get_weights())
    x = rng.standard_normal((5, 4)).astype(np.float32)
    y = np.asarray(theirs(x))
    ours.compile(optimizers.SGD(0.0), "mse")
    penalty = sum(float(item) for item in theirs.losses)
    assert ours.test_on_batch(x, y) == pytest.approx(penalty, rel=1e-5)
    assert ours.train_on_batch(x, y) == pytest.approx(penalty, rel=1e-5)


def test_an_orthogonal_penalty_on_what_a_layer_gives() -> None:
    model = models.Sequential(
        [layers.Dense(3, input_shape=(4,), name="a", activity_regularizer="orthogonal_regularizer")]
    )
    model.compile("sgd", "mse")
    x, y = np.ones((2, 4), np.float32), np.zeros((2, 3), np.float32)
    assert model.predict(x, verbose=0).shape == (2, 3)
    for use in (model.train_on_batch, model.test_on_batch, model.fit, model.evaluate):
        with pytest.raises(UnsupportedError, match=r"Dense 'a': OrthogonalRegularizer is not supported as activity_r"):
            use(x, y)


def test_every_layer_of_which_keras_documents_the_penalty_takes_it() -> None:
    theirs = {
        name
        for name in layers.LAYERS
        if "activity_regularizer" in inspect.signature(getattr(keras.layers, name, layers.Layer)).parameters
    }
    assert len(theirs) > 8
    assert theirs == {name for name, kind in layers.LAYERS.items() if hasattr(kind, "activity_regularizer")}


def test_layers_without_a_penalty_say_what_to_do(tmp_path: Path) -> None:
    sentence = r"activity_regularizer.* is not supported; put layers\.ActivityRegularization\(l1, l2\) behind the layer"
    with pytest.raises(UnsupportedError, match=sentence):
        layers.ReLU(activity_regularizer="l2")  # type: ignore[call-arg]
    assert layers.ReLU(activity_regularizer=None).description == layers.ReLU().description  # type: ignore[call-arg]
    theirs = keras.Sequential([keras.Input((3,)), keras.layers.ReLU(activity_regularizer="l2")])
    theirs.save(tmp_path / "theirs.keras")
    with pytest.raises(UnsupportedError, match=sentence):
        models.load_model(tmp_path / "theirs.keras")
