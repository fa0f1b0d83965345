"""Products of matrices, reductions, softmax."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from depthwise.compiler.ir.expression import Constant as Number
from depthwise.compiler.ir.expression import Expression, Operand, apply
from depthwise.data.formats.onnx.reading.folding import MOST_FOLDED
from depthwise.data.formats.onnx.reading.network import Constant, NotBatchedError, RefusedError, Tensor, Value
from depthwise.data.formats.onnx.reading.registry import Given, operator
from depthwise.layers import descriptions as layer
from depthwise.layers.tensors import MatrixProduct, Reduction

X, Y = Operand(0), Operand(1)

# -- matrices --------------------------------------------------------------------------------------------------------


def _dense(given: Given, tensor: Tensor, kernel: Any, bias: Any = None) -> Tensor:
    """The last axis times a matrix (inputs, units); a flattened map's rows of it are brought into the order of its numbers."""
    network, units = given.network, int(kernel.shape[1])
    source = tensor.flat
    if tensor.shape[-1] != kernel.shape[0]:
        raise ValueError(f"{tensor.shape[-1]} numbers do not fit a matrix of the shape {kernel.shape}")
    description = layer.Dense(units, use_bias=bias is not None)
    arrays = [kernel] if bias is None else [kernel, bias]
    if source is not None:
        places = np.arange(kernel.shape[0]).reshape(source.shape).transpose(source.order).ravel()
        flat = network.add(layer.Flatten(), [source.port], name=f"{source.port}_flat")
        return Tensor(network.add(description, [flat], [kernel[places], *arrays[1:]]), (units,), (0,))
    last = given.network.axis(tensor, -1)
    if tensor.order[-1:] != (last,):
        tensor = network.plain(tensor)
    return network.result(network.add(description, [tensor.port], arrays), tensor)


@operator("Gemm")
def _gemm(given: Given) -> Tensor:
    network, b = given.network, given.value(1)
    alpha, beta = float(given.attribute("alpha", 1.0)), float(given.attribute("beta", 1.0))
    tensor = given.raw() if isinstance(given.value(0), Tensor) else None
    if tensor is None or isinstance(b, Tensor):
        return _general_gemm(given, alpha, beta)
    if given.attribute("transA", 0):
        tensor = _turned(given, network.settled(tensor))
    kernel = b.array.astype(np.float32) * np.float32(alpha)
    kernel = kernel.T if given.attribute("transB", 0) else kernel
    bias = given.value(2) if given.has(2) and beta != 0.0 else None
    if isinstance(bias, Constant):
        added = bias.array.astype(np.float32) * np.float32(beta)
        if added.size in (1, kernel.shape[1]) and (added.ndim < 2 or added.shape[0] == 1):
            return _dense(given, tensor, kernel, np.broadcast_to(added.ravel(), (kernel.shape[1],)))
        bias, beta = Constant(added, bias.inputs), 1.0
    result = _dense(given, tensor, kernel)
    return result if bias is None else network.arithmetic("Gemm", X + Y * beta, [result, bias])


def _general_gemm(given: Given, alpha: float, beta: float) -> Tensor:
    network = given.network
    sides: list[Value] = []
    for place, name in enumerate(("transA", "transB")):
        value = given.value(place)
        turned = bool(given.attribute(name, 0))
        if isinstance(value, Tensor):
            sides.append(_turned(given, network.settled(value)) if turned else network.settled(value))
        else:
            sides.append(Constant(value.array.T if turned else value.array, value.inputs))
    first, second = sides
    if isinstance(first, Constant) and isinstance(second, Constant):  # what is added to their product is no constant
        if first.array.size * second.array.size > MOST_FOLDED:
            raise ValueError("the product of its constants would hold too many numbers")
        known = np.matmul(first.array.astype(np.float32), second.array.astype(np.float32)) * np.float32(alpha)
        values = [Constant(known, first.inputs | second.inputs), given.value(2)]
        return network.arithmetic("Gemm", X + Y * beta, values)
    product = _product(given, first, second)
    if alpha != 1.0:
        product = network.arithmetic("Gemm", X * alpha, [product])
    if not given.has(2) or beta == 0.0:
        return product
    return network.arithmetic("Gemm", X + Y * beta, [product, given.value(2)])


