"""Matrices of numbers for a terminal: coloured by sign, side by side where they fit, else below each other."""

from collections.abc import Iterator, Sequence

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from depthwise.dataclass import dataclass
from depthwise.explain.text import number_text

__all__ = ["Matrix", "Products"]

POSITIVE, NEGATIVE, ZERO = "dark_orange", "dodger_blue1", "dim"
"""The page's colours of a sign."""

INDENT = "    "


def _style(value: float) -> str:
    return POSITIVE if value > 0 else NEGATIVE if value < 0 else ZERO


@dataclass(frozen=True)
class Matrix:
    """Rows of numbers below a name; those that are padding stand in ‹›.

    Attributes:
        name: what it is; "" for none.
        values: its rows.
        inside: whether each number lies within the map; None for all.
    """

    name: str
    values: Sequence[Sequence[float]]
    inside: Sequence[Sequence[bool]] | None = None

    def _cells(self) -> list[list[tuple[str, str]]]:
        """Each number as it is written, and its style."""
        inside = self.inside
        return [
            [
                (f"‹{number_text(value)}›" if inside and not inside[i][j] else f" {number_text(value)} ", _style(value))
                for j, value in enumerate(row)
            ]
            for i, row in enumerate(self.values)
        ]

    @property
    def width(self) -> int:
        """Cells of its widest row, or of its name."""
        cells = self._cells()
        widest = max(len(written) for row in cells for written, _ in row)
        return max(cell_len(self.name) + 1, max(widest * len(row) for row in cells))

    def heading(self) -> Text:
        """The name in the width of the matrix."""
        return Text(" " + self.name + " " * max(self.width - 1 - cell_len(self.name), 0), "dim")

    def rows(self) -> list[Text]:
        """The rows in the width of the matrix, the numbers aligned on the right."""
        cells = self._cells()
        widest = max(len(written) for row in cells for written, _ in row)
        rows = []
        for row in cells:
            line = Text()
            for written, style in row:
                line.append(" " * (widest - len(written))).append(written, style)
            line.append(" " * max(self.width - cell_len(line.plain), 0))
            rows.append(line)
        return rows

    def lines(self, indent: str) -> Iterator[Text]:
        """The rows, each behind `indent`."""
        for row in self.rows():
            yield Text(indent).append_text(row)


@dataclass(frozen=True)
class Products:
    """A window times a kernel, number by number, and the sum of the products."""

    window: Matrix
    kernel: Matrix
    products: Matrix
    total: str

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Rich asks for it: the lines in the width that there is."""
        for group in self._groups(options.max_width):
            for line in self._lines(group):
                line.rstrip()
                line.no_wrap, line.overflow = True, "fold"
                yield line

    def _groups(self, width: int) -> list[list[tuple[str, Matrix, str]]]:
        """What stands side by side: (the sign before it, a matrix, what follows it)."""
        whole = [("", self.window, ""), ("×", self.kernel, ""), ("=", self.products, f" → {self.total}")]
        if _width(whole) <= width:
            return [whole]
        if _width(whole[:2]) <= width and _width(whole[2:]) <= width:
            return [whole[:2], whole[2:]]
        return [[item] for item in whole]

    def _lines(self, group: list[tuple[str, Matrix, str]]) -> Iterator[Text]:
        first = group[0][0]
        start = INDENT if not first else f"  {first} "
        heading = Text(INDENT)
        for place, (_, matrix, _) in enumerate(group):
            heading.append("   " if place else "").append_text(matrix.heading())
        yield heading
        blocks = [matrix.rows() for _, matrix, _ in group]
        middle = len(blocks[0]) // 2
        for index in range(len(blocks[0])):
            line = Text(start if index == middle else INDENT)
            for place, (sign, _, end) in enumerate(group):
                if place:
                    line.append(f" {sign} " if index == middle else "   ")
                line.append_text(blocks[place][index])
                if index == middle:
                    line.append(end, "bold")
            yield line


def _width(group: list[tuple[str, Matrix, str]]) -> int:
    return len(INDENT) + sum(matrix.width + len(end) for _, matrix, end in group) + 3 * (len(group) - 1)
