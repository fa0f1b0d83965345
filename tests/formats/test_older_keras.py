"""Models of Keras 1 and 2, of tf.keras and of Keras 3's legacy writer: each gives what the Keras that wrote it computes."""

import json
import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

import depthwise
from depthwise import activations, layers, models
from depthwise.errors import InvalidArgumentError, InvalidFileError, UnsupportedError
from support.old_keras import functional, layer, networks_of_others, sequential, write_h5

from .conftest import every_layer, small

OTHERS = networks_of_others()


def random(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


# Networks of others.

WHOLE = [
    "ad01.h5", "fer_emotion_model.hdf5", "kws_model.h5", "mobilenetv3small_keras2.h5", "pretrainedResnet.h5",
    "siamese_keras2.h5", "small_keras2.h5", "small_keras2.keras", "str_ww_ref_model.h5", "teachable_like_keras2.h5",
    "vww_96.h5",
]  # fmt: skip


@pytest.mark.skipif(OTHERS is None, reason="the folder with networks of others is not beside this checkout")
@pytest.mark.parametrize("name", WHOLE)
def test_networks_of_others(name: str) -> None:
    assert OTHERS is not None
    model = models.load_model(OTHERS / name, compile=False)
    inputs = [np.random.default_rng(0).random((2, *shape)).astype(np.float32) for shape in model.graph.input_shapes]
    results = model.predict(inputs if len(inputs) > 1 else inputs[0])
    with np.load(OTHERS / "expected.npz") as expected:
        for index, result in enumerate(results if isinstance(results, list) else [results]):
            wanted = expected[f"{name}/{index}"]
            assert np.abs(result - wanted).max() <= 1e-5 * np.abs(wanted).max()


@pytest.mark.skipif(OTHERS is None, reason="the folder with networks of others is not beside this checkout")
def test_weights_alone_of_others() -> None:
    assert OTHERS is not None
    model = models.load_model(OTHERS / "small_keras2.keras", compile=False)
    wanted = model.get_weights()
    model.set_weights([0 * weight for weight in wanted])
    model.load_weights(OTHERS / "small_keras2.weights.h5")
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), wanted, strict=True))


# What Keras 3 writes as `.h5`.


def keras_twin(model: models.Model, path: Path) -> Any:
    model.save(path / "ours.keras")
    return keras.models.load_model(path / "ours.keras")


@pytest.mark.parametrize("make", [every_layer, small])
def test_keras_3_writes_h5(make: Any, tmp_path: Path) -> None:
    model = make()
    keras_twin(model, tmp_path).save(tmp_path / "theirs.h5")
    loaded = models.load_model(tmp_path / "theirs.h5", compile=False)
    assert all(np.array_equal(a, b) for a, b in zip(loaded.get_weights(), model.get_weights(), strict=True))
    x = random(2, *model.input_shape[1:])
    assert np.array_equal(loaded.predict(x), model.predict(x))


def test_keras_3_writes_h5_of_models_inside_models(tmp_path: Path) -> None:
    """The weights of a model inside lie in one group: first what is trained, then the rest, by what is frozen."""
    start = keras.Input((8, 8, 3))
    inner_start = keras.Input((6, 6, 4))
    y = keras.layers.BatchNormalization()(keras.layers.Conv2D(4, 3, padding="same")(inner_start))
    y = keras.layers.BatchNormalization()(keras.layers.Conv2D(4, 3, padding="same", trainable=False)(y))
    inner = keras.Model(inner_start, y)
    first = inner(keras.layers.Conv2D(4, 3)(start))
    model = keras.Model(start, keras.layers.Add()([first, inner(first)]))
    for seed, weight in enumerate(model.weights):
        weight.assign(np.abs(random(*weight.shape, seed=seed)))
    x = random(2, 8, 8, 3)
    for frozen in (False, True):
        inner.trainable = not frozen
        model.save(tmp_path / "nested.h5")
        loaded = models.load_model(tmp_path / "nested.h5")
        wanted = np.asarray(model(x))
        assert np.abs(loaded.predict(x) - wanted).max() <= 1e-5 * np.abs(wanted).max()


# Configs of Keras 2, by hand.

KERNEL, BIAS = random(3, 3, 2, 4), random(4, seed=1)


