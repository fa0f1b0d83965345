"""What the network computed for the page's first pictures, one for each input, of the layers that the page does not run itself.

A page carries weights up to a limit. Of the layers behind it it shows a few channels each, as whole numbers from −127 to 127 and
the number that they are multiplied with; vectors, the answer among them, as float32.
"""

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from depthwise.errors import UnsupportedError
from depthwise.explain.values import native_values
from depthwise.network.graph import Graph

__all__ = ["MOST_BYTES", "MOST_MACS", "computed_maps"]

MOST_BYTES = 1_200_000
"""Of all maps together; with the weights and everything else a page stays below 4 MB."""

MOST_MACS = 2_000_000_000
"""A network with more arithmetic a sample is not run for its page."""

MOST_CHANNELS = 8
LONGEST_VECTOR = 4096


def computed_maps(
    graph: Graph,
    weights: Mapping[str, npt.NDArray[np.float32]],
    pictures: tuple[npt.NDArray[np.float32], ...],
    kept: int,
) -> dict[str, dict[str, Any]]:
    """By the name of each layer from the number `kept` on: shape, channels, factor, and the numbers.

    Empty where the page runs every layer, and where native code cannot be had.
    """
    if kept == len(graph.calls) or graph.macs > MOST_MACS:
        return {}
    try:
        values = native_values(graph, weights, pictures)
    except (UnsupportedError, ImportError, OSError):
        return {}
    behind = {node.name: values[node.name] for node in graph.calls[kept:]}
    maps = {name: array for name, array in behind.items() if array.ndim == 3}
    cells = sum(array.shape[0] * array.shape[1] for array in maps.values())
    most = min(MOST_CHANNELS, MOST_BYTES // max(1, cells))
    found = {name: _map(array, most) for name, array in maps.items()} if most else {}
    vectors = {name: array for name, array in behind.items() if array.ndim == 1 and len(array) <= LONGEST_VECTOR}
    return found | {name: _vector(array) for name, array in vectors.items()}


def _map(array: npt.NDArray[np.float32], most: int) -> dict[str, Any]:
    """The channels that differ most, in their order."""
    spread = array.std(axis=(0, 1))
    channels = np.sort(np.argsort(-spread, kind="stable")[:most])
    chosen = array[:, :, channels]
    factor = float(np.abs(chosen).max()) / 127 or 1.0
    numbers = np.round(chosen / factor).astype(np.int8)
    return {
        "shape": list(numbers.shape),
        "channels": [int(channel) for channel in channels],
        "factor": factor,
        "numbers": base64.b64encode(numbers.tobytes()).decode("ascii"),
    }


def _vector(array: npt.NDArray[np.float32]) -> dict[str, Any]:
    return {
        "shape": [len(array)],
        "channels": [],
        "factor": 0,
        "numbers": base64.b64encode(array.astype("<f4").tobytes()).decode("ascii"),
    }
