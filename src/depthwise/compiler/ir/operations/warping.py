"""Maps whose cells are taken from other places of the operand, for each sample from other ones: random transformations."""

from typing import TYPE_CHECKING

from depthwise.compiler.ir.operations.convolution import Pair
from depthwise.compiler.ir.program import Operation
from depthwise.compiler.ir.types import WHOLE_MAP, Element, TensorType, Window
from depthwise.dataclass import dataclass
from depthwise.errors import UnsupportedError

if TYPE_CHECKING:
    from depthwise.compiler.differentiate import Tape

__all__ = ["Warp"]


@dataclass(frozen=True)
class Warp(Operation):
    """result[p] = Σ over `taps` t of shares[p, t] · x[places[p, t]]: the weighted cells of x that the sample's own tables name.

    Operands: x, places (int32: row · columns + column), shares (float32); both with `taps` numbers for each cell of the result,
    row by row.
    """

    size: Pair
    taps: int

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        source, places, shares = operands
        count = self.size[0] * self.size[1] * self.taps
        if (places.size, shares.size, places.element) != (count, count, Element.I32):
            raise self._refuse(f"needs {count} places and shares, got {places.size} and {shares.size}")
        return (source.resized(*self.size, source.map[2]),)

    def window(self, operand: int) -> Window:
        return WHOLE_MAP

    def reads_exactly(self, operand: int) -> bool:
        return operand > 0

    def gradient(self, tape: "Tape", gradient: str) -> None:
        if tape.needs(self.source):
            raise UnsupportedError(
                f"{self.origin}: gradients do not pass through a random transformation; put it before the layers that train"
            )