def test_a_chain_of_keras_2(tmp_path: Path) -> None:
    """`batch_input_shape` in the first layer, initializers without module and with dtype, an axis in a list, a group."""
    zeros = {"class_name": "Zeros", "config": {"dtype": "float32"}}
    config = sequential(
        layer(
            "DepthwiseConv2D", "dw", batch_input_shape=[None, 6, 6, 2], dtype="float32", kernel_size=[3, 3], groups=1,
            strides=[1, 1], padding="valid", data_format="channels_last", dilation_rate=[1, 1], activation="relu6",
            use_bias=True, depthwise_initializer={"class_name": "GlorotUniform", "config": {"seed": None, "dtype": "float32"}},
            bias_initializer=zeros, depth_multiplier=2, depthwise_regularizer=None, kernel_initializer=zeros,
        ),
        layer("BatchNormalization", "bn", axis=[3], momentum=0.9, epsilon=0.001, center=True, scale=1),
        layer("Dropout", "drop", rate=0.3, noise_shape=None, seed=None),
        layer("Flatten", "flat", data_format="channels_last"),
    )  # fmt: skip
    depthwise_kernel = random(3, 3, 2, 2)
    numbers = [np.abs(random(4, seed=seed)) for seed in range(4)]
    names = ("gamma", "beta", "moving_mean", "moving_variance")
    path = write_h5(
        tmp_path / "chain.h5",
        config,
        {
            "dw": [("dw/depthwise_kernel:0", depthwise_kernel), ("dw/bias:0", BIAS)],
            "bn": [(f"bn/{name}:0", numbers[index]) for index, name in enumerate(names)],
            "drop": [],
            "flat": [],
        },
    )
    model = models.load_model(path)
    assert isinstance(model, models.Sequential)
    assert [item.name for item in model.layers] == ["dw", "bn", "drop", "flat"]
    for found, wanted in zip(model.get_weights(), [depthwise_kernel, BIAS, *numbers], strict=True):
        assert np.array_equal(found, wanted)
    theirs = keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            keras.layers.DepthwiseConv2D(3, depth_multiplier=2, activation="relu6"),
            keras.layers.BatchNormalization(),
            keras.layers.Flatten(),
        ]
    )
    theirs.set_weights([depthwise_kernel, BIAS, *numbers])
    x = random(2, 6, 6, 2)
    assert np.allclose(model.predict(x), np.asarray(theirs(x)), rtol=1e-5, atol=1e-5)


DENSE = random(3, 2), random(2, seed=1)
DENSE_WEIGHTS = {"d": [("d/kernel:0", DENSE[0]), ("d/bias:0", DENSE[1])]}


@pytest.mark.parametrize("parts", [0, 1, 2])
@pytest.mark.parametrize("fixed_size", [True, False])
def test_every_form_of_the_attributes(parts: int, fixed_size: bool, tmp_path: Path) -> None:
    config = sequential(layer("Dense", "d", batch_input_shape=[None, 3], units=2))
    path = write_h5(tmp_path / "a.hdf5", config, DENSE_WEIGHTS, parts=parts, fixed_size=fixed_size)
    assert np.array_equal(models.load_model(path).get_weights()[0], DENSE[0])


def test_the_config_of_a_sequential_as_a_list(tmp_path: Path) -> None:
    config = {"class_name": "Sequential", "config": [layer("Dense", "d", batch_input_shape=[None, 3], units=2)]}
    path = write_h5(tmp_path / "list.h5", config, DENSE_WEIGHTS, version="2.1.6")
    assert np.array_equal(models.load_model(path).predict(np.eye(3)), DENSE[0] + DENSE[1])


def test_the_layers_of_keras_1(tmp_path: Path) -> None:
    config = sequential(
        layer(
            "Convolution2D", "c", batch_input_shape=[None, 5, 5, 2], nb_filter=4, nb_row=3, nb_col=3, border_mode="same",
            subsample=[2, 2], dim_ordering="tf", init="glorot_uniform", bias=True, activation="relu", input_dtype="float32",
            W_regularizer=None, b_regularizer=None, activity_regularizer=None, W_constraint=None, b_constraint=None,
        ),
        layer("Dropout", "p", p=0.25),
        layer("MaxPooling2D", "m", pool_size=[2, 2], strides=[2, 2], border_mode="valid", dim_ordering="tf"),
    )  # fmt: skip
    path = write_h5(tmp_path / "one.h5", config, {"c": [("c_W:0", KERNEL), ("c_b:0", BIAS)], "p": [], "m": []}, "1.2.2")
    model = models.load_model(path)
    first = model.layers[0]
    assert (first.filters, first.kernel_size, first.strides, first.padding) == (4, (3, 3), (2, 2), "same")
    assert model.layers[1].rate == 0.25
    assert np.array_equal(first.get_weights()[0], KERNEL)


