"""`keras.ops`: NumPy's functions under Keras' names for what comes out of a network; many of them within one, too.

>>> import numpy as np
>>> from depthwise import ops
>>> scores = np.array([[1.0, 3.0]], np.float32)
>>> int(ops.argmax(scores, axis=-1)[0]), ops.softmax(scores).round(3).tolist()
(1, [[0.11900000274181366, 0.8809999823570251]])

A symbolic tensor becomes part of the network where layers can compute the function (see `depthwise.ops.networks`), and is
refused in a sentence where none can.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthwise import activations
from depthwise.arguments import ACTIVATIONS
from depthwise.documentation import document
from depthwise.errors import InvalidArgumentError, UnsupportedError, describe_value
from depthwise.meanings import ARRAYS
from depthwise.ops import networks

Array = NDArray[Any]

_NUMPY = [
    "abs",
    "absolute",
    "add",
    "all",
    "amax",
    "amin",
    "any",
    "append",
    "arange",
    "arccos",
    "arccosh",
    "arcsin",
    "arcsinh",
    "arctan",
    "arctan2",
    "arctanh",
    "argmax",
    "argmin",
    "argpartition",
    "argsort",
    "array",
    "average",
    "bincount",
    "bitwise_and",
    "bitwise_or",
    "bitwise_xor",
    "broadcast_to",
    "ceil",
    "clip",
    "concatenate",
    "conj",
    "copy",
    "corrcoef",
    "cos",
    "cosh",
    "count_nonzero",
    "cross",
    "cumprod",
    "cumsum",
    "deg2rad",
    "diag",
    "diagonal",
    "diff",
    "digitize",
    "divide",
    "dot",
    "einsum",
    "empty",
    "equal",
    "exp",
    "exp2",
    "expand_dims",
    "expm1",
    "eye",
    "flip",
    "floor",
    "floor_divide",
    "full",
    "full_like",
    "gcd",
    "greater",
    "greater_equal",
    "histogram",
    "hstack",
    "hypot",
    "identity",
    "imag",
    "inner",
    "isclose",
    "isfinite",
    "isinf",
    "isnan",
    "kron",
    "lcm",
    "less",
    "less_equal",
    "linspace",
    "log",
    "log10",
    "log1p",
    "log2",
    "logaddexp",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "logspace",
    "matmul",
    "max",
    "maximum",
    "mean",
    "median",
    "meshgrid",
    "min",
    "minimum",
    "mod",
    "moveaxis",
    "multiply",
    "nan_to_num",
    "ndim",
    "negative",
    "nonzero",
    "not_equal",
    "ones",
    "ones_like",
    "outer",
    "pad",
    "power",
    "prod",
    "quantile",
    "ravel",
    "real",
    "reciprocal",
    "repeat",
    "reshape",
    "roll",
    "rot90",
    "round",
    "searchsorted",
    "sign",
    "sin",
    "sinh",
    "size",
    "sort",
    "split",
    "sqrt",
    "square",
    "squeeze",
    "stack",
    "std",
    "subtract",
    "sum",
    "swapaxes",
    "take",
    "take_along_axis",
    "tan",
    "tanh",
    "tensordot",
    "tile",
    "trace",
    "transpose",
    "tri",
    "tril",
    "triu",
    "true_divide",
    "trunc",
    "var",
    "vdot",
    "vstack",
    "where",
    "zeros",
    "zeros_like",
]

_ACTIVATIONS = tuple(name for name in ACTIVATIONS if name not in ("exponential", "linear", "mish", "tanh"))

_OWN = (
    "cast", "convert_to_numpy", "convert_to_tensor", "in_top_k", "is_tensor", "logsumexp", "norm", "one_hot",
    "rsqrt", "shape", "stop_gradient", "swish", "top_k", "unstack",
)  # fmt: skip

__all__ = sorted({*_NUMPY, *_ACTIVATIONS, *_OWN})


def _is_symbolic(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return any(map(_is_symbolic, value))
    return hasattr(value, "connect") and hasattr(value, "sample_shape")


def _for_both(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` of arrays; of symbolic tensors what `networks` has."""

    def call(*args: Any, **kwargs: Any) -> Any:
        if any(map(_is_symbolic, args)) or any(map(_is_symbolic, kwargs.values())):
            if name not in networks.FUNCTIONS:
                raise networks.refusal(name)
            return networks.FUNCTIONS[name](*args, **kwargs)
        return function(*args, **kwargs)

    functools.update_wrapper(call, function, assigned=("__doc__",), updated=())
    call.__name__ = call.__qualname__ = name
    call.__module__ = __name__
    return call


