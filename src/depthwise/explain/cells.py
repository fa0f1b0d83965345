"""How one number of one layer comes about: the values read, the weights, the products, the sums, bias, activation.

Everything is computed in float64 from the float32 values that the layer really read, and then held against what the
network computed. The difference may be as large as float32 arithmetic allows, no larger: `bound` is (n + 2)·u·Σ|a·b| for a
sum of n products (u = 2⁻²⁴), carried through the activation.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from depthwise.dataclass import dataclass
from depthwise.errors import InvalidArgumentError, describe_value
from depthwise.explain.facts import activation_of, find_node
from depthwise.explain.operations import call_steps
from depthwise.explain.values import LayerValues
from depthwise.layers.activation import Activation, ReLU
from depthwise.layers.convolution import Conv2D, DepthwiseConv2D, SeparableConv2D
from depthwise.layers.dense import Dense
from depthwise.layers.description import Description
from depthwise.layers.input import InputLayer
from depthwise.layers.merging import Add
from depthwise.layers.normalization import BatchNormalization
from depthwise.layers.pooling import AveragePooling2D, GlobalAveragePooling2D, GlobalMaxPooling2D, MaxPooling2D
from depthwise.layers.preprocessing import Rescaling
from depthwise.network.facts import Axis
from depthwise.network.graph import Call, Graph
from depthwise.reference.activations import activation, relu

__all__ = ["cell_facts", "check_position", "equivalent_kernel", "has_display"]

ROUNDING = 2.0**-24
"""u: half the distance from 1 to the next float32."""

STEEPEST_SLOPE = 1.76
"""No activation changes by more than this for each unit of change before it (selu, at 0 from below: 1.0507·1.6733)."""

SMALLEST_NORMAL = float(np.finfo(np.float32).tiny)

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class _Cell:
    """One output cell with everything that its explanation reads."""

    layer: Any
    position: tuple[int, ...]
    inputs: list[Array]
    weights: dict[str, Array]
    rows: Axis | None
    columns: Axis | None


@dataclass(frozen=True)
class _Explained:
    """The steps, the number they end in, and how far float32 may be from it."""

    facts: dict[str, Any]
    value: float
    bound: float


def check_position(node: Call, position: Sequence[int]) -> tuple[int, ...]:
    """`position` as a place in the node's output.

    Raises:
        InvalidArgumentError: the wrong number of places, or one out of range.
    """
    shape = node.output_shape
    what = (
        ("row", "column", "channel") if len(shape) == 3 else ("unit",) if len(shape) == 1 else ("place",) * len(shape)
    )
    ranges = ", ".join(f"{name} 0 to {size - 1}" for name, size in zip(what, shape))
    place = tuple(position)
    if len(place) != len(shape) or not all(0 <= index < size for index, size in zip(place, shape)):
        raise InvalidArgumentError(
            f"layer {describe_value(node.name)} has no cell {','.join(map(str, place)) or 'without a place'}; its output "
            f"is {'×'.join(map(str, shape))}, so give {ranges}"
        )
    return place


def cell_facts(
    graph: Graph, weights: Mapping[str, npt.ArrayLike], values: LayerValues, name: str, position: Sequence[int]
) -> dict[str, Any]:
    """How the layer's output at `position` comes about, as plain data.

    Returns:
        layer, kind, position, operation (which steps follow: "convolution", "separable", "dense", "maximum", "average",
        "normalisation", "copy", "activation", "softmax", "sum", "rescaling", "input", "operations"), the operation's own steps, output,
        and check: what the network computed, the difference, the bound, whether it agrees, and the source of the number.

    Raises:
        InvalidArgumentError: no such layer, or no such cell.
    """
    node = find_node(graph, name)
    place = check_position(node, position)
    cell = _Cell(
        node.layer,
        place,
        [np.asarray(values.by_layer[read], dtype=np.float64) for read in node.reads],
        {w.name: np.asarray(weights[node.key(w.name)], dtype=np.float64) for w in node.weights},
        node.facts.rows,
        node.facts.columns,
    )
    computed = float(values.by_layer[name][place])
    if isinstance(node.layer, InputLayer):
        explained = _Explained({"operation": "input"}, computed, 0.0)
    else:
        display = None
        if has_display(node):
            display = next((_STEPS[cls] for cls in type(node.layer).__mro__ if cls in _STEPS), None)
        explained = display(cell) if display else _by_operations(node, weights, cell)
    difference = abs(computed - explained.value)
    bound = explained.bound + 8 * ROUNDING * abs(explained.value) + SMALLEST_NORMAL
    return {
        "layer": name,
        "kind": type(node.layer).__name__,
        "position": list(place),
        **explained.facts,
        "output": explained.value,
        "check": {
            "computed": computed,
            "difference": difference,
            "bound": bound,
            "agrees": bool(difference <= bound),
            "source": values.source,
        },
    }


def has_display(node: Call) -> bool:
    """Whether the layer is shown in a way of its own, not by its operations: those with their channels last."""
    if isinstance(node.layer, Rescaling) and node.layer.by_channel:
        return False
    if activation_of(node.layer) == "log_softmax":
        return False
    return node.facts.moved_axis is None and isinstance(node.layer, (InputLayer, *_STEPS))


def _by_operations(node: Call, weights: Mapping[str, npt.ArrayLike], cell: _Cell) -> _Explained:
    """The steps of any layer: the operations that it lowers to."""
    steps, value, bound = call_steps(node, cell.inputs, weights, cell.position)
    if not steps:
        return _Explained({"operation": "copy", "from": {"input": 0, "position": list(cell.position)}}, value, bound)
    if len(steps) == 1 and steps[0]["kind"] == "copy" and (steps[0]["from"] or value == 0.0):
        source = steps[0]["from"]
        found = source and {"input": source["operand"], "position": source["position"]}
        return _Explained({"operation": "copy", "from": found}, value, bound)
    return _Explained({"operation": "operations", "steps": steps}, value, bound)


Steps = Callable[[_Cell], _Explained]
_STEPS: dict[type[Description], Steps] = {}


def _explains(*classes: type[Description]) -> Callable[[Steps], Steps]:
    def register(function: Steps) -> Steps:
        _STEPS.update(dict.fromkeys(classes, function))
        return function

    return register


def _places(axis: Axis, output: int) -> list[int]:
    """Where on the input the window of an output cell reads; outside of it where padding lies."""
    start = output * axis.stride - axis.pad_before
    return [start + step * axis.dilation for step in range(axis.kernel)]


def _window_facts(cell: _Cell) -> dict[str, Any]:
    assert cell.rows is not None
    assert cell.columns is not None
    rows, columns = _places(cell.rows, cell.position[0]), _places(cell.columns, cell.position[1])
    return {"rows": rows, "columns": columns, "inside": _inside(cell, rows, columns).tolist()}


def _inside(cell: _Cell, rows: list[int], columns: list[int]) -> npt.NDArray[np.bool_]:
    height, width = cell.inputs[0].shape[:2]
    return np.array([[0 <= row < height and 0 <= column < width for column in columns] for row in rows])


def _window(cell: _Cell, channel: int) -> Array:
    """The cells of one input channel that the window reads; 0 where it reads padding."""
    facts = _window_facts(cell)
    values = np.zeros((len(facts["rows"]), len(facts["columns"])))
    for i, row in enumerate(facts["rows"]):
        for j, column in enumerate(facts["columns"]):
            if facts["inside"][i][j]:
                values[i, j] = cell.inputs[0][row, column, channel]
    return values


def _channel_facts(window: Array, kernel: Array, **which: int) -> dict[str, Any]:
    products = window * kernel
    return {
        **which,
        "window": window.tolist(),
        "kernel": kernel.tolist(),
        "products": products.tolist(),
        "sum": float(products.sum()),
    }


def _finish(cell: _Cell, facts: dict[str, Any], total: float, magnitude: float, terms: int, channel: int) -> _Explained:
    """Bias and activation after a sum of `terms` products with Σ|a·b| = `magnitude`."""
    bias = float(cell.weights["bias"][channel]) if "bias" in cell.weights else None
    before = total + (bias or 0.0)
    name = activation_of(cell.layer)
    value = float(activation(name, before))
    bound = STEEPEST_SLOPE * (terms + 2) * ROUNDING * (magnitude + abs(bias or 0.0))
    return _Explained(
        {**facts, "sum": total, "bias": bias, "before_activation": before, "activation": name}, value, bound
    )


def _all_before_softmax(cell: _Cell, sums: Callable[[int], tuple[float, float, int]], units: int) -> _Explained:
    """Softmax mixes all channels of a place: the exponentials of them all, and the share of this one."""
    results = [sums(unit) for unit in range(units)]
    bias = cell.weights.get("bias", np.zeros(units))
    before = np.array([total for total, _, _ in results]) + bias
    errors = [(terms + 2) * ROUNDING * (magnitude + abs(b)) for (_, magnitude, terms), b in zip(results, bias)]
    return _softmax(before, cell.position[-1], max(errors), 0.0)


def _softmax(before: Array, index: int, error: float, slack: float) -> _Explained:
    largest = float(before.max())
    powers = np.exp(before - largest)
    value = float(powers[index] / powers.sum())
    facts = {
        "softmax": {
            "before": before.tolist(),
            "largest": largest,
            "exponentials": powers.tolist(),
            "sum_of_exponentials": float(powers.sum()),
        }
    }
    return _Explained(facts, value, 2 * error * value + (len(before) + 8) * ROUNDING * value + slack)


@_explains(Conv2D)
def _conv2d(cell: _Cell) -> _Explained:
    channels_in_group = cell.weights["kernel"].shape[2]
    filters_in_group = cell.layer.filters // cell.layer.groups

    def channels_of(output: int) -> list[dict[str, Any]]:
        first = output // filters_in_group * channels_in_group
        return [
            _channel_facts(
                _window(cell, first + channel),
                cell.weights["kernel"][:, :, channel, output],
                input_channel=first + channel,
            )
            for channel in range(channels_in_group)
        ]

    def sums(output: int) -> tuple[float, float, int]:
        channels = channels_of(output)
        products = np.array([channel["products"] for channel in channels])
        return float(sum(channel["sum"] for channel in channels)), float(np.abs(products).sum()), products.size

    output = cell.position[2]
    facts = {"operation": "convolution", "place": _window_facts(cell), "channels": channels_of(output)}
    explained = _finish(cell, facts, *sums(output), channel=output)
    return _with_softmax(cell, explained, sums, cell.layer.filters)


def _with_softmax(
    cell: _Cell, explained: _Explained, sums: Callable[[int], tuple[float, float, int]], units: int
) -> _Explained:
    if activation_of(cell.layer) != "softmax":
        return explained
    mixed = _all_before_softmax(cell, sums, units)
    return _Explained({**explained.facts, **mixed.facts}, mixed.value, mixed.bound)


@_explains(DepthwiseConv2D)
def _depthwise_conv2d(cell: _Cell) -> _Explained:
    multiplier = cell.layer.depth_multiplier

    def channel_of(output: int) -> dict[str, Any]:
        channel, copy = divmod(output, multiplier)
        kernel = cell.weights["kernel"][:, :, channel, copy]
        return _channel_facts(_window(cell, channel), kernel, input_channel=channel, copy=copy)

    def sums(output: int) -> tuple[float, float, int]:
        channel = channel_of(output)
        products = np.array(channel["products"])
        return channel["sum"], float(np.abs(products).sum()), products.size

    output = cell.position[2]
    facts = {"operation": "convolution", "place": _window_facts(cell), "channels": [channel_of(output)]}
    return _with_softmax(
        cell, _finish(cell, facts, *sums(output), channel=output), sums, cell.weights["kernel"].shape[2] * multiplier
    )


def equivalent_kernel(depthwise: npt.ArrayLike, pointwise: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """The ordinary kernel that a separable layer's two kernels amount to: Ŵ[i,j,c,n] = Σq D[i,j,c,q]·P[c·d+q,n].

    Args:
        depthwise: (kernel height, kernel width, channels, depth_multiplier).
        pointwise: (1, 1, channels · depth_multiplier, filters).

    Returns:
        (kernel height, kernel width, channels, filters); for each input channel of rank at most depth_multiplier.

    >>> equivalent_kernel([[[[1.0, 2.0]]]], [[[[10.0], [100.0]]]]).tolist()
    [[[[210.0]]]]
    """
    d = np.asarray(depthwise, dtype=np.float64)
    p = np.asarray(pointwise, dtype=np.float64)[0, 0].reshape(d.shape[2], d.shape[3], -1)
    return np.asarray(np.einsum("ijcq,cqn->ijcn", d, p))


@_explains(SeparableConv2D)
def _separable_conv2d(cell: _Cell) -> _Explained:
    kernel, pointwise = cell.weights["depthwise_kernel"], cell.weights["pointwise_kernel"][0, 0]
    multiplier = cell.layer.depth_multiplier
    output = cell.position[2]
    windows = [_window(cell, channel) for channel in range(kernel.shape[2])]
    middle = [
        _channel_facts(
            windows[channel], kernel[:, :, channel, copy], middle_channel=channel * multiplier + copy,
            input_channel=channel, copy=copy,
        )
        for channel in range(kernel.shape[2])
        for copy in range(multiplier)
    ]  # fmt: skip
    values = np.array([stage["sum"] for stage in middle])
    magnitudes = np.array([np.abs(stage["products"]).sum() for stage in middle])

    def sums(unit: int) -> tuple[float, float, int]:
        total = float((values * pointwise[:, unit]).sum())
        # Both stages round: Σ|P|·Σ|D·x| bounds every intermediate sum of either.
        return (
            total,
            float((magnitudes * np.abs(pointwise[:, unit])).sum()),
            len(values) + kernel.shape[0] * kernel.shape[1],
        )

    products = values * pointwise[:, output]
    same = equivalent_kernel(kernel, cell.weights["pointwise_kernel"])[:, :, :, output]
    channels = [_channel_facts(windows[c], same[:, :, c], input_channel=c) for c in range(kernel.shape[2])]
    facts = {
        "operation": "separable",
        "place": _window_facts(cell),
        "depthwise": middle,
        "pointwise": [
            {"middle_channel": index, "value": float(value), "weight": float(weight), "product": float(product)}
            for index, (value, weight, product) in enumerate(zip(values, pointwise[:, output], products))
        ],
        "equivalent": {"channels": channels, "sum": float(sum(channel["sum"] for channel in channels))},
    }
    return _with_softmax(cell, _finish(cell, facts, *sums(output), channel=output), sums, cell.layer.filters)


@_explains(Dense)
def _dense(cell: _Cell) -> _Explained:
    x, kernel = cell.inputs[0][cell.position[:-1]], cell.weights["kernel"]

    def sums(unit: int) -> tuple[float, float, int]:
        products = x * kernel[:, unit]
        return float(products.sum()), float(np.abs(products).sum()), len(x)

    unit = cell.position[-1]
    facts = {
        "operation": "dense",
        "terms": [
            {"index": index, "value": float(value), "weight": float(weight), "product": float(value * weight)}
            for index, (value, weight) in enumerate(zip(x, kernel[:, unit]))
        ],
    }
    return _with_softmax(cell, _finish(cell, facts, *sums(unit), channel=unit), sums, cell.layer.units)


@_explains(MaxPooling2D, AveragePooling2D)
def _pooling(cell: _Cell) -> _Explained:
    place = _window_facts(cell)
    window, inside = _window(cell, cell.position[2]), np.array(place["inside"])
    counted = int(inside.sum())
    facts: dict[str, Any] = {"place": place, "window": window.tolist(), "counted": counted}
    if isinstance(cell.layer, MaxPooling2D):
        winner = np.unravel_index(int(np.argmax(np.where(inside, window, -np.inf))), window.shape)
        value = float(window[winner])
        return _Explained({"operation": "maximum", **facts, "winner": [int(i) for i in winner]}, value, 0.0)
    total = float(window.sum())
    bound = (counted + 2) * ROUNDING * float(np.abs(window).sum()) / counted
    return _Explained({"operation": "average", **facts, "sum": total}, total / counted, bound)


@_explains(GlobalAveragePooling2D, GlobalMaxPooling2D)
def _global_pooling(cell: _Cell) -> _Explained:
    plane = cell.inputs[0][:, :, cell.position[-1]]
    facts: dict[str, Any] = {"channel": cell.position[-1], "counted": plane.size}
    if isinstance(cell.layer, GlobalMaxPooling2D):
        winner = np.unravel_index(int(np.argmax(plane)), plane.shape)
        return _Explained(
            {"operation": "maximum", **facts, "winner": [int(i) for i in winner]}, float(plane[winner]), 0.0
        )
    total = float(plane.sum())
    bound = (plane.size + 2) * ROUNDING * float(np.abs(plane).sum()) / plane.size
    return _Explained({"operation": "average", **facts, "sum": total}, total / plane.size, bound)


@_explains(BatchNormalization)
def _batch_normalization(cell: _Cell) -> _Explained:
    channel = cell.position[-1]
    x = float(cell.inputs[0][cell.position])
    mean, variance, gamma, beta = (
        float(cell.weights[name][channel]) if name in cell.weights else neutral
        for name, neutral in (("moving_mean", 0.0), ("moving_variance", 1.0), ("gamma", 1.0), ("beta", 0.0))
    )
    deviation = math.sqrt(variance + cell.layer.epsilon)
    value = gamma * (x - mean) / deviation + beta
    magnitude = abs(gamma) * (abs(x) + abs(mean)) / deviation + abs(beta)
    facts = {
        "operation": "normalisation",
        "input": x,
        "mean": mean,
        "variance": variance,
        "epsilon": cell.layer.epsilon,
        "gamma": gamma,
        "beta": beta,
        "deviation": deviation,
        "normalised": (x - mean) / deviation,
    }
    return _Explained(facts, value, 10 * ROUNDING * magnitude)


def _rectifier(layer: ReLU) -> str:
    """ "relu" and "relu6" as Keras calls them; any other with the numbers that make it different.

    >>> _rectifier(ReLU(max_value=6)), _rectifier(ReLU(negative_slope=0.5, threshold=1))
    ('relu6', 'relu(negative_slope=0.5, threshold=1)')
    """
    most = "" if layer.max_value is None else f"max_value={layer.max_value:g}"
    slope, threshold = (
        f"{name}={value:g}" if (value := getattr(layer, name)) else "" for name in ("negative_slope", "threshold")
    )
    own = ", ".join(filter(None, (slope, most, threshold)))
    return "relu6" if own == "max_value=6" else f"relu({own})" if own else "relu"


@_explains(Activation, ReLU)
def _activation(cell: _Cell) -> _Explained:
    x = float(cell.inputs[0][cell.position])
    if isinstance(cell.layer, ReLU):
        layer = cell.layer
        value = float(relu(x, layer.negative_slope, layer.max_value, layer.threshold))
        facts = {"operation": "activation", "activation": _rectifier(layer), "before_activation": x}
        facts |= {name: getattr(layer, name) for name in ("negative_slope", "max_value", "threshold")}
        return _Explained(facts, value, 2 * ROUNDING * (abs(x) + abs(layer.threshold)))
    name = cell.layer.activation
    if name == "softmax":
        mixed = _softmax(cell.inputs[0][cell.position[:-1]], cell.position[-1], 0.0, 0.0)
        facts = {"operation": "softmax", "activation": name, "before_activation": x, **mixed.facts}
        return _Explained(facts, mixed.value, mixed.bound)
    facts = {"operation": "activation", "activation": name, "before_activation": x}
    return _Explained(facts, float(activation(name, x)), 8 * ROUNDING * abs(x))


def _broadcast(position: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    """The place of an input that is broadcast to the result's `position`."""
    own = position[len(position) - len(shape) :]
    return tuple(0 if size == 1 else place for place, size in zip(own, shape))


@_explains(Add)
def _add(cell: _Cell) -> _Explained:
    terms = [float(value[_broadcast(cell.position, value.shape)]) for value in cell.inputs]
    bound = len(terms) * ROUNDING * sum(abs(term) for term in terms)
    return _Explained({"operation": "sum", "terms": terms}, sum(terms), bound)


@_explains(Rescaling)
def _rescaling(cell: _Cell) -> _Explained:
    x, layer = float(cell.inputs[0][cell.position]), cell.layer
    value = x * layer.scale + layer.offset
    facts = {"operation": "rescaling", "input": x, "scale": layer.scale, "offset": layer.offset}
    return _Explained(facts, value, 4 * ROUNDING * (abs(x * layer.scale) + abs(layer.offset)))