def test_a_merge_of_keras_1_is_the_layer_that_it_means() -> None:
    config = functional(
        layer("InputLayer", "i", [], batch_input_shape=[None, 3]),
        layer("Merge", "m", [[["i", 0, 0], ["i", 0, 0]]], mode="sum", concat_axis=-1),
        inputs=[["i", 0, 0]],
        outputs=[["m", 0, 0]],
    )
    model = models.model_from_json(json.dumps(config))
    assert model.predict(np.ones((1, 3))).tolist() == [[2.0, 2.0, 2.0]]


@pytest.mark.parametrize("counted_from", [0, 1])
def test_models_inside_count_their_calls_from_one_in_older_keras(counted_from: int) -> None:
    """Twice through one model, whose calls are [inner, 0] and [inner, 1], or [inner, 1] and [inner, 2]."""
    inner = functional(
        layer("InputLayer", "i", [], batch_input_shape=[None, 3]),
        layer("Activation", "a", [[["i", 0, 0, {}]]], activation="relu"),
        inputs=[["i", 0, 0]],
        outputs=[["a", 0, 0]],
        name="inner",
    )
    first, second = counted_from, counted_from + 1
    nodes = [[["start", 0, 0, {}]], [["inner", first, 0, {"training": False}]]]
    config = functional(
        layer("InputLayer", "start", [], batch_input_shape=[None, 3]),
        {**inner, "name": "inner", "inbound_nodes": nodes},
        layer("Add", "add", [[["start", 0, 0, {}], ["inner", second, 0, {}]]]),
        inputs=[["start", 0, 0]],
        outputs=[["add", 0, 0], ["inner", second, 0]],
    )
    model = models.model_from_json(json.dumps(config))
    added, relu = model.predict(np.array([[-1.0, 2.0, 3.0]]))
    assert (added.tolist(), relu.tolist()) == ([[-1.0, 4.0, 6.0]], [[0.0, 2.0, 3.0]])


def test_slashes_in_names_become_underscores(tmp_path: Path) -> None:
    config = functional(
        layer("InputLayer", "i", [], batch_input_shape=[None, 3]),
        layer("Dense", "block/d", [[["i", 0, 0, {}]]], units=2),
        layer("Activation", "block_d", [[["block/d", 0, 0, {}]]], activation="relu"),
        inputs=[["i", 0, 0]],
        outputs=[["block_d", 0, 0]],
    )
    weights = {"block/d": [("block/d/kernel:0", DENSE[0]), ("block/d/bias:0", DENSE[1])]}
    model = models.load_model(write_h5(tmp_path / "slash.h5", config, weights))
    assert [item.name for item in model.layers] == ["i", "block_d_1", "block_d"]
    model.load_weights(write_h5(tmp_path / "weights.h5", None, weights))


def test_hard_sigmoid_meant_another_function_before_keras_3() -> None:
    def made(version: str) -> models.Model:
        config = sequential(layer("Activation", "a", batch_input_shape=[None, 5], activation="hard_sigmoid"))
        return models.model_from_json(json.dumps({**config, "keras_version": version}))

    x = np.array([[-2.7, -1.0, 0.0, 1.0, 2.7]], np.float32)
    assert np.allclose(made("2.15.0").predict(x), np.clip(0.2 * x + 0.5, 0, 1), rtol=0, atol=1e-7)
    assert np.allclose(made("3.8.0").predict(x), activations.hard_sigmoid(x), rtol=0, atol=1e-7)


def test_an_activation_that_is_a_layer_follows_as_a_layer() -> None:
    relu = {
        "class_name": "ReLU",
        "config": {"name": "re_lu", "max_value": 4.0, "negative_slope": 0.5, "threshold": 0.0},
    }
    config = functional(
        layer("InputLayer", "i", [], batch_input_shape=[None, 3]),
        layer("Dense", "d", [[["i", 0, 0, {}]], [["d", 0, 0, {}]]], units=3, activation=relu),
        inputs=[["i", 0, 0]],
        outputs=[["d", 1, 0]],
    )
    model = models.model_from_json(json.dumps(config))
    model.set_weights([np.eye(3), np.zeros(3)])
    assert model.predict(np.array([[-4.0, 2.0, 9.0]])).tolist() == [[-1.0, 2.0, 4.0]]


