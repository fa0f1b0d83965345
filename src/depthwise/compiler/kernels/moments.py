"""Adafactor's second moments: a row and a column of running means in place of a matrix."""

from depthwise.compiler.kernels.builder import Function, Kernel, Operand
from depthwise.compiler.kernels.maps import counted
from depthwise.compiler.kernels.optimizer import each_exact, load_part, store_part, sum_of_lanes
from depthwise.dataclass import dataclass

__all__ = ["FactorMoments"]


@dataclass(frozen=True)
class FactorMoments(Kernel):
    """For each of `matrices`: r ← kept · r + rest · (the mean of g² along a row + epsilon), c the same along columns, then
    velocity ← r / (the mean of r) · c.

    Attributes:
        scalars: the hyperparameters in the order in which they lie in memory.
    """

    matrices: int
    rows: int
    columns: int
    scalars: tuple[str, ...]

    arguments = ("gradient", "r", "c", "velocity", "scalars")

    @property
    def name(self) -> str:
        places = "_".join(str(self.scalars.index(name)) for name in ("kept", "rest", "epsilon_1"))
        return f"factor_moments_of_{self.matrices}x{self.rows}x{self.columns}_{places}"

    def write(self, function: Function) -> None:
        kept, rest, epsilon = (
            function.load_number("%scalars", self.scalars.index(name)) for name in ("kept", "rest", "epsilon_1")
        )

        def moved(old: str, total: str) -> str:
            """A running mean of a row after a new sum of its squares."""
            mean = function.define(f"fdiv float {total}, {function.number(float(self.columns))}")
            mean = function.define(f"fadd float {mean}, {epsilon}")
            new = function.define(f"fmul float {mean}, {rest}")
            return function.define(f"fadd float {function.define(f'fmul float {old}, {kept}')}, {new}")

        splats = function.splat(kept), function.splat(rest), function.splat(epsilon)
        with counted(function, self.matrices) as matrix:
            g = function.offset("%gradient", function.multiply(matrix, self.rows * self.columns))
            v = function.offset("%velocity", function.multiply(matrix, self.rows * self.columns))
            r = function.offset("%r", function.multiply(matrix, self.rows))
            c = function.offset("%c", function.multiply(matrix, self.columns))
            with function.loop(0, self.rows, 1, carried=[function.number(0.0)], kinds=["float"]) as loop:
                row = function.offset(g, function.multiply(loop.index, self.columns))
                mean = moved(function.load_number(r, loop.index), self._squares(function, row))
                function.store_number(mean, function.offset(r, loop.index))
                loop.next = [function.define(f"fadd float {loop.values[0]}, {mean}")]
            whole = function.define(f"fdiv float {loop.results[0]}, {function.number(float(self.rows))}")

            def by_column(position: Operand, used: int) -> None:
                with function.loop(0, self.rows, 1, carried=["zeroinitializer"]) as rows:
                    place = function.add(function.multiply(rows.index, self.columns), position)
                    value = load_part(function, g, place, used)
                    rows.next = [function.fma(value, value, rows.values[0])]
                mean = function.fdiv(rows.results[0], function.constant(float(self.rows)))
                new = function.fmul(function.fadd(mean, splats[2]), splats[1])
                old = function.fmul(load_part(function, c, position, used), splats[0])
                store_part(function, function.fadd(old, new), c, position, used)

            each_exact(function, self.columns, by_column)
            with counted(function, self.rows) as index:
                share = function.define(f"fdiv float {function.load_number(r, index)}, {whole}")
                factor = function.splat(share)
                target = function.offset(v, function.multiply(index, self.columns))

                def by_row(position: Operand, used: int) -> None:
                    value = function.fmul(load_part(function, c, position, used), factor)
                    store_part(function, value, target, position, used)

                each_exact(function, self.columns, by_row)

    def _squares(self, function: Function, row: str) -> str:
        """Σ g² along a row, as a number."""
        lanes = function.vectors.lanes
        whole, rest = self.columns // lanes * lanes, self.columns % lanes
        total = "zeroinitializer"
        if whole:
            with function.loop(0, whole, lanes, carried=[total]) as loop:
                value = function.load(row, loop.index)
                loop.next = [function.fma(value, value, loop.values[0])]
            (total,) = loop.results
        if rest:
            value = load_part(function, row, whole, rest)
            total = function.fma(value, value, total)
        return sum_of_lanes(function, total)
