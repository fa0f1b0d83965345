"""Models with Keras' names: building, weights, predict, and what they say to bad input."""

import inspect
import re
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest

import depthwise
from depthwise import layers, models
from depthwise.errors import InvalidArgumentError, InvalidDataError, ShapeError, UnsupportedError
from depthwise.model import predict_loop as predicting
from depthwise.reference.network import forward
from support.networks import note_cnn_with_head, note_separable

SAME_SIGNATURE = [
    "add", "build", "compile", "count_params", "fit", "get_config", "get_layer", "get_weights", "pop", "predict",
    "predict_on_batch", "set_weights", "test_on_batch", "train_on_batch",
]  # fmt: skip


def small() -> models.Sequential:
    return models.Sequential(
        [
            layers.Conv2D(4, 3, activation="relu", input_shape=(8, 8, 2)),
            layers.BatchNormalization(),
            layers.Flatten(),
            layers.Dense(3, activation="softmax"),
        ]
    )


def data(samples: int, shape: tuple[int, ...] = (8, 8, 2), seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((samples, *shape), dtype=np.float32)


@pytest.mark.parametrize("name", SAME_SIGNATURE)
def test_arguments_and_defaults_are_those_of_keras(name: str) -> None:
    theirs = inspect.signature(getattr(keras.Sequential, name)).parameters
    ours = inspect.signature(getattr(models.Sequential, name)).parameters
    assert {key: parameter.default for key, parameter in ours.items()} == {
        key: parameter.default for key, parameter in theirs.items()
    }
    assert list(ours) == list(theirs)


@pytest.mark.parametrize("name", ["evaluate", "load_weights", "save", "save_weights", "summary"])
def test_arguments_that_keras_has_and_we_lack_are_known(name: str) -> None:
    theirs = inspect.signature(getattr(keras.Sequential, name)).parameters
    ours = inspect.signature(getattr(models.Sequential, name)).parameters
    assert set(theirs) - set(ours) <= {"kwargs", "max_shard_size", "skip_mismatch"}
    assert set(ours) - set(theirs) <= {"style", "by_name"}  # Keras takes by_name among its **kwargs


def test_graphs_and_tensors_are_shown_in_a_line() -> None:
    """2⁶⁰ ways lead from the input to this output: writing each of them out would never end."""
    start = depthwise.Input((3,), name="start")
    tensor = start
    for _ in range(60):
        tensor = layers.Add()([tensor, layers.Dropout(0.1)(tensor)])
    graph = models.Model(start, tensor, name="diamonds").graph
    assert repr(start) == "<SymbolicTensor shape=(None, 3), from <InputLayer name=start, built=True>>"
    assert re.fullmatch(r"<SymbolicTensor shape=\(None, 3\), from <Add name=add\w*, built=True>>", repr(tensor))
    assert repr(graph) == "<Graph 'diamonds': output (3,), layers 121>"
    with pytest.raises(InvalidArgumentError, match="every one of inputs must come from"):
        models.Model(tensor, tensor)
    with pytest.raises(InvalidArgumentError, match=r"got .*SymbolicTensor shape"):
        models.Model(start, [tensor, 3])


def test_add_keeps_what_was_learnt_and_pop_takes_away() -> None:
    model = models.Sequential()
    model.add(depthwise.Input((8, 8, 2)))
    model.add(layers.Conv2D(4, 3))
    kernel = model.weights_by_name["conv2d/kernel"]
    model.add(layers.Conv2D(5, 3))
    assert model.weights_by_name["conv2d/kernel"] is kernel
    assert [layer.name for layer in model.layers] == ["conv2d", "conv2d_1"]
    assert model.output_shape == (None, 4, 4, 5)
    assert model.pop().default_name == "conv2d"
    assert model.output_shape == (None, 6, 6, 4)
    assert model.weights_by_name["conv2d/kernel"] is kernel


def test_a_layer_that_does_not_fit_leaves_the_model_as_it_was() -> None:
    model = models.Sequential([layers.Conv2D(4, 3, input_shape=(8, 8, 2))])
    with pytest.raises(ShapeError, match="the output would be empty"):
        model.add(layers.Conv2D(4, 9))
    assert model.output_shape == (None, 6, 6, 4)
    with pytest.raises(InvalidArgumentError, match="add takes a layer, for example"):
        model.add("conv2d")
    with pytest.raises(ShapeError, match=r"takes inputs of the shapes \(8, 8, 2\), got \(6, 6, 4\)"):
        model.add(small())
    assert model.output_shape == (None, 6, 6, 4)


def test_sequential_without_a_shape_takes_it_from_build_or_data() -> None:
    chain = [layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(2)]
    model = models.Sequential(chain)
    assert not model.built
    assert len(model.layers) == 3
    with pytest.raises(InvalidArgumentError, match="does not say the shape of its input"):
        model.count_params()
    model.build((None, 8, 8, 2))
    assert model.built
    assert model.input_shape == (None, 8, 8, 2)
    with pytest.raises(ShapeError, match="it cannot be built again"):
        model.build((None, 9, 9, 2))
    other = models.Sequential(chain)
    assert other.predict(data(3), verbose=0).shape == (3, 2)
    with pytest.raises(InvalidArgumentError, match="has no layers yet"):
        models.Sequential().graph  # noqa: B018
    with pytest.raises(ShapeError, match="the model does not know its input's shape yet"):
        models.Sequential(chain).predict(np.zeros(3))


def test_get_layer() -> None:
    model = small()
    assert model.get_layer("dense") is model.get_layer(index=-1) is model.layers[3]
    with pytest.raises(InvalidArgumentError, match="no layer is named 'conv'; the layers are 'conv2d', 'batch_norm"):
        model.get_layer("conv")
    with pytest.raises(InvalidArgumentError, match="takes a name or an index, one of the two"):
        model.get_layer()
    with pytest.raises(InvalidArgumentError, match="the model has 4 layers, got the index 4"):
        model.get_layer(index=4)


def test_weights_cannot_change_unseen() -> None:
    model = small()
    x = data(2)
    before = model.predict(x, verbose=0)
    with pytest.raises(ValueError, match="read-only"):
        model.weights_by_name["dense/bias"][0] = 1
    with pytest.raises(TypeError):
        model.weights_by_name["dense/bias"] = np.zeros(3)  # type: ignore[index]
    weights = model.get_weights()
    weights[-1][:] = [5, 0, 0]
    assert np.array_equal(model.predict(x, verbose=0), before)
    model.set_weights(weights)
    after = model.predict(x, verbose=0)
    assert np.all(after[:, 0] > before[:, 0])
    assert np.array_equal(model.predict_on_batch(x), after)
    weights[-1][:] = 0
    assert np.array_equal(model.predict_on_batch(x), after)


def test_bad_weights_are_refused_and_nothing_changes() -> None:
    model = small()
    weights = model.get_weights()
    with pytest.raises(InvalidArgumentError, match="set_weights: the model has 8 weights, got a list of 7"):
        model.set_weights(weights[:-1])
    with pytest.raises(ShapeError, match=r"the weight 'dense/bias' must have the shape \(3,\), got \(4,\)"):
        model.set_weights([*weights[:-1], np.zeros(4)])
    with pytest.raises(InvalidArgumentError, match="'dense/kernel' is missing; the model has 8 weights, got 7"):
        model.set_weights_by_name({k: v for k, v in model.weights_by_name.items() if k != "dense/kernel"})
    with pytest.raises(InvalidArgumentError, match="'x' is unknown"):
        model.set_weights_by_name({**model.weights_by_name, "x": np.zeros(1)})
    with pytest.raises(InvalidDataError, match="must hold numbers, got the dtype '<U1'"):
        model.set_weights([*weights[:-1], np.array(["a", "b", "c"])])
    assert all(np.array_equal(a, b) for a, b in zip(weights, model.get_weights()))


@pytest.mark.parametrize("graph", [note_cnn_with_head(), note_separable()], ids=lambda graph: graph.name)
def test_predict_is_the_reference(graph: Any) -> None:
    model = models.Model.from_graph(graph)
    x = data(5, (28, 28, 1))
    expected = forward(graph, model.weights_by_name, [x])[graph.outputs[0]]
    result = model.predict(x, verbose=0)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-6)
    for other in (model.predict(x, batch_size=2, verbose=0), model.predict_on_batch(x), model(x)):
        assert np.array_equal(other, result)
    assert np.array_equal(model.predict(x, batch_size=2, steps=1, verbose=0), result[:2])
    assert np.array_equal(model.predict(x[..., 0], verbose=0), result)
    assert np.array_equal(model.predict(x.tolist(), verbose=0), result)
    assert np.array_equal(model.predict(np.asfortranarray(x), verbose=0), result)
    assert np.array_equal(model.predict(x.astype(np.float64), verbose=0), result)