# Arithmetic, types, custom names.


@pytest.mark.parametrize(
    "policy", ["mixed_float16", "float64", {"class_name": "Policy", "config": {"name": "mixed_bfloat16"}}]
)
def test_other_arithmetic_is_said_once(policy: Any, tmp_path: Path) -> None:
    config = sequential(
        layer("Dense", "d", batch_input_shape=[None, 3], units=2, dtype=policy), layer("ReLU", "r", dtype=policy)
    )
    path = write_h5(
        tmp_path / "half.h5", config, {"d": [("d/kernel:0", DENSE[0].astype("f8")), ("d/bias:0", DENSE[1])], "r": []}
    )
    with pytest.warns(
        UserWarning, match="the model was made for (mixed_b?float16|float64); Depthwise computes in f"
    ) as said:
        model = models.load_model(path)
    assert len(said) == 1
    assert said[0].filename == __file__
    assert np.array_equal(model.get_weights()[0], DENSE[0])


def named(class_name: str, **config: Any) -> str:
    chain = sequential(layer("InputLayer", "i", batch_input_shape=[None, 3]), layer(class_name, "x", **config))
    return json.dumps(chain)


@pytest.mark.parametrize("name", ["relu6", "swish", "hard_swish", "Custom>relu6", "efficientnet>swish"])
def test_activations_that_people_register(name: str) -> None:
    model = models.model_from_json(named("Activation", activation=name))
    x = np.array([[-2.0, 0.5, 8.0]], np.float32)
    assert np.allclose(model.predict(x), getattr(activations, name.rpartition(">")[2])(x), rtol=1e-6)


@pytest.mark.parametrize("name", ["FixedDropout", "efficientnet>FixedDropout", "Custom>FixedDropout"])
def test_layers_that_people_register(name: str) -> None:
    model = models.model_from_json(named(name, rate=0.5, noise_shape=None, seed=None))
    assert type(model.layers[-1]) is layers.Dropout
    assert model.predict(np.ones((1, 3))).tolist() == [[1.0, 1.0, 1.0]]


def test_dropped_residuals_of_convnext() -> None:
    start = layer("InputLayer", "i", batch_input_shape=[None, 4, 4, 2])
    chain = sequential(start, layer("keras_cv>StochasticDepth", "x", drop_path_rate=0.25))
    dropped = models.model_from_json(json.dumps(chain)).layers[-1]
    assert (type(dropped), dropped.rate, dropped.noise_shape) == (layers.Dropout, 0.25, (None, 1, 1, 1))


def test_custom_objects() -> None:
    text = named("mine>Limit", top=2.0)
    with pytest.raises(UnsupportedError, match="'x' is a custom class, 'mine>Limit'"):
        models.model_from_json(text)

    def limit(name: str, top: float) -> Any:
        return layers.ReLU(max_value=top, name=name)

    for key in ("mine>Limit", "Limit"):
        model = models.model_from_json(text, custom_objects={key: limit})
        assert model.predict(np.array([[-1.0, 1.0, 5.0]])).tolist() == [[0.0, 1.0, 2.0]]
    model = models.model_from_json(named("MyDense", units=2), custom_objects={"MyDense": layers.Dense})
    assert model.layers[-1].units == 2
    for given in ("hard_swish", activations.silu):
        model = models.model_from_json(named("Activation", activation="mine"), custom_objects={"mine": given})
        assert model.layers[-1].activation in ("hard_silu", "silu")
    for wrong, message in (
        (
            {"mine": "nothing"},
            "custom_objects..mine.. must be the name of an activation or a function of depthwise.act",
        ),
        ({"mine": np.tanh}, "must be the name of an activation .*, got <ufunc 'tanh'>; there are linear, relu"),
    ):
        with pytest.raises(InvalidArgumentError, match=message):
            models.model_from_json(named("Activation", activation="mine"), custom_objects=wrong)
    with pytest.raises(InvalidArgumentError, match="must be a class of"):
        models.model_from_json(text, custom_objects={"Limit": 3})
    with pytest.raises(InvalidArgumentError, match="must return a layer of"):
        models.model_from_json(text, custom_objects={"Limit": lambda name, top: name})


# Training.


