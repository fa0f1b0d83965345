"""Maps in fenced memory as kernels see them: NaN wherever the map has no number."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from depthwise.compiler.kernels.builder import Vectors
from depthwise.compiler.kernels.maps import MapView
from depthwise.compiler.machine import machine_for
from depthwise.compiler.native.compile import host_target
from support.compiled import empty

__all__ = ["LANES", "VECTORS", "MapMemory", "random_view", "vector"]

Array = npt.NDArray[np.float32]

VECTORS: Vectors = machine_for(host_target().vector_family).vectors
LANES = VECTORS.lanes


class MapMemory:
    """Memory for a map that ends at a forbidden page.

    Attributes:
        memory: all its numbers, from the first pixel to the end of the last one's vectors (`exact`: of its channels).
        map: (rows, columns, channels), a view of the memory.
    """

    def __init__(self, view: MapView, values: npt.ArrayLike | None = None, *, exact: bool = False) -> None:
        self.view = view
        self.width = view.channels if exact else VECTORS.round_up(view.channels)
        last = (view.rows - 1) * view.row_pitch + (view.columns - 1) * view.pixel_pitch
        self.memory = empty(last + self.width)
        self.map = self._view(view.channels)
        if values is not None:
            self.map[...] = values

    def _view(self, channels: int) -> Array:
        strides = [4 * step for step in (self.view.row_pitch, self.view.pixel_pitch, 1)]
        return np.lib.stride_tricks.as_strided(self.memory, (self.view.rows, self.view.columns, channels), strides)

    def assert_untouched_outside(self) -> None:
        """Nothing but the pixels' own vectors has been written since the memory was made."""
        inside = np.zeros(self.memory.size, bool)
        strides = [self.view.row_pitch, self.view.pixel_pitch, 1]
        shape = (self.view.rows, self.view.columns, self.width)
        np.lib.stride_tricks.as_strided(inside, shape, strides)[...] = True
        assert np.isnan(self.memory[~inside]).all()


def vector(values: Sequence[float] | npt.NDArray[np.floating], numbers: int | None = None) -> Array:
    """Fenced numbers, one a channel, filled up with NaN to whole vectors (or to `numbers`)."""
    values = np.asarray(values, np.float32)
    memory = empty(VECTORS.round_up(values.size) if numbers is None else numbers)
    memory[: values.size] = values
    return memory


def random_view(rng: np.random.Generator, rows: int, columns: int, channels: int, *, exact: bool = False) -> MapView:
    """A view with random gaps between pixels and rows; sometimes with none."""
    width = channels if exact else VECTORS.round_up(channels)
    dense = rng.random() < 0.4
    pixel = width if dense else width + int(rng.integers(0, 2 if exact else 1 + LANES))
    row = columns * pixel if dense else columns * pixel + int(rng.integers(0, 20))
    return MapView(rows, columns, channels, row, pixel)
