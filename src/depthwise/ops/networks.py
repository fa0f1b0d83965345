"""`keras.ops` on the symbolic tensors of a network, as far as layers and operations compute them.

>>> from depthwise import Input, ops
>>> x = Input((8, 8, 3))
>>> ops.mean(ops.relu(x), axis=(1, 2)).shape
(None, 3)

Axis 0 is the batch, as in Keras; no operation may join or move its samples.
"""

from collections.abc import Callable, Sequence
from math import pi, prod, sqrt
from typing import Any

from depthwise import layers
from depthwise.arguments import ACTIVATIONS
from depthwise.errors import InvalidArgumentError, ShapeError, UnsupportedError, describe_value
from depthwise.network.symbolic import SymbolicTensor, operate

__all__ = ["FUNCTIONS", "refusal"]

Tensor = SymbolicTensor


def refusal(name: str) -> UnsupportedError:
    """For a function that no layer computes."""
    return UnsupportedError(
        f"ops.{name} is for arrays: no layer computes it of the symbolic tensors of a network. Apply it to what model.predict "
        f"returns; in networks there are {', '.join(sorted(FUNCTIONS))}"
    )


def _refuse(name: str, why: str) -> UnsupportedError:
    return UnsupportedError(f"ops.{name} of a symbolic tensor: {why}")


def _tensor(name: str, x: Any) -> Tensor:
    if not isinstance(x, SymbolicTensor):
        raise InvalidArgumentError(f"ops.{name}: x must be a symbolic tensor here, got {describe_value(x)}")
    return x


def _axis(name: str, x: Tensor, axis: Any, end: int = 0) -> int:
    """The axis counted from 1, the first one after the batch; `end` more of them are allowed."""
    rank = len(x.shape) + end
    if isinstance(axis, bool) or not isinstance(axis, int) or not -rank <= axis < rank:
        raise InvalidArgumentError(
            f"ops.{name}: axis must be a whole number from {-rank} to {rank - 1} for the shape {x.shape}, got "
            f"{describe_value(axis)}"
        )
    if axis % rank == 0:
        raise _refuse(name, "axis 0 is the batch, whose samples do not meet in a network; give another axis")
    place: int = axis % rank
    return place


# Shapes.


def _reshaped(x: Tensor, shape: Sequence[int]) -> Tensor:
    if tuple(shape) == x.sample_shape:
        return x
    if not shape:
        raise _refuse("reshape", "every sample needs one axis at least; keep one, of the size 1")
    result: Tensor = layers.Reshape(tuple(shape))(x)
    return result


def _permuted(x: Tensor, order: Sequence[int]) -> Tensor:
    """`order`: the axes of the samples, counted from 1."""
    if list(order) == [*range(1, len(x.shape))]:
        return x
    result: Tensor = layers.Permute(tuple(order))(x)
    return result


def _reshape(x: Any, newshape: Any) -> Tensor:
    x = _tensor("reshape", x)
    sizes = list(newshape) if isinstance(newshape, (list, tuple)) else [newshape]
    if len(sizes) < 2 or sizes[0] not in (-1, None):
        raise _refuse(
            "reshape", f"the shape begins with the batch, as -1: (-1, size, …); got {describe_value(newshape)}"
        )
    if sizes[1:] == [-1]:
        sizes = [-1, prod(x.sample_shape)]
    return _reshaped(x, sizes[1:])


def _expand_dims(x: Any, axis: Any) -> Tensor:
    shape = [*_tensor("expand_dims", x).sample_shape]
    for place in sorted(_axis("expand_dims", x, item, 1) for item in ([axis] if isinstance(axis, int) else axis)):
        shape.insert(place - 1, 1)
    return _reshaped(x, shape)


def _squeeze(x: Any, axis: Any = None) -> Tensor:
    x = _tensor("squeeze", x)
    ones = [place for place, size in enumerate(x.shape) if size == 1]
    given = (
        ones if axis is None else [_axis("squeeze", x, item) for item in ([axis] if isinstance(axis, int) else axis)]
    )
    wrong = [place for place in given if place not in ones]
    if wrong:
        raise ShapeError(f"ops.squeeze: axis {wrong[0]} of the shape {x.shape} is not of the size 1")
    return _reshaped(x, [size for place, size in enumerate(x.sample_shape, 1) if place not in given])


def _transpose(x: Any, axes: Any = None) -> Tensor:
    x = _tensor("transpose", x)
    order = [*axes] if isinstance(axes, (list, tuple)) else [*reversed(range(len(x.shape)))]
    if not order or order[0] != 0:
        raise _refuse("transpose", f"the batch must stay first, axes=(0, …); got axes={describe_value(axes)}")
    return _permuted(x, order[1:])