def test_the_training_configuration_of_keras_2(tmp_path: Path) -> None:
    adam = {
        "name": "Adam",
        "learning_rate": 0.002,
        "decay": 0.0,
        "beta_1": 0.8,
        "beta_2": 0.9,
        "epsilon": 1e-7,
        "amsgrad": False,
    }
    accuracy = {"class_name": "MeanMetricWrapper", "config": {"name": "accuracy", "fn": "categorical_accuracy"}}
    loss = {"class_name": "CategoricalCrossentropy", "config": {"reduction": "auto", "name": "cc", "from_logits": True}}
    training = {
        "loss": loss, "metrics": [[accuracy]], "weighted_metrics": None, "loss_weights": None, "sample_weight_mode": None,
        "optimizer_config": {"class_name": "Custom>Adam", "config": {**adam, "jit_compile": True, "is_legacy_optimizer": False}},
    }  # fmt: skip
    config = sequential(layer("Dense", "d", batch_input_shape=[None, 3], units=2))
    model = models.load_model(write_h5(tmp_path / "trained.h5", config, DENSE_WEIGHTS, training=training))
    assert model.compiled is not None
    assert (model.optimizer.learning_rate, model.optimizer.beta_1) == (0.002, 0.8)
    assert model.compiled.loss.from_logits
    model.fit(np.eye(3), np.eye(2)[[0, 1, 0]], verbose=0)
    training["optimizer_config"] = {"class_name": "Mine>Best", "config": {"lr": 0.1}}
    path = write_h5(tmp_path / "ftrl.h5", config, DENSE_WEIGHTS, training=training)
    with pytest.warns(UserWarning, match="the model is loaded but not compiled: unknown optimizer") as said:
        assert models.load_model(path).compiled is None
    assert said[0].filename == __file__


def test_a_metric_object_stays_when_a_model_is_saved_again(tmp_path: Path) -> None:
    theirs = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, activation="softmax")])
    theirs.compile(
        "adam", "sparse_categorical_crossentropy", metrics=[keras.metrics.SparseCategoricalAccuracy(name="right")]
    )
    theirs.fit(np.eye(3), np.array([0, 1, 0]), verbose=0)
    theirs.save(tmp_path / "theirs.keras")
    for path in ("ours.keras", "again.keras"):
        models.load_model(tmp_path / "theirs.keras").save(tmp_path / path)
        back = keras.models.load_model(tmp_path / path)
        assert back.evaluate(np.eye(3), np.array([0, 1, 0]), verbose=0, return_dict=True).keys() == {"loss", "right"}
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert models.load_model(tmp_path / path).compiled is not None


# Weights alone.


def test_weights_of_h5_by_order_and_by_name(tmp_path: Path) -> None:
    model = depthwise.Sequential([layers.Dense(2, input_shape=(3,), name="d"), layers.Dense(4, name="e")])
    before = model.get_weights()
    path = write_h5(
        tmp_path / "w.h5", None, {**DENSE_WEIGHTS, "e": [("e/kernel:0", random(2, 4)), ("e/bias:0", random(4))]}
    )
    model.load_weights(path)
    assert np.array_equal(model.get_weights()[2], random(2, 4))
    model.set_weights(before)
    model.load_weights(write_h5(tmp_path / "d.h5", None, {"x": [], **DENSE_WEIGHTS}), by_name=True)
    assert np.array_equal(model.get_weights()[0], DENSE[0])
    assert np.array_equal(model.get_weights()[2], before[2])
    with pytest.raises(InvalidFileError, match="has weights for 1 layers, the network has 2 layers with weights"):
        model.load_weights(tmp_path / "d.h5")
    other = write_h5(
        tmp_path / "o.h5",
        None,
        {"d": [("k:0", random(3, 5)), ("b:0", random(5))], "e": [("k:0", random(2, 4)), ("b:0", random(4))]},
    )
    with pytest.raises(InvalidFileError, match=r"'d/kernel' must have the shape \(3, 2\) by the config, the file has"):
        model.load_weights(other, by_name=True)
    with pytest.warns(UserWarning, match="not loaded: .*'d/kernel' must have the shape"):
        model.load_weights(other, by_name=True, skip_mismatch=True)
    assert np.array_equal(model.get_weights()[0], DENSE[0])
    assert np.array_equal(model.get_weights()[2], random(2, 4))
    model.save_weights(tmp_path / "our.weights.h5")
    with pytest.raises(InvalidFileError, match="without the names of layers, so by_name=True finds nothing"):
        model.load_weights(tmp_path / "our.weights.h5", by_name=True)