def test_integers_keep_their_values() -> None:
    model = small()
    pixels = np.random.default_rng(1).integers(0, 256, (3, 8, 8, 2), dtype=np.uint8)
    assert np.array_equal(model.predict(pixels, verbose=0), model.predict(pixels.astype(np.float32), verbose=0))


def test_nan_comes_out_of_predict() -> None:
    model = small()
    x = data(2)
    x[1, 4, 4, 0] = np.nan
    result = model.predict(x, verbose=0)
    assert np.isfinite(result[0]).all()
    assert np.isnan(result[1]).all()


def test_batches_generators_and_pairs() -> None:
    model = small()
    x = data(7)
    expected = model.predict(x, verbose=0)

    class Batches:
        def __len__(self) -> int:
            return 3

        def __getitem__(self, index: int) -> Any:
            part = x[index * 3 : index * 3 + 3]
            return part, np.zeros(len(part))

    def generator() -> Iterator[np.ndarray]:
        for start in range(0, 7, 2):
            yield x[start : start + 2]

    assert np.array_equal(model.predict(Batches(), verbose=0), expected)
    assert np.array_equal(model.predict(Batches(), steps=2, verbose=0), expected[:6])
    assert np.array_equal(model.predict(generator(), verbose=0), expected)
    assert np.array_equal(model.predict(generator(), steps=2, verbose=0), expected[:4])


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (np.zeros((8, 8, 2)), ShapeError, r"got \(8, 8, 2\): one sample without the batch axis; add .*: x\[None\]"),
        (np.zeros((1, 8, 8, 3)), ShapeError, "the network reads 2 channels, the data has 3"),
        (np.zeros((1, 2, 8, 8)), ShapeError, r"channels on the last axis: x.transpose\(0, 2, 3, 1\)"),
        (np.zeros((1, 9, 9, 2)), ShapeError, "resize the images to 8×8"),
        (np.zeros((1, 128)), ShapeError, "4 axes are needed, the first counts the samples"),
        (np.array("a"), InvalidDataError, "x must hold numbers, got the dtype '<U1'"),
        ([[1], [1, 2]], InvalidDataError, "x is not one array: its parts differ in shape"),
        (np.zeros((1, 8, 8, 2), complex), InvalidDataError, "x must hold numbers, got the dtype 'complex128'"),
        (np.zeros((0, 8, 8, 2)), InvalidDataError, "x holds no samples"),
        ({"x": np.zeros((1, 8, 8, 2))}, InvalidArgumentError, "the network's inputs are 'input_layer', got 'x'"),
        (None, InvalidDataError, "x must hold numbers, got the dtype 'object'"),
        (iter(()), InvalidDataError, "x holds no samples"),
    ],
)
def test_bad_data_is_refused_with_one_sentence(x: Any, error: type[Exception], message: str) -> None:
    model = small()
    with pytest.raises(error, match=message):
        model.predict(x, verbose=0)
    if not hasattr(x, "__next__"):
        with pytest.raises(error, match=message):
            model.predict_on_batch(x)