def _turned(given: Given, tensor: Tensor) -> Tensor:
    """The last two axes the other way round; nothing moves."""
    given.network.axis(tensor, -2)
    given.network.axis(tensor, -1)
    rank = len(tensor.shape)
    axes = [*range(rank - 2), rank - 1, rank - 2]
    order = tuple(axes.index(axis) for axis in tensor.order)
    return replace(tensor, shape=tuple(tensor.shape[axis] for axis in axes), order=order)


@operator("MatMul")
def _matrices(given: Given) -> Tensor:
    first, second = given.value(0), given.value(1)
    if isinstance(first, Tensor) and isinstance(second, Constant) and second.array.ndim == 2 and first.shape:
        return _dense(given, first, second.array.astype(np.float32))
    return _product(given, first, second)


def _product(given: Given, first: Value, second: Value) -> Tensor:
    network = given.network
    for value in (first, second):
        if isinstance(value, Tensor) and value.element != "float":
            raise RefusedError("it computes with whole numbers; tensors are float32 here")
    if isinstance(second, Constant):
        assert isinstance(first, Tensor)
        if second.array.ndim == 2:
            return _dense(given, first, second.array.astype(np.float32))
        if second.array.ndim == 1:
            result = _dense(given, network.settled(first), second.array.astype(np.float32)[:, None])
            return network.reshaped(result, result.shape[:-1])
        raise RefusedError("a constant of more than two axes is not supported as its second input")
    if isinstance(first, Constant):  # A · x = (xᵀ · Aᵀ)ᵀ
        if first.array.ndim != 2 or len(network.full(second)) < 2 + network.offset:
            raise RefusedError(
                "a constant first input must be a matrix, and the second have two axes of a sample at least"
            )
        turned = network.plain(_turned(given, network.settled(second)))
        return _turned(given, _dense(given, turned, first.array.astype(np.float32).T))
    return _product_of_tensors(given, network.settled(first), network.settled(second))


def _product_of_tensors(given: Given, first: Tensor, second: Tensor) -> Tensor:
    network = given.network
    ranks = [len(network.full(item)) for item in (first, second)]
    if network.batch is not None and (ranks[0] != ranks[1] or min(ranks) < 3):
        raise NotBatchedError
    if ranks[0] == 1:
        first = network.reshaped(first, (1, *first.shape))
    if ranks[1] == 1:
        second = network.reshaped(second, (*second.shape, 1))
    a, b = network.plain(first), network.plain(second)
    port = network.add(MatrixProduct(operator=given.node.operator), [a.port, b.port])
    shape = network.shapes[port]
    if network.batch is not None and not first.batch_axis == second.batch_axis < ranks[0] - 2:
        raise NotBatchedError
    result = Tensor(port, shape, tuple(range(len(shape))), batch_axis=first.batch_axis)
    if ranks[0] == 1:
        shape = (*shape[:-2], shape[-1])
    if ranks[1] == 1:
        shape = shape[:-1]
    return network.reshaped(result, shape)


# -- reductions ------------------------------------------------------------------------------------------------------

_REDUCTIONS: dict[str, tuple[Expression, str, Expression]] = {
    "ReduceL1": (apply("abs", X), "add", X),
    "ReduceL2": (X * X, "add", apply("sqrt", X)),
    "ReduceLogSum": (X, "add", apply("log", X)),
    "ReduceMax": (X, "max", X),
    "ReduceMean": (X, "mean", X),
    "ReduceMin": (X, "min", X),
    "ReduceProd": (X, "multiply", X),
    "ReduceSum": (X, "add", X),
    "ReduceSumSquare": (X * X, "add", X),
}
"""(what is done to each number, how they are joined, what is done to the result)."""


