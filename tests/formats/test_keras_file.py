"""`.keras` files both ways with real Keras: every layer, the note's networks, training that goes on, weights alone."""

import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import depthwise
from depthwise import layers, models
from depthwise.errors import InvalidArgumentError, InvalidFileError, UnsupportedError
from depthwise.network.graph import snake_case
from depthwise.network.tree import in_keras_order
from depthwise.reference.network import forward
from support.networks import note_cnn_with_head, note_separable

from .conftest import every_layer, parts_of, small

MODELS: dict[str, Callable[[], models.Model]] = {
    "every": every_layer,
    "small": small,
    "note-cnn": lambda: models.Model.from_graph(note_cnn_with_head()),
    "note-separable": lambda: models.Model.from_graph(note_separable()),
}


def randomised(model: models.Model, seed: int = 0) -> models.Model:
    """The model with all weights random, BatchNormalization's statistics too: none may be mixed up with another."""
    generator = np.random.default_rng(seed)
    model.set_weights([generator.uniform(0.1, 0.9, array.shape) for array in model.get_weights()])
    return model


def images(model: models.Model, samples: int = 3) -> np.ndarray:
    return np.random.default_rng(1).random((samples, *model.graph.input_shapes[0]), dtype=np.float32)


def assert_predicts_the_same(ours: models.Model, theirs: Any) -> None:
    x = images(ours)
    expected = forward(ours.graph, ours.weights_by_name, [x])[ours.graph.outputs[0]]
    np.testing.assert_allclose(theirs.predict(x, verbose=0), expected, rtol=2e-4, atol=1e-5)


def assert_same(a: models.Model, b: models.Model) -> None:
    assert type(a) is type(b)
    assert a.name == b.name
    assert [repr(layer) for layer in a.layers] == [repr(layer) for layer in b.layers]
    assert list(a.weights_by_name) == list(b.weights_by_name)
    assert all(np.array_equal(p, q) for p, q in zip(a.get_weights(), b.get_weights()))


@pytest.mark.parametrize("name", MODELS)
def test_keras_reads_what_we_write(name: str, tmp_path: Path) -> None:
    model = randomised(MODELS[name]())
    model.save(tmp_path / "model.keras")
    theirs = keras.models.load_model(tmp_path / "model.keras")
    assert type(theirs).__name__ == ("Sequential" if model.graph.is_sequential else "Functional")
    assert theirs.name == model.name
    assert [layer.name for layer in theirs.layers] == [layer.name for layer in model.layers]
    assert all(np.array_equal(p, q) for p, q in zip(theirs.get_weights(), model.get_weights()))
    assert_predicts_the_same(model, theirs)


@pytest.mark.parametrize("name", MODELS)
def test_we_read_what_keras_writes(name: str, tmp_path: Path) -> None:
    model = randomised(MODELS[name]())
    model.save(tmp_path / "ours.keras")
    theirs = keras.models.load_model(tmp_path / "ours.keras")
    theirs.save(tmp_path / "theirs.keras")
    back = models.load_model(tmp_path / "theirs.keras")
    # Sequential: Keras has the input as a layer, so nobody has an input_shape.
    assert [layer.name for layer in back.layers] == [layer.name for layer in model.layers]
    assert list(back.weights_by_name) == list(model.weights_by_name)
    assert all(np.array_equal(p, q) for p, q in zip(back.get_weights(), theirs.get_weights()))
    assert_predicts_the_same(back, theirs)
    assert_same(back, depthwise.from_keras(theirs))


@pytest.mark.parametrize("name", MODELS)
def test_we_read_what_we_write(name: str, tmp_path: Path) -> None:
    model = randomised(MODELS[name]())
    model.save(tmp_path / "model.keras")
    once = depthwise.saving.load_model(str(tmp_path / "model.keras"))
    once.save(tmp_path / "again.keras")
    assert_same(once, models.load_model(tmp_path / "again.keras"))
    assert all(np.array_equal(p, q) for p, q in zip(once.get_weights(), model.get_weights()))
    first, second = parts_of(tmp_path / "model.keras"), parts_of(tmp_path / "again.keras")
    assert first["model.weights.h5"] == second["model.weights.h5"]


