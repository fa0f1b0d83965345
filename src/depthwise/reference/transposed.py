"""Transposed convolution, forwards and its gradients, straight from the formula: every input adds to the cells of its window.

Images are (batch, rows, columns, channels), kernels (kernel rows, kernel columns, filters, channels).
"""

import numpy as np
import numpy.typing as npt

from depthwise.dataclass import dataclass
from depthwise.reference.windows import Array, Pair

__all__ = ["Scattering", "conv2d_transpose", "conv2d_transpose_gradients"]


@dataclass(frozen=True)
class Scattering:
    """Where the windows of a transposed convolution lie, as Keras places them."""

    kernel_size: Pair
    strides: Pair
    padding: str
    output_padding: Pair | None
    dilation_rate: Pair

    def _axis(self, axis: int, size: int) -> tuple[int, int, int]:
        """(cells of the whole result, cells cut off before, cells of the output)."""
        stride = self.strides[axis]
        span = (self.kernel_size[axis] - 1) * self.dilation_rate[axis] + 1
        added = None if self.output_padding is None else self.output_padding[axis]
        whole = (size - 1) * stride + span
        if self.padding == "valid":
            output = whole + (max(span, stride) - span if added is None else added)
            return max(whole, output), 0, output
        # Keras pads a convolution of the spread input by `total` cells, the greater half first.
        total = stride + span - 2 if added is None else span + span % 2 - 2 + added
        left = min((total + 1) // 2, span - 1)
        output = size * stride if added is None else (size - 1) * stride + span % 2 + added
        before = span - 1 - left
        return max(whole, before + output), before, output

    def whole(self, rows: int, columns: int) -> Pair:
        return self._axis(0, rows)[0], self._axis(1, columns)[0]

    def kept(self, rows: int, columns: int) -> tuple[slice, slice]:
        """The output's part of the whole result."""
        spans = [self._axis(axis, size)[1:] for axis, size in enumerate((rows, columns))]
        return slice(spans[0][0], sum(spans[0])), slice(spans[1][0], sum(spans[1]))

    def at(self, row: int, column: int, rows: int, columns: int) -> tuple[slice, slice]:
        """Where every input adds its product with one cell of the kernel."""
        places = []
        for axis, (cell, size) in enumerate(((row, rows), (column, columns))):
            start = cell * self.dilation_rate[axis]
            places.append(slice(start, start + (size - 1) * self.strides[axis] + 1, self.strides[axis]))
        return places[0], places[1]


def conv2d_transpose(x: npt.ArrayLike, kernel: npt.ArrayLike, bias: npt.ArrayLike | None, place: Scattering) -> Array:
    """y[i · stride + k · dilation, …, f] = bias[f] + Σ of x[i, …, c] · kernel[k, …, f, c], cut as `place` says."""
    x, kernel = np.asarray(x, dtype=np.float64), np.asarray(kernel, dtype=np.float64)
    batch, rows, columns, _ = x.shape
    whole = np.zeros((batch, *place.whole(rows, columns), kernel.shape[2]))
    for row in range(kernel.shape[0]):
        for column in range(kernel.shape[1]):
            at = place.at(row, column, rows, columns)
            whole[:, at[0], at[1]] += x @ kernel[row, column].T
    kept = place.kept(rows, columns)
    y = whole[:, kept[0], kept[1]]
    return y if bias is None else y + np.asarray(bias, dtype=np.float64)


def conv2d_transpose_gradients(
    x: npt.ArrayLike, kernel: npt.ArrayLike, output_gradient: npt.ArrayLike, place: Scattering
) -> tuple[Array, Array]:
    """(dx, d kernel): what each input gave to, and what each cell of the kernel multiplied."""
    x, kernel = np.asarray(x, dtype=np.float64), np.asarray(kernel, dtype=np.float64)
    dy = np.asarray(output_gradient, dtype=np.float64)
    batch, rows, columns, _ = x.shape
    whole = np.zeros((batch, *place.whole(rows, columns), kernel.shape[2]))
    kept = place.kept(rows, columns)
    whole[:, kept[0], kept[1]] = dy
    dx, to_kernel = np.zeros(x.shape), np.zeros(kernel.shape)
    for row in range(kernel.shape[0]):
        for column in range(kernel.shape[1]):
            at = place.at(row, column, rows, columns)
            seen = whole[:, at[0], at[1]]
            dx += seen @ kernel[row, column]
            to_kernel[row, column] = np.einsum("brcf,brck->fk", seen, x)
    return dx, to_kernel