def test_a_keras_2_functional_model_counts_each_layer_twice(tmp_path: Path) -> None:
    """`_layer_checkpoint_dependencies/dense`, `dense_2`, …: numbers of Keras 2.12 to 2.15 are left out."""
    import h5py

    start = depthwise.Input((3,))
    model = depthwise.Model(start, layers.Dense(2)(layers.ReLU()(layers.Dense(4)(start))))
    arrays = [random(3, 4), random(4), random(4, 2), random(2)]
    with h5py.File(tmp_path / "two.weights.h5", "w") as file:
        group = file.create_group("_layer_checkpoint_dependencies")
        for name, own in (
            ("dense", arrays[:2]),
            ("dense_2", arrays[2:]),
            ("re_lu", []),
            ("input_layer", []),
            ("dense_3", []),
        ):
            places = group.create_group(f"{name}/vars")
            for index, array in enumerate(own):
                places[str(index)] = array
    model.load_weights(tmp_path / "two.weights.h5")
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), arrays, strict=True))


# Writing.


def nested() -> models.Model:
    """A frozen layer and a frozen model inside one that is called twice."""
    inner = depthwise.Sequential(
        [
            layers.Conv2D(4, 3, padding="same", input_shape=(6, 6, 4), trainable=False),
            layers.BatchNormalization(),
            layers.Conv2D(4, 1),
            layers.BatchNormalization(),
        ],
        name="inner",
    )
    start = depthwise.Input((8, 8, 3))
    first = inner(layers.Conv2D(4, 3)(start))
    return models.Model(start, layers.Add()([first, inner(first)]))


@pytest.mark.parametrize("make", [every_layer, small, nested])
@pytest.mark.parametrize("ending", [".h5", ".hdf5"])
def test_keras_3_opens_what_we_write_as_h5(make: Any, ending: str, tmp_path: Path) -> None:
    model = make()
    for weight in (x := model.get_weights()):
        weight += random(*weight.shape, seed=weight.size) ** 2
    model.set_weights(x)
    model.save(tmp_path / f"ours{ending}")
    theirs = keras.models.load_model(tmp_path / f"ours{ending}")
    again = models.load_model(tmp_path / f"ours{ending}")
    for ours, read, kept in zip(model.get_weights(), again.get_weights(), theirs.get_weights(), strict=True):
        assert np.array_equal(ours, read)
        assert np.array_equal(ours, kept)
    for other in (model, theirs):
        other_weights = [0 * weight for weight in other.get_weights()]
        other.set_weights(other_weights)
    again.save_weights(tmp_path / f"weights{ending}")
    for other in (model, theirs):
        other.load_weights(tmp_path / f"weights{ending}")
        assert all(np.array_equal(a, b) for a, b in zip(other.get_weights(), again.get_weights(), strict=True))


def test_the_compilation_goes_both_ways_in_h5(tmp_path: Path) -> None:
    theirs = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, activation="softmax")])
    theirs.compile(keras.optimizers.Adam(0.003), "sparse_categorical_crossentropy", metrics=["accuracy"])
    theirs.fit(np.eye(3), np.array([0, 1, 0]), verbose=0)
    theirs.save(tmp_path / "theirs.keras")
    theirs.save(tmp_path / "theirs.h5")  # which makes Keras forget its optimizer's configuration
    ours = models.load_model(tmp_path / "theirs.h5")
    newer = models.load_model(tmp_path / "theirs.keras")
    for model in (ours, newer):
        model.fit(np.eye(3), np.array([0, 1, 0]), verbose=0, shuffle=False)
    assert all(np.array_equal(a, b) for a, b in zip(ours.get_weights(), newer.get_weights(), strict=True))
    ours.save(tmp_path / "ours.h5")
    back = keras.models.load_model(tmp_path / "ours.h5")
    assert float(back.optimizer.learning_rate) == pytest.approx(0.003)
    assert back.evaluate(np.eye(3), np.array([0, 1, 0]), verbose=0, return_dict=True).keys() == {"loss", "accuracy"}