def test_keras_own_defaults_survive(tmp_path: Path) -> None:
    """Layers built by Keras itself, with options that only Keras writes into the config."""
    inputs = keras.Input((9, 9, 2))
    x = keras.layers.Conv2D(3, 3, kernel_initializer=keras.initializers.VarianceScaling(2.0, "fan_out", "uniform", 3))(
        inputs
    )
    x = keras.layers.Activation(keras.activations.silu)(x)
    x = keras.layers.BatchNormalization(axis=3)(x, training=False)
    x = keras.layers.Dropout(0.5, seed=4)(x)
    x = keras.layers.SeparableConv2D(4, 3, depthwise_initializer=keras.initializers.OrthogonalInitializer(0.5))(x)
    x = keras.layers.Dense(5, activation="swish")(x)
    theirs = keras.Model(inputs, keras.layers.Flatten()(x))
    theirs.save(tmp_path / "theirs.keras")
    ours = models.load_model(tmp_path / "theirs.keras")
    convolution, separable = ours.layers[1], ours.layers[5]
    assert isinstance(convolution, depthwise.layers.Conv2D)
    assert isinstance(separable, depthwise.layers.SeparableConv2D)
    assert convolution.kernel_initializer == depthwise.initializers.VarianceScaling(2.0, "fan_out", "uniform", 3)
    assert separable.depthwise_initializer == depthwise.initializers.Orthogonal(0.5)
    assert_predicts_the_same(ours, theirs)


def test_graphs_of_every_form_keep_keras_order(tmp_path: Path) -> None:
    """Random graphs of equal layers: were one counter or one order different, weights would change places."""
    for seed in range(12):
        generator = np.random.default_rng(seed)
        tensors = [depthwise.Input((5, 5, 2)) for _ in range(1 + seed % 2)]
        inputs = list(tensors)
        for index in range(8):
            first, second = (tensors[generator.integers(len(tensors))] for _ in range(2))
            kind = generator.integers(3)
            name = "".join(generator.permutation(list("abcdef"))) + str(index)
            if kind == 0:
                tensors.append(layers.Conv2D(2, 1, name=name)(first))
            elif kind == 1:
                tensors.append(layers.DepthwiseConv2D(1, name=name)(first))
            else:
                tensors.append(layers.Add(name=name)([first, second]))
        used = [tensors[-1], tensors[-2], tensors[generator.integers(len(inputs), len(tensors))]]
        ends = list({id(tensor): tensor for tensor in used}.values())
        model = randomised(models.Model(inputs, ends if len(ends) > 1 else ends[0]), seed)
        path = tmp_path / f"{seed}.keras"
        model.save(path)
        theirs = keras.models.load_model(path)
        assert [layer.name for layer in theirs.layers] == [layer.name for layer in model.layers]
        assert all(np.array_equal(p, q) for p, q in zip(theirs.get_weights(), model.get_weights()))
        theirs.save(path)
        assert_same(models.load_model(path), model)
        assert in_keras_order(model.description) == model.description


@pytest.mark.parametrize("name", layers.LAYERS)
def test_group_names_are_those_of_keras(name: str) -> None:
    assert snake_case(name) == keras.src.utils.naming.to_snake_case(name)


def test_weights_alone_go_both_ways(tmp_path: Path) -> None:
    model = randomised(every_layer())
    model.save_weights(tmp_path / "w.weights.h5")
    theirs = keras.models.model_from_json(model.to_json())
    theirs.load_weights(tmp_path / "w.weights.h5")
    assert all(np.array_equal(p, q) for p, q in zip(theirs.get_weights(), model.get_weights()))
    theirs.save_weights(tmp_path / "t.weights.h5")
    theirs.save(tmp_path / "t.keras")
    for name in ("t.weights.h5", "t.keras", "w.weights.h5"):
        other = every_layer()
        other.load_weights(tmp_path / name)
        assert_same(other, model)
    wrong = randomised(small(), 3)
    before = wrong.get_weights()
    with pytest.raises(
        InvalidFileError, match=r"must have the shape \(3, 3, 2, 4\)|needs 2 weights at layers/conv2d/vars"
    ):
        wrong.load_weights(tmp_path / "w.weights.h5")
    assert all(np.array_equal(p, q) for p, q in zip(wrong.get_weights(), before))


OPTIMIZERS = [
    depthwise.optimizers.SGD(0.1),
    depthwise.optimizers.SGD(0.1, momentum=0.9, nesterov=True),
    depthwise.optimizers.RMSprop(0.01, momentum=0.5, centered=True),
    depthwise.optimizers.Adam(0.01, amsgrad=True),
    depthwise.optimizers.AdamW(depthwise.optimizers.schedules.CosineDecay(0.01, 100), clipnorm=1.0),
    depthwise.optimizers.Nadam(0.01),
    depthwise.optimizers.Adamax(0.01),
    depthwise.optimizers.Adagrad(0.01),
    depthwise.optimizers.Adadelta(1.0),
    depthwise.optimizers.Ftrl(0.01),
    depthwise.optimizers.Lion(0.001),
    depthwise.optimizers.Adafactor(0.05),
    depthwise.optimizers.Muon(0.01, exclude_layers=["nothing"]),
    depthwise.optimizers.SGD(0.1, momentum=0.9, gradient_accumulation_steps=3),
]