def _swapaxes(x: Any, axis1: int, axis2: int) -> Tensor:
    order = [*range(1, len(_tensor("swapaxes", x).shape))]
    one, other = _axis("swapaxes", x, axis1), _axis("swapaxes", x, axis2)
    order[one - 1], order[other - 1] = other, one
    return _permuted(x, order)


def _moveaxis(x: Any, source: int, destination: int) -> Tensor:
    order = [*range(1, len(_tensor("moveaxis", x).shape))]
    target = _axis("moveaxis", x, destination)
    order.remove(_axis("moveaxis", x, source))
    order.insert(target - 1, _axis("moveaxis", x, source))
    return _permuted(x, order)


def _concatenate(xs: Any, axis: int = 0) -> Tensor:
    tensors = [_tensor("concatenate", x) for x in xs]
    result: Tensor = layers.Concatenate(axis=_axis("concatenate", tensors[0], axis))(tensors)
    return result


def _stack(x: Any, axis: int = 0) -> Tensor:
    tensors = [_tensor("stack", item) for item in x]
    place = _axis("stack", tensors[0], axis, 1)
    result: Tensor = layers.Concatenate(axis=place)([_expand_dims(item, place) for item in tensors])
    return result


def _pad(x: Any, pad_width: Any, mode: str = "constant", constant_values: Any = None) -> Tensor:
    x = _tensor("pad", x)
    widths = [[item, item] if isinstance(item, int) else [*item] for item in pad_width]
    inner = widths[1:-1]
    if len(widths) != len(x.shape) or len(inner) not in (1, 2) or any([*widths[0], *widths[-1]]):
        raise _refuse("pad", f"zeros around rows and columns are supported, got pad_width={describe_value(pad_width)}")
    if mode != "constant" or constant_values not in (None, 0):
        raise _refuse("pad", "zeros are supported: mode='constant' without constant_values")
    layer: Any = layers.ZeroPadding1D if len(inner) == 1 else layers.ZeroPadding2D
    result: Tensor = layer(inner[0] if len(inner) == 1 else inner)(x)
    return result


# Reductions.


def _reduced(name: str, pooling: str, x: Any, axis: Any, keepdims: bool) -> tuple[Tensor, int]:
    """The mean or maximum over axes, and over how many numbers it is."""
    x = _tensor(name, x)
    if axis is None:
        raise _refuse(name, "axis is missing: without it the batch would be reduced too; give the axes after the first")
    axes = sorted({_axis(name, x, item) for item in ([axis] if isinstance(axis, int) else axis)})
    kept = [place for place in range(1, len(x.shape)) if place not in axes]
    if not kept and not keepdims:
        raise _refuse(name, "every sample needs one axis at least; give keepdims=True")
    count = prod(x.sample_shape[place - 1] for place in axes)
    if len(x.shape) == 4 and axes == [1, 2]:
        result: Tensor = getattr(layers, f"Global{pooling}Pooling2D")(keepdims=bool(keepdims))(x)
        return result, count
    channels = prod(x.sample_shape[place - 1] for place in kept)
    rows = _reshaped(_permuted(x, [*axes, *kept]), (count, channels))
    result = getattr(layers, f"Global{pooling}Pooling1D")()(rows)
    sizes = [1 if place in axes else size for place, size in enumerate(x.sample_shape, 1) if keepdims or place in kept]
    return _reshaped(result, sizes), count


