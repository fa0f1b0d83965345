"""Operations between layers in files: each is what the framework that wrote it computes, or refused by name."""

import json
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from depthwise import models
from depthwise.errors import DepthwiseError, InvalidFileError, UnsupportedError
from support.old_keras import functional, layer

X = np.random.default_rng(0).normal(size=(2, 4, 4, 3)).astype(np.float32)
INPUT = layer("InputLayer", "i", [], batch_input_shape=[None, 4, 4, 3])


def model_of(*entries: dict[str, Any], output: str = "op") -> models.Model:
    return models.model_from_json(
        json.dumps(functional(INPUT, *entries, inputs=[["i", 0, 0]], outputs=[[output, 0, 0]]))
    )


def lambda_of(function: str, node: list[Any]) -> models.Model:
    return model_of(layer("TFOpLambda", "op", [node], function=function))


def relu6(x: NDArray[Any]) -> Any:
    return np.minimum(np.maximum(x, 0), 6)


OF_KERAS_2: dict[str, tuple[str, list[Any], Any]] = {
    "add": ("__operators__.add", ["i", 0, 0, {"y": 3.0, "name": None}], lambda x: x + 3),
    "subtract": ("math.subtract", ["i", 0, 0, {"y": 3.0, "name": None}], lambda x: x - 3),
    "number first": ("math.subtract", ["_CONSTANT_VALUE", -1, 3.0, {"y": ["i", 0, 0], "name": None}], lambda x: 3 - x),
    "multiply": ("math.multiply", ["i", 0, 0, {"y": 0.25}], lambda x: x * 0.25),
    "of itself": ("math.multiply", ["i", 0, 0, {"y": ["i", 0, 0]}], lambda x: x * x),
    "divide": ("math.truediv", ["i", 0, 0, {"y": 3.0}], lambda x: x / np.float32(3)),
    "negative": ("math.negative", ["i", 0, 0, {}], lambda x: -x),
    "maximum": ("math.maximum", ["i", 0, 0, {"y": 0.5}], lambda x: np.maximum(x, 0.5)),
    "square": ("math.square", ["i", 0, 0, {}], lambda x: x * x),
    "clip": ("clip_by_value", ["i", 0, 0, {"clip_value_min": -0.5, "clip_value_max": 0.25}], lambda x: np.clip(x, -0.5, 0.25)),
    "relu": ("nn.relu", ["i", 0, 0, {"name": None}], lambda x: np.maximum(x, 0)),
    "relu6": ("nn.relu6", ["i", 0, 0, {"name": None}], relu6),
    "mean": ("math.reduce_mean", ["i", 0, 0, {"axis": [1, 2], "keepdims": False}], lambda x: x.mean((1, 2))),
    "mean of maps": ("math.reduce_mean", ["i", 0, 0, {"axis": [1, 2], "keepdims": True}], lambda x: x.mean((1, 2), keepdims=True)),
    "concatenate": ("concat", [["i", 0, 0, {"axis": -1}], ["i", 0, 0, {"axis": -1}]], lambda x: np.concatenate([x, x], -1)),
    "flat": ("reshape", ["i", 0, 0, {"shape": [-1, -1]}], lambda x: x.reshape(2, -1)),
    "pad": ("compat.v1.pad", ["i", 0, 0, {"paddings": [[0, 0], [1, 0], [0, 2], [0, 0]], "mode": "CONSTANT"}], lambda x: np.pad(x, ((0, 0), (1, 0), (0, 2), (0, 0)))),
    "identity": ("stop_gradient", ["i", 0, 0, {}], lambda x: x),
}  # fmt: skip


@pytest.mark.parametrize("name", OF_KERAS_2)
def test_operations_of_keras_2(name: str) -> None:
    function, node, wanted = OF_KERAS_2[name]
    assert np.allclose(lambda_of(function, node).predict(X), wanted(X), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("op", "constants", "wanted"),
    [
        ("AddV2", {"1": 3.0}, lambda x: x + 3),
        ("Sub", {"0": 3.0}, lambda x: 3 - x),
        ("Mul", {"1": 0.5}, lambda x: x * 0.5),
        ("Relu6", {}, relu6),
        ("Mean", {"1": [1, 2]}, lambda x: x.mean((1, 2))),
    ],
)
def test_nodes_of_tensorflow_graphs(op: str, constants: dict[str, Any], wanted: Any) -> None:
    node = {"name": "n", "op": op, "input": ["i"], "attr": {"T": {"type": "DT_FLOAT"}}}
    model = model_of(layer("TensorFlowOpLayer", "op", [[["i", 0, 0, {}]]], node_def=node, constants=constants))
    assert np.allclose(model.predict(X), wanted(X), rtol=1e-6, atol=1e-6)