def labelled(model: models.Model) -> tuple[np.ndarray, np.ndarray]:
    return images(model, 12), np.arange(12) % 3


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda optimizer: type(optimizer).__name__)
def test_training_goes_on_where_the_other_stopped(optimizer: Any, tmp_path: Path) -> None:
    """Train here, go on in Keras, come back: the same weights as Keras training all the way."""
    loss = depthwise.losses.SparseCategoricalCrossentropy()
    every = optimizer.gradient_accumulation_steps or 1
    model = models.Sequential(
        [
            layers.Conv2D(4, 3, activation="tanh", input_shape=(8, 8, 2)),
            layers.Flatten(),
            layers.Dense(3, activation="softmax"),
        ]
    )
    model.compile(optimizer, loss, metrics=["accuracy", depthwise.metrics.SparseTopKCategoricalAccuracy(k=2)])
    x, y = labelled(model)
    model.save(tmp_path / "start.keras")
    model.fit(x, y, batch_size=6, epochs=2, shuffle=False, verbose=0)
    model.save(tmp_path / "middle.keras")

    straight = keras.models.load_model(tmp_path / "start.keras")
    straight.fit(x, y, batch_size=6, epochs=4, shuffle=False, verbose=0)
    resumed = keras.models.load_model(tmp_path / "middle.keras")
    assert int(resumed.optimizer.iterations) == model.optimizer.iterations == 4 // every
    resumed.fit(x, y, batch_size=6, epochs=1, shuffle=False, verbose=0)
    resumed.save(tmp_path / "later.keras")
    back = models.load_model(tmp_path / "later.keras")
    assert back.optimizer.iterations == 6 // every
    assert type(back.optimizer) is type(optimizer)
    back.fit(x, y, batch_size=6, epochs=1, shuffle=False, verbose=0)
    for a, b in zip(back.get_weights(), straight.get_weights()):
        np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-5)
    ours, theirs = (
        back.evaluate(x, y, return_dict=True, verbose=0),
        straight.evaluate(x, y, return_dict=True, verbose=0),
    )
    assert set(ours) == set(theirs)
    assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-3)


def test_compile_false_and_not_compiled(tmp_path: Path) -> None:
    model = small()
    model.save(tmp_path / "plain.keras")
    assert models.load_model(tmp_path / "plain.keras").compiled is None
    model.compile("adam", "sparse_categorical_crossentropy")
    model.save(tmp_path / "compiled.keras")
    assert models.load_model(tmp_path / "compiled.keras").compiled is not None
    assert models.load_model(tmp_path / "compiled.keras", compile=False).compiled is None


def test_a_loss_that_we_lack_leaves_a_model_that_predicts(tmp_path: Path) -> None:
    theirs = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    theirs.compile("adam", keras.losses.CTC())
    theirs.save(tmp_path / "ctc.keras")
    with pytest.warns(
        UserWarning, match="is loaded but not compiled: the loss 'CTC' is not supported: .*; call compile before fit"
    ):
        ours = models.load_model(tmp_path / "ctc.keras")
    assert ours.compiled is None
    assert_predicts_the_same(ours, theirs)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        models.load_model(tmp_path / "ctc.keras", compile=False)


def test_from_keras_takes_nothing_else() -> None:
    with pytest.raises(InvalidArgumentError, match=r"from_keras takes a keras\.Model, got 'dict'"):
        depthwise.from_keras({})

    class Custom(keras.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.dense = keras.layers.Dense(2)

        def call(self, x: Any) -> Any:
            return self.dense(x)

        def get_config(self) -> dict[str, Any]:
            return {}

    custom = Custom()
    custom(np.zeros((1, 3), np.float32))
    with pytest.raises(UnsupportedError, match="describes 'Custom'; Sequential and functional models are supported"):
        depthwise.from_keras(custom)
    with pytest.raises(UnsupportedError, match="was saved before its input shape was known"):
        depthwise.from_keras(keras.Sequential([keras.layers.Dense(2)]))


def test_names_of_files(tmp_path: Path) -> None:
    model = small()
    with pytest.raises(InvalidArgumentError, match=re.escape("the file's name must end in .keras or .h5, got")):
        model.save(tmp_path / "model.onnx")
    with pytest.raises(InvalidArgumentError, match="is the name of a file of weights; use save_weights"):
        model.save(tmp_path / "model.weights.h5")
    with pytest.raises(InvalidArgumentError, match=re.escape("the file's name must end in .weights.h5, got")):
        model.save_weights(tmp_path / "model.keras")
    model.save(tmp_path / "model.keras")
    with pytest.raises(InvalidArgumentError, match="exists and overwrite is False; choose another name"):
        model.save(tmp_path / "model.keras", overwrite=False)
    with pytest.raises(UnsupportedError, match="zipped=False is not supported"):
        model.save(tmp_path / "folder", zipped=False)
    with pytest.raises(InvalidArgumentError, match="missing"):
        model.save(tmp_path / "missing" / "model.keras")
