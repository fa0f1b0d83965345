"""How a window moves along one spatial axis, and the size that follows."""

from depthwise.dataclass import dataclass
from depthwise.errors import ShapeError
from depthwise.network.formula import Formula, number

__all__ = ["Axis", "window_axis"]


@dataclass(frozen=True)
class Axis:
    """How a window moves along one spatial axis, from `input` cells to `output` cells.

    Attributes:
        kernel: cells of the window that are read.
        dilation: distance between them; the window spans (kernel − 1) · dilation + 1 cells.
        stride: cells from one window to the next.
        pad_before, pad_after: cells added at the start and at the end.
        dropped: cells of the input at its end that no window reads.
    """

    input: int
    kernel: int
    stride: int
    dilation: int
    pad_before: int
    pad_after: int
    output: int
    formula: Formula

    @property
    def span(self) -> int:
        """Cells from the first to the last one that a window reads."""
        return (self.kernel - 1) * self.dilation + 1

    @property
    def dropped(self) -> int:
        """Cells at the input's end that no window reads."""
        return max(0, self.input + self.pad_before - ((self.output - 1) * self.stride + self.span))


def window_axis(who: str, axis: str, size: int, kernel: int, stride: int, dilation: int, padding: str) -> Axis:
    """One spatial axis.

    `same` pads so that the output is ⌈input / stride⌉, the odd cell at the end (as Keras does); `causal` pads before the
    start only, so that no window ends behind its own cell.
    """
    span = (kernel - 1) * dilation + 1
    size_formula = number(size, f"input_{axis}")
    stride_formula = number(stride, f"stride_{axis}")
    if padding in ("same", "causal"):
        output = -(-size // stride)
        total = max(0, (output - 1) * stride + span - size)
        before = total // 2
        if padding == "causal":
            before = total = span - 1
        formula = size_formula.ceiling_divide(stride_formula) if stride > 1 else size_formula
        return Axis(size, kernel, stride, dilation, before, total - before, output, formula)
    if size < span:
        raise ShapeError(
            f"{who}: the output would be empty: its window spans {span} cells of {axis}, the input has "
            f"{size}; use a smaller window, padding='same' or a larger input"
        )
    if dilation == 1:
        window = number(kernel, f"kernel_{axis}")
    else:
        window = (number(kernel - 1, f"kernel_{axis}_minus_one") * number(dilation, "dilation") + number(1)).group()
    distance = size_formula - window
    formula = number(1) + (distance.group() if stride == 1 else distance // stride_formula)
    return Axis(size, kernel, stride, dilation, 0, 0, formula.value, formula)