def _reduced(given: Given, tensor: Tensor, kind: str, axes: Sequence[int], name: str = "") -> Tensor:
    """The reduction over axes of a sample, which keep the size 1."""
    network = given.network
    places = tuple(sorted(tensor.order.index(axis) for axis in axes))
    if kind in ("max", "mean") and set(axes) == {1, 2} and tensor.order == (1, 2, 0):
        pooling = layer.GlobalAveragePooling2D if kind == "mean" else layer.GlobalMaxPooling2D
        port = network.add(pooling(keepdims=True), [tensor.port], name=name)
    else:
        port = network.add(Reduction(kind=kind, axes=places, operator=given.node.operator), [tensor.port], name=name)
    return network.result(port, tensor, positive=tensor.positive)


def _mapped(given: Given, expression: Expression, tensor: Tensor, positive: bool = False) -> Tensor:
    return (
        tensor
        if expression == X
        else given.network.arithmetic(given.node.operator, expression, [tensor], positive=positive)
    )


def _without(given: Given, tensor: Tensor, axes: Sequence[int]) -> Tensor:
    """The tensor without axes of the size 1, unless they are kept."""
    if given.attribute("keepdims", 1):
        return tensor
    network = given.network
    gone = sum(network.full_axis(tensor, axis) < tensor.batch_axis for axis in axes)
    shape = [size for axis, size in enumerate(tensor.shape) if axis not in axes]
    return replace(network.reshaped(network.settled(tensor), shape), batch_axis=tensor.batch_axis - gone)


def _axes(given: Given, tensor: Tensor) -> list[int] | None:
    """The axes of a sample that are reduced; None for an operator that then does nothing."""
    network, given_axes = given.network, given.integers(1, "axes")
    if given_axes:
        return sorted({network.axis(tensor, axis) for axis in given_axes})
    if given.attribute("noop_with_empty_axes", 0):
        return None
    if network.batch is not None:
        raise NotBatchedError
    return list(range(len(tensor.shape)))


@operator(*_REDUCTIONS)
def _reduction(given: Given) -> Tensor:
    tensor = given.floats()
    before, kind, after = _REDUCTIONS[given.node.operator]
    axes = _axes(given, tensor)
    squared = before != X
    tensor = _mapped(given, before, tensor, squared)
    if axes:
        tensor = _reduced(given, tensor, kind, axes)
    tensor = _mapped(given, after, tensor, tensor.positive and given.node.operator == "ReduceL2")
    return tensor if axes is None else _without(given, tensor, axes)


@operator("ReduceLogSumExp")
def _log_sum_exp(given: Given) -> Tensor:
    tensor, network = given.floats(), given.network
    axes = _axes(given, tensor)
    if axes is None:
        return tensor
    top = _reduced(given, tensor, "max", axes)
    apart = network.arithmetic("ReduceLogSumExp", apply("exp", X - Y), [tensor, top], positive=True)
    total = _reduced(given, apart, "add", axes)
    return _without(given, network.arithmetic("ReduceLogSumExp", apply("log", X) + Y, [total, top]), axes)


def _places(given: Given, tensor: Tensor, axis: int) -> Constant:
    """The numbers of the places along an axis of a sample."""
    rank, place = len(given.network.full(tensor)), given.network.full_axis(tensor, axis)
    return Constant(
        np.arange(tensor.shape[axis], dtype=np.float32).reshape([-1 if i == place else 1 for i in range(rank)])
    )


@operator("ArgMax", "ArgMin")
def _arg_max(given: Given) -> Tensor:
    """The largest number; of the places that hold it the first or the last."""
    tensor, network = given.floats(), given.network
    axis = network.axis(tensor, int(given.attribute("axis", 0)))
    size, name = tensor.shape[axis], given.node.operator
    if size > 2**24:
        raise RefusedError("along more places than float32 counts")
    best = _reduced(given, tensor, "max" if name == "ArgMax" else "min", [axis])
    last = bool(given.attribute("select_last_index", 0))
    index = _places(given, tensor, axis)
    none = Number(-1.0 if last else float(size))
    expression = apply("where_oeq", X, Y, Operand(2), none)
    found = network.arithmetic(name, expression, [tensor, best, index])
    return replace(_without(given, _reduced(given, found, "max" if last else "min", [axis]), [axis]), element="int")


