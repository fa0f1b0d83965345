"""What every layer of a network computes for one input: natively where the machine can, else by the reference."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from depthwise.dataclass import dataclass
from depthwise.errors import InvalidDataError, UnsupportedError, describe_value
from depthwise.layers.preprocessing import Rescaling
from depthwise.layers.reshaping import Permute
from depthwise.network.graph import Graph
from depthwise.reference.layer import forward

__all__ = [
    "LayerValues",
    "check_input",
    "drawn_picture",
    "layer_values",
    "liveliest_cell",
    "native_values",
    "pixel_range",
]

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class LayerValues:
    """One input and what every layer makes of it.

    Attributes:
        by_layer: float32 arrays by layer name, without the batch axis.
        source: "native" (the compiled network) or "reference" (float64 NumPy, rounded after each layer).
        reason: why it is not the compiled network; "" where it is.
    """

    by_layer: Mapping[str, Array]
    source: str
    reason: str = ""


def layer_values(graph: Graph, weights: Mapping[str, npt.ArrayLike], inputs: tuple[Array, ...]) -> LayerValues:
    """Runs the network on one input and keeps what every layer computed.

    Args:
        weights: by `"<layer>/<weight>"`.
        inputs: one float32 array for each input of the graph, in the shape of one sample.

    Raises:
        InvalidDataError: an input of another shape.
    """
    checked = check_input(graph, inputs)
    try:
        return LayerValues(native_values(graph, weights, checked), "native")
    except (UnsupportedError, ImportError, OSError) as error:
        # Explaining must work where native code cannot: an unknown processor, a machine that forbids executable memory.
        return LayerValues(_reference_values(graph, weights, checked), "reference", str(error))


def check_input(graph: Graph, inputs: tuple[Array, ...]) -> tuple[Array, ...]:
    """The inputs as float32 in the shapes that the graph takes, or `InvalidDataError`."""
    if len(inputs) != len(graph.inputs):
        raise InvalidDataError(f"the network takes {len(graph.inputs)} inputs, got {len(inputs)}")
    return tuple(map(_checked, graph.inputs, graph.input_shapes, inputs))


def _checked(name: str, shape: tuple[int, ...], value: Array) -> Array:
    array = np.ascontiguousarray(value, dtype=np.float32)
    if array.shape != shape:
        raise InvalidDataError(f"the input {describe_value(name)} takes one sample of shape {shape}, got {array.shape}")
    if not np.isfinite(array).all():
        raise InvalidDataError(f"the input {describe_value(name)} holds NaN or infinity; give finite numbers")
    return array


def native_values(graph: Graph, weights: Mapping[str, npt.ArrayLike], inputs: tuple[Array, ...]) -> dict[str, Array]:
    """What the compiled network computes, layer by layer.

    Raises:
        UnsupportedError, ImportError, OSError: native code cannot be had here.
    """
    from depthwise.compiler.lower import lower
    from depthwise.runtime.prediction import Prediction  # the compiler is heavy, and a machine may lack it

    program = lower(graph)
    # Nothing is fused over what the caller gets to see, so no layer loses its values.
    last = {operation.origin: operation.output for operation in program.operations}
    tensors: dict[str, str] = {}
    for node in graph.calls:  # the last value that each layer computes; its input where it computes none
        tensors[node.name] = last.get(node.name) or (tensors[node.reads[0]] if node.inputs else node.name)
    shapes = {tensors[node.name]: node.output_shape for node in graph.calls}
    prediction = Prediction(dataclasses.replace(program, outputs=tuple(shapes.items())))
    prediction.load({key: np.ascontiguousarray(value, dtype=np.float32) for key, value in weights.items()})
    outputs = dict(zip(shapes, prediction(tuple(value[np.newaxis] for value in inputs)), strict=True))
    return {name: outputs[tensor][0] for name, tensor in tensors.items()}


def _reference_values(
    graph: Graph, weights: Mapping[str, npt.ArrayLike], inputs: tuple[Array, ...]
) -> dict[str, Array]:
    values: dict[str, Array] = dict(zip(graph.inputs, inputs))
    for node in graph.calls:
        if node.name in values:
            continue
        own = {weight.name: weights[node.key(weight.name)] for weight in node.weights}
        result = forward(node.layer, own, [values[name][np.newaxis] for name in node.reads])
        values[node.name] = result[0].astype(np.float32)
    return values


def pixel_range(graph: Graph, index: int = 0) -> int:
    """The largest value of a pixel that the network expects of an input: 255 where it rescales it itself, else 1."""
    readers = graph.consumers[graph.inputs[index]]
    if len(readers) == 1 and isinstance(graph.by_name[readers[0]].layer, Permute):
        readers = graph.consumers[readers[0]]
    layers: list[Any] = [graph.by_name[name].layer for name in readers]
    return 255 if any(isinstance(layer, Rescaling) and np.max(np.abs(layer.scale)) < 0.1 for layer in layers) else 1


def liveliest_cell(values: Array) -> tuple[int, ...]:
    """The cell of a map that has most to show: the one farthest from its channel's mean, in the channel that varies most.

    Of a vector, the largest number. The page opens at the same cell.

    >>> import numpy as np
    >>> values = np.zeros((3, 4, 2), np.float32)
    >>> values[1, 2, 1] = -5.0
    >>> liveliest_cell(values)
    (1, 2, 1)
    """
    if values.ndim < 2:
        return (int(values.argmax()),)
    channels = values.reshape(-1, values.shape[-1]).astype(np.float64)
    channel = int(channels.var(axis=0).argmax())
    own = channels[:, channel]
    place = int(np.abs(own - own.mean()).argmax())
    return (*map(int, np.unravel_index(place, values.shape[:-1])), channel)


def drawn_picture(shape: tuple[int, ...]) -> Array:
    """A picture for a network that no data set fits: a disc, a bar and a slope, different in each channel; values 0 to 1.

    >>> picture = drawn_picture((8, 8, 3))
    >>> picture.shape, float(picture.min()) >= 0.0, float(picture.max()) <= 1.0
    ((8, 8, 3), True, True)
    """
    if len(shape) != 3:
        size = math.prod(shape)
        return (np.arange(size) * 7 % 11 / 10).reshape(shape).astype(np.float32)
    height, width, channels = shape
    rows = (np.arange(height, dtype=np.float64)[:, None] + 0.5) / height
    columns = (np.arange(width, dtype=np.float64)[None, :] + 0.5) / width
    picture = np.zeros(shape)
    for channel in range(channels):
        turn = 2 * math.pi * channel / max(1, channels)
        slope = 0.25 * (rows * math.cos(turn) + columns * math.sin(turn) + 1.0)
        disc = np.hypot(rows - 0.45 - 0.1 * math.sin(turn), columns - 0.5 - 0.1 * math.cos(turn)) < 0.28
        bar = (np.abs(rows - 0.85) < 0.06) & (np.abs(columns - 0.5) < 0.35)
        picture[:, :, channel] = np.clip(slope * 0.5 + 0.6 * disc + 0.4 * bar, 0.0, 1.0)
    return picture.astype(np.float32)
