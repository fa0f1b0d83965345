"""`backend`, `config`, `ops` and `registration`: numbers as Keras', and nothing accepted that is not obeyed."""

from typing import Any

import keras
import numpy as np
import pytest

import depthwise
from depthwise import backend, config, ops, registration, saving, utils
from depthwise.errors import DepthwiseError, InvalidArgumentError, UnsupportedError

X = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32)
UNARY = [
    "abs", "ceil", "cos", "elu", "exp", "floor", "gelu", "hard_sigmoid", "leaky_relu", "log_softmax", "negative", "ravel", "relu",
    "relu6", "round", "selu", "sigmoid", "sign", "silu", "sin", "softmax", "softplus", "square", "squeeze", "stop_gradient", "swish",
    "tanh", "transpose", "zeros_like", "ones_like", "size", "ndim", "shape", "convert_to_numpy",
]  # fmt: skip


@pytest.mark.parametrize("name", UNARY)
def test_functions_of_one_array(name: str) -> None:
    ours, theirs = getattr(ops, name)(X), getattr(keras.ops, name)(X)
    np.testing.assert_allclose(ours, np.asarray(theirs), rtol=2**-20, atol=2**-22)  # both round a few times


@pytest.mark.parametrize(
    "name", ["mean", "sum", "max", "min", "std", "var", "argmax", "argmin", "logsumexp", "cumsum", "norm"]
)
@pytest.mark.parametrize("axis", [0, -1])
def test_reductions(name: str, axis: int) -> None:
    ours, theirs = (getattr(module, name)(X, axis=axis) for module in (ops, keras.ops))
    np.testing.assert_allclose(ours, np.asarray(theirs), rtol=2**-19, atol=2**-20)


def test_others() -> None:
    labels = np.array([0, 3, 4, 1])
    for name, arguments in (
        ("one_hot", (labels, 5)),
        ("in_top_k", (labels, X, 2)),
        ("expand_dims", (X, 1)),
        ("concatenate", ([X, X], 1)),
        ("cast", (X, "int32")),
        ("clip", (X, -0.5, 0.5)),
        ("where", (X > 0, X, 0.0)),
        ("reshape", (X, (5, 4))),
        ("matmul", (X, X.T)),
        ("pad", (X, ((1, 1), (0, 2)))),
        ("rsqrt", (np.abs(X),)),
        ("take", (X, labels, 1)),
        ("stack", ([X, X],)),
    ):
        ours, theirs = getattr(ops, name)(*arguments), getattr(keras.ops, name)(*arguments)
        np.testing.assert_allclose(ours, np.asarray(theirs), rtol=2**-20, atol=2**-22, err_msg=name)
    for ours, theirs in zip(ops.top_k(X, 3), keras.ops.top_k(X, 3)):
        np.testing.assert_array_equal(ours, np.asarray(theirs))
    assert [part.shape for part in ops.unstack(X, axis=1)] == [(4,)] * 5
    assert ops.convert_to_tensor([1, 2]).tolist() == [1, 2]


def test_every_name_is_one_of_keras() -> None:
    missing = [name for name in ops.__all__ if not hasattr(keras.ops, name)]
    assert not missing
    assert all(callable(getattr(ops, name)) for name in ops.__all__)


def test_unknown_and_unsupported() -> None:
    with pytest.raises(AttributeError, match=r"depthwise\.ops has no 'fft'"):
        ops.fft  # noqa: B018
    with pytest.raises(UnsupportedError, match="sparse"):
        ops.one_hot([1], 2, sparse=True)
    with pytest.raises(UnsupportedError, match="sparse"):
        ops.convert_to_tensor([1], sparse=True)
    with pytest.raises(InvalidArgumentError, match="at least 1"):
        ops.one_hot([1], 0)