VARIABLES = (("kernel", (3, 2)), ("bias", (2,)))
STATES: dict[str, tuple[dict[str, Any], list[str], list[str]]] = {
    # the optimizer; how the Keras that wrote it names its arrays; what each is here ("" for nothing)
    "SGD of tf.keras": (
        {"class_name": "SGD", "config": {"learning_rate": 0.1, "momentum": 0.9}},
        ["SGD/iter", "SGD/d/kernel/momentum", "SGD/d/bias/momentum"],
        ["steps", "d/kernel/momentum", "d/bias/momentum"],
    ),
    "RMSprop of tf.keras": (
        {"class_name": "RMSprop", "config": {"learning_rate": 0.1, "momentum": 0.9, "centered": True}},
        ["RMSprop/iter", *(f"RMSprop/d/{name}/{kind}" for kind in ("rms", "momentum", "mg") for name, _ in VARIABLES)],
        ["steps", *(f"d/{name}/{k}" for k in ("velocity", "momentum", "average_gradient") for name, _ in VARIABLES)],
    ),
    "Adadelta of tf.keras": (
        {"class_name": "Adadelta", "config": {"learning_rate": 0.1}},
        ["iter", *(f"Adadelta/d/{name}/{kind}" for kind in ("accum_grad", "accum_var") for name, _ in VARIABLES)],
        ["steps", *(f"d/{name}/{k}" for k in ("accumulated_grad", "accumulated_delta_var") for name, _ in VARIABLES)],
    ),
    "Nadam of tf.keras": (
        {"class_name": "Nadam", "config": {"learning_rate": 0.1}},
        ["Nadam/iter", "Nadam/momentum_cache", *(f"Nadam/d/{name}/{kind}" for kind in "mv" for name, _ in VARIABLES)],
        ["steps", "u_product", *(f"d/{name}/{k}" for k in ("momentum", "velocity") for name, _ in VARIABLES)],
    ),
    "Ftrl of tf.keras": (
        {"class_name": "Ftrl", "config": {"learning_rate": 0.1}},
        ["Ftrl/iter", *(f"Ftrl/d/{name}/{kind}" for name, _ in VARIABLES for kind in ("accumulator", "linear"))],
        ["steps", *(f"d/{name}/{kind}" for name, _ in VARIABLES for kind in ("accumulator", "linear"))],
    ),
    "Adamax of tf.keras": (
        {"class_name": "Adamax", "config": {"learning_rate": 0.1}},
        ["Adamax/iter", *(f"Adamax/d/{name}/{kind}" for kind in "mv" for name, _ in VARIABLES)],
        ["steps", *(f"d/{name}/{kind}" for kind in ("momentum", "norm") for name, _ in VARIABLES)],
    ),
    "Adam of Keras 2.1": (
        {"class_name": "Adam", "config": {"lr": 0.1}},
        ["iterations_1", *(f"Variable_{number}" for number in range(4))],
        ["steps", *(f"d/{name}/{kind}" for kind in ("momentum", "velocity") for name, _ in VARIABLES)],
    ),
    "Adam of Keras 2.3": (
        {"class_name": "Adam", "config": {"learning_rate": 0.1}},
        ["Adam/iterations", *(f"training/Adam/Variable_{number}" for number in range(6))],
        ["steps", *(f"d/{name}/{kind}" for kind in ("momentum", "velocity") for name, _ in VARIABLES), "", ""],
    ),
    "Nadam of Keras 2.3": (
        {"class_name": "Nadam", "config": {"learning_rate": 0.1}},
        ["Nadam/iterations", "Nadam/m_schedule", *(f"training/Nadam/Variable_{number}" for number in range(4))],
        ["steps", "u_product", *(f"d/{name}/{k}" for k in ("momentum", "velocity") for name, _ in VARIABLES)],
    ),
    "RMSprop of Keras 2.2": (
        {"class_name": "RMSprop", "config": {"lr": 0.1}},
        ["training/RMSprop/Variable", "training/RMSprop/Variable_1"],
        ["d/kernel/velocity", "d/bias/velocity"],
    ),
    "SGD of Keras 2.2": (
        {"class_name": "SGD", "config": {"lr": 0.1, "momentum": 0.0}},
        ["SGD/iterations", "training/SGD/Variable", "training/SGD/Variable_1"],
        ["steps", "", ""],
    ),
}


def _with_state(path: Path, optimizer: Any, names: list[str], arrays: list[Any], version: str = "2.3.1") -> Path:
    import h5py

    training = {"loss": "mse", "metrics": None, "weighted_metrics": None, "loss_weights": None}
    config = sequential(layer("Dense", "d", batch_input_shape=[None, 3], units=2))
    write_h5(path, config, DENSE_WEIGHTS, version=version, training={**training, "optimizer_config": optimizer})
    with h5py.File(path, "a") as file:
        group = file.create_group("optimizer_weights")
        group.attrs["weight_names"] = [f"{name}:0".encode() for name in names]
        for name, array in zip(names, arrays, strict=True):
            group[f"{name}:0"] = array
    return path