def _mean(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    return _reduced("mean", "Average", x, axis, keepdims)[0]


def _sum(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    mean, count = _reduced("sum", "Average", x, axis, keepdims)
    return mean * count


def _max(x: Any, axis: Any = None, keepdims: bool = False, initial: Any = None) -> Tensor:
    if initial is not None:
        raise _refuse("max", "initial is not supported; leave it out, or take ops.maximum of the result and a number")
    return _reduced("max", "Max", x, axis, keepdims)[0]


def _min(x: Any, axis: Any = None, keepdims: bool = False, initial: Any = None) -> Tensor:
    if initial is not None:
        raise _refuse("min", "initial is not supported; leave it out, or take ops.minimum of the result and a number")
    return -_reduced("min", "Max", -_tensor("min", x), axis, keepdims)[0]


def _var(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    centred = x - _reduced("var", "Average", x, axis, True)[0]
    return _reduced("var", "Average", operate("Square", centred), axis, keepdims)[0]


def _std(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    return operate("Sqrt", _var(x, axis, keepdims))


# Element by element.


def _activation(name: str) -> Callable[[Any], Tensor]:
    def function(x: Any) -> Tensor:
        result: Tensor = layers.Activation(name)(_tensor(name, x))
        return result

    return function


def _of_default(name: str, argument: str, default: float) -> Callable[..., Tensor]:
    """An activation that layers have with the default of its argument only."""

    def function(x: Any, value: float = default, **named: float) -> Tensor:
        value = named.pop(argument, value)
        if named or value != default:
            given = next(iter(named.items()), (argument, value))
            raise _refuse(name, f"{argument} must be {default:g}, got {given[0]}={describe_value(given[1])}")
        return _activation(name)(x)

    return function


def _softmax(x: Any, axis: Any = -1) -> Tensor:
    result: Tensor = layers.Softmax(axis=axis)(_tensor("softmax", x))
    return result


def _log_softmax(x: Any, axis: Any = -1) -> Tensor:
    x = _tensor("log_softmax", x)
    if axis not in (-1, len(x.shape) - 1):
        raise UnsupportedError(f"log_softmax: axis must be the last one (-1), got {describe_value(axis)}")
    return _activation("log_softmax")(x)


def _leaky_relu(x: Any, negative_slope: float = 0.2) -> Tensor:
    result: Tensor = layers.LeakyReLU(negative_slope=negative_slope)(_tensor("leaky_relu", x))
    return result


def _elu(x: Any, alpha: float = 1.0) -> Tensor:
    result: Tensor = layers.ELU(alpha=alpha)(_tensor("elu", x))
    return result


def _gelu(x: Any, approximate: bool = True) -> Tensor:
    if not approximate:
        return _activation("gelu")(x)
    x = _tensor("gelu", x)
    result: Tensor = x * 0.5 * (1.0 + _activation("tanh")((x + x * x * x * 0.044715) * sqrt(2.0 / pi)))
    return result


def _clip(x: Any, x_min: Any, x_max: Any) -> Tensor:
    return operate("Minimum", operate("Maximum", _tensor("clip", x), x_min), x_max)


def _cast(x: Any, dtype: Any) -> Tensor:
    if str(getattr(dtype, "__name__", dtype)) != "float32":
        raise _refuse("cast", f"all arithmetic is float32, got dtype={describe_value(dtype)}; leave it out")
    return _tensor("cast", x)


def _convert(x: Any, dtype: Any = None, sparse: Any = None, ragged: Any = None) -> Tensor:
    if sparse or ragged:
        raise _refuse("convert_to_tensor", "sparse and ragged tensors are not supported; leave them out")
    return _cast(x, dtype or "float32")


def _operation(name: str, count: int) -> Callable[..., Tensor]:
    if count == 1:
        return lambda x: operate(name, x)
    return lambda x1, x2: operate(name, x1, x2)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{
        name: _activation(name)
        for name in ACTIVATIONS
        if name not in ("celu", "exponential", "hard_shrink", "linear", "mish", "soft_shrink", "squareplus")
    },
    **{
        name: _operation(operation, count)
        for name, operation, count in (
            ("abs", "Absolute", 1), ("absolute", "Absolute", 1), ("add", "Add", 2), ("divide", "Divide", 2), ("exp", "Exp", 1),
            ("log", "Log", 1), ("maximum", "Maximum", 2), ("minimum", "Minimum", 2), ("multiply", "Multiply", 2),
            ("negative", "Negative", 1), ("power", "Power", 2), ("reciprocal", "Reciprocal", 1), ("rsqrt", "Rsqrt", 1),
            ("sqrt", "Sqrt", 1), ("square", "Square", 1), ("subtract", "Subtract", 2), ("true_divide", "TrueDivide", 2),
        )
    },
    "amax": _max,
    "amin": _min,
    "cast": _cast,
    "celu": _of_default("celu", "alpha", 1.0),
    "clip": _clip,
    "concatenate": _concatenate,
    "convert_to_tensor": _convert,
    "elu": _elu,
    "expand_dims": _expand_dims,
    "gelu": _gelu,
    "hard_shrink": _of_default("hard_shrink", "threshold", 0.5),
    "leaky_relu": _leaky_relu,
    "max": _max,
    "mean": _mean,
    "min": _min,
    "moveaxis": _moveaxis,
    "ndim": lambda x: len(_tensor("ndim", x).shape),
    "pad": _pad,
    "reshape": _reshape,
    "shape": lambda x: _tensor("shape", x).shape,
    "soft_shrink": _of_default("soft_shrink", "threshold", 0.5),
    "log_softmax": _log_softmax,
    "softmax": _softmax,
    "squareplus": _of_default("squareplus", "b", 4.0),
    "squeeze": _squeeze,
    "stack": _stack,
    "std": _std,
    "sum": _sum,
    "swapaxes": _swapaxes,
    "swish": _activation("silu"),
    "transpose": _transpose,
    "var": _var,
}  # fmt: skip
"""What is computed in networks, by its name in `keras.ops`."""
