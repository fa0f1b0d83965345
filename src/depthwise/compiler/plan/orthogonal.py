"""The orthogonalised step of a matrix (see `ir.update.Orthogonalisation`), as stages of matrix products.

The matrix is copied as y, with at least as many rows as columns, so that all products are with the smaller square:

    y ← y / (‖y‖ + 1e-7), then every iteration: s = yᵀ y, p = b · s + c · s s, y ← a · y + y p

Each product is divided into tasks by rows; every number of it is one sum in one order, so results do not depend on threads.
"""

from collections.abc import Callable

from depthwise.compiler.ir.expression import Expression, Operand, apply
from depthwise.compiler.ir.update import Orthogonalisation
from depthwise.compiler.kernels.contraction import Contraction, Reduction
from depthwise.compiler.kernels.elementwise import Elementwise, Fill, StridedCopy
from depthwise.compiler.kernels.maps import MapView
from depthwise.compiler.machine import choose_tile
from depthwise.compiler.plan.placement import Placement
from depthwise.compiler.plan.schedule import NOWHERE, Call, Pointer
from depthwise.dataclass import dataclass

__all__ = ["Tasks", "orthogonalised"]

ROWS_PER_TASK = 48
EPSILON = 1e-7

Tasks = list[tuple[Call, ...]]


def orthogonalised(
    name: str,
    shape: tuple[int, int],
    phase: Orthogonalisation,
    gradient: Pointer,
    squares: Pointer,
    scalar: Callable[[str], Pointer],
    placement: Placement,
) -> list[Tasks]:
    """What replaces the matrix at `gradient` by the orthogonalised one: the tasks of each stage.

    Args:
        name: of the weight; equal names share memory.
        squares: where the sum of the matrix's squares lies.
        scalar: where a hyperparameter lies.
    """
    return _Matrix(name, shape, placement).stages(phase, gradient, squares, scalar)


@dataclass
class _Matrix:
    name: str
    shape: tuple[int, int]
    placement: Placement

    def __post_init__(self) -> None:
        self.rows, self.columns = max(self.shape), min(self.shape)
        self.steps = (self.shape[1], 1) if self.shape[0] >= self.shape[1] else (1, self.shape[1])
        """From one row and one column to the next in the weight's own form."""
        self.pitch = self.placement.vectors.round_up(self.columns)

    def _room(self, what: str, rows: int) -> Pointer:
        return self.placement.allocate("vectors", f"/{what} of {self.name}", rows * self.pitch)

    def _elementwise(
        self, expression: Expression, first: int, count: int, matrix: Pointer, number: Pointer, out: Pointer
    ) -> Call:
        """An expression of `count` rows of a matrix, and of one number."""
        rows = MapView(1, count, self.columns, count * self.pitch, self.pitch)
        number_view = MapView(1, count, self.columns, 0, 0, 0)
        start = first * self.pitch
        return Call(Elementwise(expression, (rows, number_view), rows), (matrix + start, number, out + start))

    def _product(
        self, a: Pointer, a_row: int, a_step: int, depth: int, b: Pointer, out: Pointer, count: int, initial: str
    ) -> Call:
        """out[r, n] = Σ_k a[r · a_row + k · a_step] · b[k, n] for `count` rows; added to `out` where that is `initial`."""
        vectors = self.placement.vectors
        kernel = Contraction(
            a_rows=(0,),
            out_rows=(0,),
            columns=count,
            a_column=a_row,
            out_column=self.pitch,
            reduction=(Reduction(depth, a_step, self.pitch),),
            channels=self.columns,
            packed=False,
            initial=initial,
            activation="linear",
            exact=False,
            tile=choose_tile(vectors, count, self.columns),
            panels_outside=False,
        )
        return Call(kernel, (a, b, NOWHERE, out))

    @staticmethod
    def _each(rows: int, task: Callable[[int, int], tuple[Call, ...]]) -> Tasks:
        """task(first row, rows) for all rows."""
        return [task(first, min(ROWS_PER_TASK, rows - first)) for first in range(0, rows, ROWS_PER_TASK)]

    def stages(
        self, phase: Orthogonalisation, gradient: Pointer, squares: Pointer, scalar: Callable[[str], Pointer]
    ) -> list[Tasks]:
        y, other = self._room("matrix", self.rows), self._room("next matrix", self.rows)
        square, scaled, polynomial = (
            self._room(what, self.columns) for what in ("square", "scaled square", "polynomial")
        )
        a, b, c = (scalar(name) for name in phase.scalars)
        product = Operand(0) * Operand(1)

        def begin(first: int, count: int) -> tuple[Call, ...]:
            loops = ((count, self.steps[0], self.pitch), (self.columns, self.steps[1], 1))
            copy = Call(StridedCopy(loops), (gradient + first * self.steps[0], other + first * self.pitch))
            quotient = Operand(0) / (apply("sqrt", Operand(1)) + EPSILON)
            scaling = self._elementwise(quotient, first, count, other, squares, y)
            if self.pitch == self.columns:
                return copy, scaling
            numbers = count * self.pitch
            clear = Fill(MapView(1, 1, numbers, numbers, numbers), None, 0.0)  # for the end of each row's last vector
            return Call(clear, (other + first * self.pitch,)), copy, scaling

        def end(first: int, count: int) -> tuple[Call, ...]:
            loops = ((count, self.pitch, self.steps[0]), (self.columns, 1, self.steps[1]))
            return (Call(StridedCopy(loops), (y + first * self.pitch, gradient + first * self.steps[0])),)

        def squared(first: int, count: int) -> tuple[Call, ...]:
            """s, c · s and b · s."""
            return (
                self._product(y + first, 1, self.pitch, self.rows, y, square + first * self.pitch, count, "zero"),
                self._elementwise(product, first, count, square, c, scaled),
                self._elementwise(product, first, count, square, b, polynomial),
            )

        def combined(first: int, count: int) -> tuple[Call, ...]:
            """p = b · s + (c · s) s."""
            start, out = scaled + first * self.pitch, polynomial + first * self.pitch
            return (self._product(start, self.pitch, 1, self.columns, square, out, count, "out"),)

        def moved(first: int, count: int) -> tuple[Call, ...]:
            """a · y + y p."""
            start, out = y + first * self.pitch, other + first * self.pitch
            scaling = self._elementwise(product, first, count, y, a, other)
            return scaling, self._product(start, self.pitch, 1, self.columns, polynomial, out, count, "out")

        found = [self._each(self.rows, begin)]
        for _ in range(phase.iterations):
            found += [self._each(self.columns, squared), self._each(self.columns, combined)]
            found.append(self._each(self.rows, moved))
            y, other = other, y
        return [*found, self._each(self.rows, end)]