def test_what_backend_tells() -> None:
    backend.clear_session()
    assert (backend.floatx(), backend.image_data_format(), backend.epsilon()) == (
        keras.backend.floatx(), keras.backend.image_data_format(), keras.backend.epsilon(),
    )  # fmt: skip
    backend.set_floatx("float32")
    backend.set_epsilon(1e-7)
    backend.set_image_data_format("channels_last")
    config.set_dtype_policy("float32")
    assert backend.backend() == "depthwise"
    assert backend.int_shape(depthwise.Input(shape=(3,))) == (None, 3)
    assert backend.is_keras_tensor(depthwise.Input(shape=(3,)))
    assert not backend.is_keras_tensor(X)
    assert backend.argmax(X, axis=-1).shape == (4,)
    assert backend.get_value(0.1) == 0.1
    assert config.floatx() == config.dtype_policy() == "float32"
    config.enable_interactive_logging()
    config.disable_traceback_filtering()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: backend.set_floatx("float16"), "all arithmetic is float32"),
        (lambda: backend.set_epsilon(1e-3), "give epsilon="),
        (lambda: backend.set_image_data_format("channels_first"), "transpose"),
        (lambda: config.set_dtype_policy("mixed_float16"), "more precise"),
        (lambda: config.enable_unsafe_deserialization(), "never run"),
        (lambda: backend.set_value(0.1, 0.2), "learning_rate"),
        (lambda: utils.pad_sequences([[1]]), "texts"),
    ],
)
def test_what_is_refused(call: Any, message: str) -> None:
    with pytest.raises(DepthwiseError, match=message):
        call()


def test_unknown_names() -> None:
    with pytest.raises(AttributeError, match=r"depthwise\.backend has no 'conv2d'"):
        backend.conv2d  # noqa: B018
    with pytest.raises(AttributeError, match=r"utils\.Progbar is not supported: fit, .* show their own progress"):
        utils.Progbar  # noqa: B018
    with pytest.raises(AttributeError, match="no layers for texts"):
        depthwise.preprocessing.sequence  # noqa: B018
    assert all(getattr(utils, name) is not None and name in dir(utils) for name in utils.__all__)


def test_registered_objects() -> None:
    def twice(x: Any) -> Any:
        return 2 * x

    assert utils.register_keras_serializable(package="my")(twice) is twice
    assert registration.known_objects()["my>twice"] is twice
    assert utils.get_registered_name(twice) == "my>twice"
    assert utils.get_registered_object("my>twice") is twice
    assert utils.get_registered_object("other") is None
    del utils.get_custom_objects()["my>twice"]
    assert "my>twice" not in registration.known_objects()
    with saving.custom_object_scope({"a": 1}, {"b": 2}), saving.CustomObjectScope({"a": 3}):
        assert registration.known_objects({"b": 4}) == {"a": 3, "b": 4}
    assert registration.known_objects() == {}
    with pytest.raises(InvalidArgumentError, match="dicts by name"), utils.custom_object_scope(5):
        pass


def test_files_are_read_with_what_a_scope_names(tmp_path: Any) -> None:
    model = depthwise.Sequential([depthwise.Input(shape=(4,)), depthwise.layers.Dense(2, name="mine")])
    text = model.to_json().replace(
        '"module": "keras.layers", "class_name": "Dense"', '"module": "elsewhere", "class_name": "MyDense"'
    )
    with pytest.raises(DepthwiseError, match="MyDense"):
        depthwise.models.model_from_json(text)
    with saving.custom_object_scope({"MyDense": depthwise.layers.Dense}):
        assert depthwise.models.model_from_json(text).count_params() == 10
    utils.get_custom_objects()["MyDense"] = depthwise.layers.Dense
    try:
        assert depthwise.models.model_from_json(text).count_params() == 10
    finally:
        del utils.get_custom_objects()["MyDense"]


def test_registered_layers_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="'Mine' is a layer or a model of its own code"):

        @utils.register_keras_serializable()
        class Mine:
            def call(self, x: Any) -> Any:
                return x