def test_hard_swish_as_mobilenet_v3_writes_it() -> None:
    model = model_of(
        layer(
            "TFOpLambda", "tf.__operators__.add", [["i", 0, 0, {"y": 3.0, "name": None}]], function="__operators__.add"
        ),
        layer("ReLU", "r", [[["tf.__operators__.add", 0, 0, {}]]], max_value=6.0, negative_slope=0.0, threshold=0.0),
        layer("TFOpLambda", "op", [["r", 0, 0, {"y": 1 / 6, "name": None}]], function="math.multiply"),
    )
    assert np.allclose(model.predict(X), relu6(X + 3) / 6, rtol=1e-6, atol=1e-6)


def test_residuals_of_inception_resnet() -> None:
    entry = layer("CustomScaleLayer", "op", [[["r", 0, 0, {}], ["i", 0, 0, {}]]], scale=0.25)
    relu = {"class_name": "ReLU", "config": {"name": "re", "max_value": 0.5}}
    model = model_of(layer("Activation", "r", [[["i", 0, 0, {}]]], activation=relu), entry)
    assert np.allclose(model.predict(X), np.clip(X, 0, 0.5) + 0.25 * X, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "of",
    [
        lambda x: keras.ops.relu6(x + 3.0),
        lambda x: keras.ops.mean(x, axis=[1, 2], keepdims=True),
        lambda x: keras.ops.max(x, axis=[1, 2]),
        lambda x: keras.ops.concatenate([x, 2.0 * x], axis=-1),
        lambda x: keras.ops.clip(x, -0.25, 0.5),
        lambda x: keras.ops.sigmoid(keras.ops.silu(x)),
        lambda x: keras.ops.reshape(x, (-1, 48)),
        lambda x: keras.ops.transpose(x, (0, 3, 1, 2)),
    ],
)
def test_operations_of_keras_3(of: Any) -> None:
    start = keras.Input((4, 4, 3))
    theirs = keras.Model(start, of(start))
    ours = models.model_from_json(theirs.to_json())
    assert np.allclose(ours.predict(X), np.asarray(theirs(X)), rtol=1e-5, atol=1e-6)


REFUSED: list[tuple[str, list[Any], type[DepthwiseError], str]] = [
    ("py_function", ["i", 0, 0, {"func": "x"}], UnsupportedError, "'op' is the operation 'py_function' between layers, which is"),
    ("os.system", ["i", 0, 0, {}], UnsupportedError, "the operation 'os.system' between layers, which is not supported; supp"),
    ("math.multiply", ["i", 0, 0, {"y": "x"}], UnsupportedError, "'op' .'math.multiply'.: its constant is 'x', one number is"),
    ("math.multiply", ["i", 0, 0, {"y": 1e300}], InvalidFileError, "must be of numbers that float32 can hold"),
    ("math.multiply", ["i", 0, 0, {"y": 2.0, "z": 3}], UnsupportedError, "'z' = 3 is not supported"),
    ("math.multiply", ["j", 0, 0, {"y": 2.0}], InvalidFileError, "'op' reads 'j', which does not exist"),
    ("math.reduce_mean", ["i", 0, 0, {"axis": [0]}], UnsupportedError, r"its axis is \[0\], height and width .* are supported"),
    ("reshape", ["i", 0, 0, {"shape": [3, -1]}], UnsupportedError, "its shape is .3, -1.; .* with the batch first"),
    ("concat", ["i", 0, 0, {"axis": 0}], UnsupportedError, "it joins the outputs of layers only"),
    ("nn.relu", ["_CONSTANT_VALUE", -1, 3.0, {}], UnsupportedError, "its argument x is 3.0, not another layer's output"),
]  # fmt: skip


@pytest.mark.parametrize(("function", "node", "error", "message"), REFUSED)
def test_what_is_refused(function: str, node: list[Any], error: type[DepthwiseError], message: str) -> None:
    with pytest.raises(error, match=message):
        lambda_of(function, node)


def test_constants_with_strange_numbers_are_refused() -> None:
    node = {"name": "n", "op": "Mul", "input": ["i"], "attr": {}}
    with pytest.raises(InvalidFileError, match="the constants of a TensorFlowOpLayer are numbered"):
        model_of(layer("TensorFlowOpLayer", "op", [[["i", 0, 0, {}]]], node_def=node, constants={"9": 1.0}))