def test_a_grey_image_without_its_axes() -> None:
    model = models.Sequential([layers.Conv2D(2, 3, input_shape=(28, 28, 1))])
    with pytest.raises(ShapeError, match=r"without the batch and channel axes; add them: x\[None, ..., None\]"):
        model.predict(np.zeros((28, 28)))


@pytest.mark.parametrize("options", [{"batch_size": 0}, {"steps": 0}, {"batch_size": 1.5}, {"verbose": 3}])
def test_bad_options_of_predict(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError, match=f"predict: {next(iter(options))} must be"):
        small().predict(data(1), **options)


def functional(outputs: str) -> models.Model:
    left, right = depthwise.Input((6, 6, 2), name="left"), depthwise.Input((6, 6, 2), name="right")
    joined = layers.Add()([layers.Conv2D(3, 1)(left), layers.DepthwiseConv2D(1)(layers.Conv2D(3, 1)(right))])
    first, second = layers.GlobalAveragePooling2D()(joined), layers.Flatten()(joined)
    ends: Any = {"one": first, "list of one": [first], "list": [first, second], "dict": {"b": first, "a": second}}
    return models.Model([left, right], ends[outputs])


@pytest.mark.parametrize("outputs", ["one", "list of one", "list", "dict"])
def test_several_inputs_and_outputs_come_as_in_keras(outputs: str) -> None:
    model = functional(outputs)
    x = {"left": data(3, (6, 6, 2)), "right": data(3, (6, 6, 2), 1)}
    result = model.predict(x, verbose=0)
    theirs = keras.models.model_from_json(model.to_json())
    theirs.set_weights(model.get_weights())
    expected = theirs.predict(x, verbose=0)
    assert type(result) is type(expected)
    for a, b in zip(keras.tree.flatten(result), keras.tree.flatten(expected)):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    listed = model.predict_on_batch([x["left"], x["right"]])
    assert all(np.array_equal(a, b) for a, b in zip(keras.tree.flatten(result), keras.tree.flatten(listed)))
    assert [layer.name for layer in model.layers] == [layer.name for layer in theirs.layers]
    assert model.output_shape == theirs.output_shape
    assert keras.tree.map_structure(lambda a: a, model.input_shape) == theirs.input_shape