# -- softmax ---------------------------------------------------------------------------------------------------------


def _softmax_axes(given: Given, tensor: Tensor) -> list[int]:
    network = given.network
    axis = int(given.attribute("axis", 1 if given.opset < 13 else -1))
    if given.opset >= 13:
        return [network.axis(tensor, axis)]
    rank = len(tensor.shape) + network.offset
    return [network.axis(tensor, item) for item in range(axis % rank if axis < rank else axis, rank)]


@operator("Softmax")
def _softmax(given: Given) -> Tensor:
    tensor, network = given.floats(), given.network
    axes = sorted(tensor.order.index(axis) + 1 for axis in _softmax_axes(given, tensor))
    axis: Any = tuple(axes) if len(axes) > 1 else -1 if axes[0] == len(tensor.order) else axes[0]
    return network.result(network.add(layer.Softmax(axis), [tensor.port]), tensor, positive=True)


@operator("LogSoftmax")
def _log_softmax(given: Given) -> Tensor:
    tensor, network = given.floats(), given.network
    axes = _softmax_axes(given, tensor)
    top = _reduced(given, tensor, "max", axes)
    apart = network.arithmetic("LogSoftmax", X - Y, [tensor, top])
    shares = network.arithmetic("LogSoftmax", apply("exp", X), [apart])
    return network.arithmetic("LogSoftmax", X - apply("log", Y), [apart, _reduced(given, shares, "add", axes)])


@operator("Hardmax")
def _hardmax(given: Given) -> Tensor:
    if given.opset < 13:
        raise RefusedError("of operator sets before 13 it is not supported")
    tensor, network = given.floats(), given.network
    axis = _softmax_axes(given, tensor)[0]
    best = _reduced(given, tensor, "max", [axis])
    index = _places(given, tensor, axis)
    found = network.arithmetic("Hardmax", apply("where_oeq", X, Y, Operand(2), 2.0**25), [tensor, best, index])
    first = _reduced(given, found, "min", [axis])
    return network.arithmetic("Hardmax", apply("where_oeq", X, Y, 1.0, 0.0), [first, index], positive=True)


def _unit(given: Given, power: int) -> tuple[Expression, Callable[[Expression], Expression]]:
    if power == 1:
        return apply("abs", X), lambda total: total
    return X * X, lambda total: apply("sqrt", total)


@operator("LpNormalization")
def _lp_normalisation(given: Given) -> Tensor:
    tensor, network = given.floats(), given.network
    axis, power = network.axis(tensor, int(given.attribute("axis", -1))), int(given.attribute("p", 2))
    if power not in (1, 2):
        raise ValueError(f"its p must be 1 or 2, got {power}")
    before, after = _unit(given, power)
    total = _reduced(given, _mapped(given, before, tensor), "add", [axis])
    length = after(Y)
    return network.arithmetic("LpNormalization", apply("where_oeq", length, 0.0, 0.0, X / length), [tensor, total])


@operator("MeanVarianceNormalization")
def _mean_variance(given: Given) -> Tensor:
    tensor, network = given.floats(), given.network
    axes = [network.axis(tensor, axis) for axis in given.attribute("axes", [0, 2, 3])]
    apart = network.arithmetic("MeanVarianceNormalization", X - Y, [tensor, _reduced(given, tensor, "mean", axes)])
    squares = network.arithmetic("MeanVarianceNormalization", X * X, [apart])
    variance = _reduced(given, squares, "mean", axes)
    return network.arithmetic("MeanVarianceNormalization", X / (apply("sqrt", Y) + 1e-9), [apart, variance])
