"""Where the windows of a convolution or a pooling lie: padding, output size, and the cells that each window reads."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from depthwise.dataclass import dataclass
from depthwise.errors import ShapeError

__all__ = ["Array", "Pair", "Windows", "windows"]

Array = npt.NDArray[np.float64]
Pair = tuple[int, int]


@dataclass(frozen=True)
class Windows:
    """All positions of one window on a map.

    Attributes:
        input: rows and columns of the map, without padding.
        kernel_size, strides, dilation_rate: of the window, (rows, columns).
        before, after: cells added at the start and at the end, (rows, columns).
        output: number of positions, (rows, columns).
    """

    input: Pair
    kernel_size: Pair
    strides: Pair
    dilation_rate: Pair
    before: Pair
    after: Pair
    output: Pair

    def cells(self) -> Iterator[Pair]:
        """The cells of the window, row by row."""
        for row in range(self.kernel_size[0]):
            for column in range(self.kernel_size[1]):
                yield row, column

    def pad(self, x: Array, value: float = 0.0) -> Array:
        """`x` (batch, rows, columns, channels) with `value` in the added cells."""
        rows, columns = zip(self.before, self.after)
        return np.pad(x, ((0, 0), rows, columns, (0, 0)), constant_values=value)

    def crop(self, padded: Array) -> Array:
        """The opposite of `pad`: the added cells dropped."""
        top, left = self.before
        return padded[:, top : top + self.input[0], left : left + self.input[1]]

    def at(self, cell: Pair) -> tuple[slice, slice, slice]:
        """Index of the padded map: what this cell of the window sees at every position, (batch, *output, channels)."""
        rows, columns = (
            slice(
                cell[axis] * self.dilation_rate[axis],
                cell[axis] * self.dilation_rate[axis] + (self.output[axis] - 1) * self.strides[axis] + 1,
                self.strides[axis],
            )
            for axis in (0, 1)
        )
        return slice(None), rows, columns


def windows(
    input_size: Pair, kernel_size: Pair, strides: Pair = (1, 1), padding: str = "valid", dilation_rate: Pair = (1, 1)
) -> Windows:
    """The positions of a window.

    `valid`: every position where the whole window lies on the map. `same`: ⌈input / stride⌉ positions, with as few cells
    added as they need; of an odd number the greater half at the end.

    Raises:
        ShapeError: the window fits nowhere.
    """
    before, after, output = [0, 0], [0, 0], [0, 0]
    for axis in (0, 1):
        size, stride = input_size[axis], strides[axis]
        span = 1 + (kernel_size[axis] - 1) * dilation_rate[axis]
        if padding == "valid":
            output[axis] = len(range(0, size - span + 1, stride))
        elif padding == "same":
            output[axis] = len(range(0, size, stride))
            last_cell_read = (output[axis] - 1) * stride + span - 1
            missing = max(0, last_cell_read - (size - 1))
            before[axis] = missing // 2
            after[axis] = missing - before[axis]
        else:
            raise ShapeError(f"padding must be 'valid' or 'same', got {padding!r}")
        if output[axis] < 1:
            raise ShapeError(f"a window that spans {span} cells fits nowhere on {size} cells without padding")
    return Windows(
        input_size,
        kernel_size,
        strides,
        dilation_rate,
        (before[0], before[1]),
        (after[0], after[1]),
        (output[0], output[1]),
    )
