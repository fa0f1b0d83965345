"""`ops` on symbolic tensors: the values of real Keras, in prediction and through files; a sentence where no layer computes it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import depthwise
from depthwise import layers, models, ops
from depthwise.errors import DepthwiseError
from depthwise.ops.networks import FUNCTIONS

X = np.random.default_rng(0).normal(size=(3, 4, 6, 5)).astype(np.float32)

PLAIN = [
    name
    for name in FUNCTIONS
    if name
    not in {
        "add", "amax", "amin", "cast", "clip", "concatenate", "convert_to_tensor", "divide", "expand_dims", "log", "max", "maximum",
        "mean", "min", "minimum", "moveaxis", "multiply", "ndim", "pad", "power", "reshape", "rsqrt", "shape", "sqrt", "squeeze",
        "stack", "std", "subtract", "sum", "swapaxes", "transpose", "true_divide", "var",
    }
]  # fmt: skip
"""Functions of one tensor."""

OTHERS: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda o, x: o.add(x, 2.0),
    "amax": lambda o, x: o.amax(x, axis=(1, 2)),
    "amin": lambda o, x: o.amin(x, axis=2),
    "cast": lambda o, x: o.cast(x, "float32"),
    "clip": lambda o, x: o.clip(x, -0.5, 0.25),
    "concatenate": lambda o, x: o.concatenate([x, o.square(x)], axis=2),
    "convert_to_tensor": lambda o, x: o.convert_to_tensor(x),
    "divide": lambda o, x: o.divide(x, o.exp(x)),
    "elu": lambda o, x: o.elu(x, alpha=0.5),
    "expand_dims": lambda o, x: o.expand_dims(x, 2),
    "gelu": lambda o, x: o.gelu(x, approximate=False),
    "leaky_relu": lambda o, x: o.leaky_relu(x, 0.3),
    "log": lambda o, x: o.log(o.exp(x)),
    "max": lambda o, x: o.max(x, axis=-1, keepdims=True),
    "maximum": lambda o, x: o.maximum(x, 0.25),
    "mean": lambda o, x: o.mean(x, axis=[1, 2]),
    "mean of channels": lambda o, x: o.mean(x, axis=-1),
    "mean of all": lambda o, x: o.mean(x, axis=(1, 2, 3), keepdims=True),
    "mean, kept": lambda o, x: o.mean(x, axis=(1, 2), keepdims=True),
    "min": lambda o, x: o.min(x, axis=1),
    "minimum": lambda o, x: o.minimum(x, o.square(x)),
    "moveaxis": lambda o, x: o.moveaxis(x, 1, -1),
    "multiply": lambda o, x: o.multiply(0.5, x),
    "pad": lambda o, x: o.pad(x, [[0, 0], [1, 0], [0, 2], [0, 0]]),
    "power": lambda o, x: o.power(x, 3),
    "reshape": lambda o, x: o.reshape(x, (-1, 24, 5)),
    "rsqrt": lambda o, x: o.rsqrt(o.abs(x) + 1.0),
    "softmax": lambda o, x: o.softmax(x, axis=1),
    "sqrt": lambda o, x: o.sqrt(o.abs(x)),
    "squeeze": lambda o, x: o.squeeze(o.mean(x, axis=(1, 3), keepdims=True), axis=1),
    "squeeze all": lambda o, x: o.squeeze(o.mean(x, axis=(1, 3), keepdims=True)),
    "stack": lambda o, x: o.stack([x, o.negative(x)], axis=-1),
    "std": lambda o, x: o.std(x, axis=(1, 2)),
    "subtract": lambda o, x: o.subtract(1.0, x),
    "sum": lambda o, x: o.sum(x, axis=2),
    "swapaxes": lambda o, x: o.swapaxes(x, 1, -1),
    "transpose": lambda o, x: o.transpose(x, (0, 3, 1, 2)),
    "true_divide": lambda o, x: o.true_divide(x, 3.0),
    "var": lambda o, x: o.var(x, axis=-1, keepdims=True),
}


def network(kit: Any) -> Any:
    """Every function once, as an output each."""
    x = kit.Input((4, 6, 5))
    outputs = [getattr(kit.ops, name)(x) for name in PLAIN]
    return kit.Model(x, outputs + [function(kit.ops, x) for function in OTHERS.values()])


def test_every_function_is_that_of_keras(tmp_path: Path) -> None:
    """Twenty-four numbers are added at most, and few functions follow each other: 64 roundings."""
    ours, theirs = network(depthwise), network(keras)
    ours.save(tmp_path / "ours.keras")
    found = [*ours.predict(X)]
    wanted = [np.asarray(value) for value in theirs(X)]
    by_keras = [np.asarray(value) for value in keras.models.load_model(tmp_path / "ours.keras")(X)]
    again = models.load_model(tmp_path / "ours.keras").predict(X)
    for name, mine, true, read, once_more in zip([*PLAIN, *OTHERS], found, wanted, by_keras, again, strict=True):
        assert mine.shape == true.shape == read.shape, name
        allowed = 64 * 2.0**-24 * max(1.0, float(np.abs(true).max()))
        assert np.abs(mine - true).max() <= allowed, name
        assert np.abs(read - true).max() <= allowed, name
        assert np.array_equal(mine, once_more), name
    tried = {name.partition(",")[0].partition(" ")[0] for name in (*PLAIN, *OTHERS)}
    assert tried == set(FUNCTIONS) - {"ndim", "shape"}
    x = depthwise.Input((4, 6, 5))
    assert (ops.ndim(x), ops.shape(x)) == (4, (None, 4, 6, 5))


@pytest.mark.parametrize(
    ("of", "message"),
    [
        (lambda x: ops.sin(x), r"ops\.sin is for arrays: no layer computes it .*model\.predict returns; in networks there are abs"),
        (lambda x: ops.argmax(x), r"ops\.argmax is for arrays"),
        (lambda x: ops.mean(x), r"ops\.mean of a symbolic tensor: axis is missing"),
        (lambda x: ops.mean(x, axis=0), "axis 0 is the batch"),
        (lambda x: ops.mean(x, axis=7), r"axis must be a whole number from -4 to 3 .*, got 7"),
        (lambda x: ops.sum(x, axis=(1, 2, 3)), "give keepdims=True"),
        (lambda x: ops.concatenate([x, x]), "axis 0 is the batch"),
        (lambda x: ops.concatenate([x, X], axis=1), "x must be a symbolic tensor here"),
        (lambda x: ops.add(x, X), "takes symbolic tensors and numbers, got 'ndarray'"),
        (lambda x: ops.reshape(x, (3, -1)), r"the shape begins with the batch, as -1: \(-1, size, …\); got \(3, -1\)"),
        (lambda x: ops.transpose(x), "the batch must stay first"),
        (lambda x: ops.squeeze(x, axis=1), "axis 1 of the shape .* is not of the size 1"),
        (lambda x: ops.pad(x, [[1, 1], [0, 0], [0, 0], [0, 0]]), "zeros around rows and columns"),
        (lambda x: ops.pad(x, [[0, 0], [1, 1], [0, 0], [0, 0]], mode="reflect"), "zeros are supported"),
        (lambda x: ops.max(x, axis=1, initial=0.0), "initial is not supported"),
        (lambda x: ops.cast(x, "float16"), "all arithmetic is float32, got dtype='float16'"),
        (lambda x: ops.celu(x, alpha=2.0), "alpha must be 1, got alpha=2.0"),
        (lambda x: x[:, 0], r"x\[…\] of .* is not supported in a network; use layers.Cropping1D"),
        (lambda x: x @ x, "layers.Dot"),
        (lambda x: x // 2, "x / y"),
        (lambda x: 5 % x, "preprocessing"),
        (lambda x: x > 0, r"ops\.maximum"),
    ],
)  # fmt: skip
def test_what_no_layer_computes(of: Callable[[Any], Any], message: str) -> None:
    with pytest.raises(DepthwiseError, match=message):
        of(depthwise.Input((4, 6, 5)))


def test_they_train() -> None:
    """A network of functions moves as the one of layers does, to the bit."""
    kernels = []
    ways: tuple[Callable[[Any], Any], ...] = (
        lambda x: ops.reshape(ops.relu(x), (-1, 72)),
        lambda x: layers.Flatten()(layers.ReLU()(x)),
    )
    for flat in ways:
        x = depthwise.Input((6, 6, 1))
        out = layers.Dense(2, kernel_initializer="ones")(flat(layers.Conv2D(2, 1, kernel_initializer="ones")(x)))
        model = models.Model(x, out)
        model.compile("sgd", "mse")
        model.train_on_batch(np.abs(X[:, :1, :1, :1]) * np.ones((3, 6, 6, 1), np.float32), np.zeros((3, 2), np.float32))
        kernels.append(model.get_weights())
    assert all(np.array_equal(a, b) for a, b in zip(*kernels))
