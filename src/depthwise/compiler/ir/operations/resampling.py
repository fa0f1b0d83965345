"""Maps of another size: every cell of the result is a weighted sum of cells of the operand, along rows, then along columns."""

from typing import TYPE_CHECKING

from depthwise.compiler.ir.program import Operation
from depthwise.compiler.ir.types import WHOLE_MAP, TensorType, Window
from depthwise.dataclass import dataclass

if TYPE_CHECKING:
    from depthwise.compiler.differentiate import Tape

__all__ = ["Resample", "Taps"]


@dataclass(frozen=True)
class Taps:
    """What is read along one axis of `size` cells: for each cell of the result (cell, weight) pairs."""

    size: int
    cells: tuple[tuple[tuple[int, float], ...], ...]

    @property
    def most(self) -> int:
        """The most cells that one cell of the result reads."""
        return max(len(pairs) for pairs in self.cells)

    @property
    def copies(self) -> bool:
        """Whether every cell of the result is one cell, unchanged."""
        return all(len(pairs) == 1 and pairs[0][1] == 1.0 for pairs in self.cells)

    @property
    def transposed(self) -> "Taps":
        """The same weights read backwards: what each cell gave to the result."""
        readers: list[list[tuple[int, float]]] = [[] for _ in range(self.size)]
        for place, pairs in enumerate(self.cells):
            for cell, weight in pairs:
                readers[cell].append((place, weight))
        return Taps(len(self.cells), tuple(tuple(pairs) for pairs in readers))

    def part(self, first: int, count: int) -> "Taps":
        """Those of some cells of the result."""
        return Taps(self.size, self.cells[first : first + count])


@dataclass(frozen=True)
class Resample(Operation):
    """result[r, c] = Σ over the taps of row r of weight · Σ over the taps of column c of weight · x[row, column]."""

    rows: Taps
    columns: Taps

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        (source,) = operands
        rows, columns, channels = source.map
        if (rows, columns) != (self.rows.size, self.columns.size):
            raise self._refuse(f"reads {self.rows.size}×{self.columns.size} cells, got {source.shape}")
        return (source.resized(len(self.rows.cells), len(self.columns.cells), channels),)

    def window(self, operand: int) -> Window:
        return WHOLE_MAP

    def work(self, result: TensorType, operands: tuple[TensorType, ...]) -> int:
        return result.size * self.rows.most * self.columns.most

    def gradient(self, tape: "Tape", gradient: str) -> None:
        tape.give(
            self.source, lambda name: Resample((gradient,), (name,), self.rows.transposed, self.columns.transposed)
        )