def _cast(x: Any, dtype: Any) -> Array:
    """x in another type."""
    return np.asarray(x).astype(dtype)


def _convert(x: Any, dtype: Any = None, sparse: Any = None, ragged: Any = None) -> Array:
    """x as an array; `sparse` and `ragged` must be None."""
    if sparse or ragged:
        raise UnsupportedError("convert_to_tensor: sparse and ragged tensors are not supported; leave them out")
    return np.asarray(x, dtype=dtype)


def _gelu(x: Any, approximate: bool = True) -> Array:
    """x · Φ(x), by default with tanh, as in `keras.ops`; the layers' activation is the exact one."""
    return activations.gelu(x, approximate)


def _in_top_k(targets: Any, predictions: Any, k: int) -> Array:
    """Whether each class number is among the k largest predictions."""
    scores, classes = np.asarray(predictions), np.asarray(targets)
    own = np.take_along_axis(scores, classes[..., None], -1)
    return np.asarray((scores > own).sum(axis=-1) < k)


def _logsumexp(x: Any, axis: Any = None, keepdims: bool = False) -> Array:
    """log(Σ eˣ), without overflow."""
    values = np.asarray(x)
    top = values.max(axis=axis, keepdims=True)
    result = np.log(np.exp(values - top).sum(axis=axis, keepdims=True)) + top
    return np.asarray(result if keepdims else np.squeeze(result, axis=axis))


def _norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Array:
    """The length of vectors."""
    return np.asarray(np.linalg.norm(x, ord, axis, keepdims))


def _one_hot(x: Any, num_classes: int, axis: int = -1, dtype: Any = None, sparse: bool = False) -> Array:
    """Class numbers as vectors with a single 1; a number that is not a class gives zeros."""
    if sparse:
        raise UnsupportedError("one_hot: sparse=True is not supported; leave it out")
    if isinstance(num_classes, bool) or num_classes < 1:
        raise InvalidArgumentError(f"one_hot: num_classes must be at least 1, got {describe_value(num_classes)}")
    classes = np.asarray(x)[..., None] == np.arange(num_classes)
    return np.moveaxis(classes.astype(dtype or np.float32), -1, axis)


def _rsqrt(x: Any) -> Array:
    """1 / √x."""
    return np.asarray(1 / np.sqrt(x))


def _top_k(x: Any, k: int, sorted: bool = True) -> tuple[Array, Array]:
    """The k largest values along the last axis, the largest first, and where they are; equal ones in their order."""
    values = np.asarray(x)
    places = np.argsort(-values, axis=-1, kind="stable")[..., :k].astype(np.int32)
    return np.take_along_axis(values, places, -1), places


def _unstack(x: Any, num: int | None = None, axis: int = 0) -> list[Array]:
    """The parts along an axis as a list."""
    return list(np.moveaxis(np.asarray(x), axis, 0))


def _is_tensor(x: Any) -> bool:
    """Whether x is an array."""
    return isinstance(x, np.ndarray)


def _shape(x: Any) -> tuple[int, ...]:
    """The sizes of x along its axes."""
    return tuple(np.shape(x))


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{name: getattr(np, name) for name in _NUMPY},
    **{name: getattr(activations, name) for name in _ACTIVATIONS},
    "cast": _cast,
    "convert_to_numpy": np.asarray,
    "convert_to_tensor": _convert,
    "gelu": _gelu,
    "in_top_k": _in_top_k,
    "is_tensor": _is_tensor,
    "logsumexp": _logsumexp,
    "norm": _norm,
    "one_hot": _one_hot,
    "rsqrt": _rsqrt,
    "shape": _shape,
    "stop_gradient": np.asarray,
    "swish": activations.silu,
    "top_k": _top_k,
    "unstack": _unstack,
}

document(_FUNCTIONS, _FUNCTIONS, ARRAYS)

_MADE = {name: _for_both(name, function) for name, function in _FUNCTIONS.items()}


def __dir__() -> list[str]:
    return sorted(__all__)


def __getattr__(
    name: str,
) -> Any:  # not as names of this module: they would hide Python's own `any`, `max` and `sorted`
    if name in _MADE:
        return _MADE[name]
    raise AttributeError(
        f"depthwise.ops has no {name!r}: it is for what comes out of a network; use NumPy, or a layer of depthwise.layers in a network"
    )