@pytest.mark.parametrize("kind", STATES)
def test_every_optimizer_of_keras_2_goes_on(kind: str, tmp_path: Path) -> None:
    optimizer, names, meanings = STATES[kind]
    arrays: list[Any] = []
    for meaning in meanings:
        shape = (1,) if meaning == "" else dict(VARIABLES).get(meaning.split("/")[1], ()) if "/" in meaning else ()
        arrays.append(np.int64(7) if meaning == "steps" else random(*shape) + len(arrays))
    if kind.startswith("SGD of Keras"):
        arrays[1:] = [random(3, 2), random(2)]
    read = models.load_model(_with_state(tmp_path / "model.h5", optimizer, names, arrays)).optimizer
    assert read.steps == (7 if "steps" in meanings else 0)
    wanted = {meaning: array for meaning, array in zip(meanings, arrays) if meaning not in ("", "steps")}
    assert {name for name in read.state if name != "iteration"} == set(wanted)
    for name, array in wanted.items():
        assert np.array_equal(read.state[name], array), name


def test_a_state_that_does_not_fit_is_left_out_and_said(tmp_path: Path) -> None:
    sgd = {"class_name": "SGD", "config": {"learning_rate": 0.1, "momentum": 0.9}}
    names, arrays = ["SGD/iter", "SGD/d/kernel/momentum"], [np.int64(3), random(3, 2)]
    path = _with_state(tmp_path / "model.h5", sgd, names, arrays)
    with pytest.warns(
        UserWarning, match=r"starts afresh: of the arrays that it had learnt the file has 1, SGD .* keeps 2"
    ) as said:
        model = models.load_model(path)
    assert said[0].filename == __file__
    assert model.optimizer.steps == 0
    assert not model.optimizer.state
    names = ["SGD/iterations", "Variable", "Variable_1"]
    path = _with_state(tmp_path / "old.h5", sgd, names, [*arrays, random(2)], version="2.0.5")
    with pytest.warns(UserWarning, match="starts afresh: Keras before 2.1 kept its arrays in an order that the file"):
        assert models.load_model(path).optimizer.steps == 0


@pytest.mark.parametrize("kind", ["together", "by kind"])
def test_the_optimizer_of_keras_2_goes_on(kind: str, tmp_path: Path) -> None:
    """Its moments by weight (2.11 to 2.15), or all first ones before all second ones."""
    import h5py

    adam = {"class_name": "Adam", "config": {"name": "Adam", "learning_rate": 0.002}}
    training = {
        "loss": "mse",
        "metrics": None,
        "weighted_metrics": None,
        "loss_weights": None,
        "optimizer_config": adam,
    }
    config = sequential(layer("Dense", "d", batch_input_shape=[None, 3], units=2))
    path = write_h5(tmp_path / "trained.h5", config, DENSE_WEIGHTS, training=training)
    state = {
        f"d/{weight}/{slot}": random(*shape) + bias
        for weight, shape, bias in (("kernel", (3, 2), 5), ("bias", (2,), 9))
        for slot in "mv"
    }
    names = [*state] if kind == "together" else [name for slot in "mv" for name in state if name.endswith(slot)]
    with h5py.File(path, "a") as file:
        group = file.create_group("optimizer_weights")
        group.attrs["weight_names"] = [b"Adam/iter:0", *(f"Adam/{name}:0".encode() for name in names)]
        group["Adam/iter:0"] = np.int64(7)
        for name in names:
            group[f"Adam/{name}:0"] = state[name]
    optimizer = models.load_model(path).optimizer
    assert int(np.asarray(optimizer.iterations)) == 7
    found = optimizer.state
    assert np.array_equal(found["d/kernel/momentum"], state["d/kernel/m"])
    assert np.array_equal(found["d/bias/velocity"], state["d/bias/v"])


def test_a_loss_that_is_a_list_of_lists_is_said(tmp_path: Path) -> None:
    config = sequential(layer("Dense", "d", batch_input_shape=[None, 3], units=2))
    training = {"loss": [["mse"]], "optimizer_config": {"class_name": "SGD", "config": {"lr": 0.1}}}
    path = write_h5(tmp_path / "nested.h5", config, DENSE_WEIGHTS, training=training)
    with pytest.warns(UserWarning, match="loaded but not compiled: compile: each output has one loss, got"):
        assert models.load_model(path).compiled is None