def test_several_inputs_must_agree() -> None:
    model = functional("one")
    with pytest.raises(InvalidDataError, match="same number of samples, got 2 for 'left', 3 for 'right'"):
        model.predict([data(2, (6, 6, 2)), data(3, (6, 6, 2))])
    with pytest.raises(InvalidArgumentError, match="the network has 2 inputs, give a list of as many, got 'ndarray'"):
        model.predict(data(2, (6, 6, 2)))
    with pytest.raises(ShapeError, match="x for the input 'right' must have the shape"):
        model.predict([data(2, (6, 6, 2)), data(2, (6, 6, 3))])


def test_what_models_cannot_be() -> None:
    with pytest.raises(UnsupportedError, match="Model needs inputs and outputs"):
        models.Model()
    with pytest.raises(UnsupportedError, match="training=True is not supported; use fit"):
        small()(data(1), training=True)
    with pytest.raises(InvalidArgumentError, match="name must be a non-empty text or None, got 3"):
        models.Sequential(name=3)  # type: ignore[arg-type]


def test_clones_and_configs_have_new_weights() -> None:
    for model in (small(), functional("dict"), functional("list of one")):
        clones = [models.clone_model(model), models.model_from_json(model.to_json())]
        clones.append(type(model).from_config(model.get_config()))
        for clone in clones:
            assert type(clone) is type(model)
            assert clone.output_shape == model.output_shape
            assert [a.shape for a in clone.get_weights()] == [a.shape for a in model.get_weights()]
            assert not np.array_equal(clone.get_weights()[0], model.get_weights()[0])


def test_callbacks_see_every_batch() -> None:
    seen: list[Any] = []

    class Callback(keras.callbacks.Callback):  # type: ignore[misc]
        def on_predict_begin(self, logs: Any = None) -> None:
            seen.append("begin")

        def on_predict_batch_end(self, batch: int, logs: Any = None) -> None:
            seen.append(batch)

        def on_predict_end(self, logs: Any = None) -> None:
            seen.append("end")

    small().predict(data(5), batch_size=2, callbacks=[Callback()], verbose=0)
    assert seen == ["begin", 0, 1, 2, "end"]


def test_the_bar_comes_when_it_takes_long(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    model = small()
    x = data(6)
    model.predict(x, batch_size=2)
    model.predict(x, batch_size=2, verbose=0)
    assert capsys.readouterr().out == ""
    model.predict(x, batch_size=2, verbose=2)
    assert capsys.readouterr().out.startswith("3/3 - ")
    model.predict(x, batch_size=2, verbose=1)
    assert "3/3" in capsys.readouterr().out
    monkeypatch.setattr(predicting, "SECONDS_BEFORE_BAR", -1.0)
    model.predict(x, batch_size=2)
    assert "3/3" in capsys.readouterr().out
