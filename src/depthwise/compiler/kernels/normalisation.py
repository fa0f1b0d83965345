"""Batch normalisation in training: statistics of a chunk, of the batch, and what the gradient needs of them.

A chunk keeps, for each channel, how many values it has seen, their mean and the sum of squared deviations (Welford 1962);
two such states join without cancellation (Chan, Golub and LeVeque 1983).
"""

from collections.abc import Iterator

from depthwise.compiler.kernels.builder import Function, Kernel, Operand
from depthwise.compiler.kernels.maps import MapView, counted, digest
from depthwise.dataclass import dataclass

__all__ = ["CollectMoments", "CollectSums", "FinishMoments", "FinishSums"]


def _map_sum(function: Function, view: MapView, source: str, channel: Operand, terms: int, term: object) -> list[str]:
    """Σ over the map of each of `terms` values; rows are added up one by one, then their sums."""
    zeros = ["zeroinitializer"] * terms
    with function.loop(0, view.rows, carried=zeros) as rows:
        with function.loop(0, view.columns, carried=zeros) as columns:
            place = function.add(
                channel,
                function.add(
                    function.multiply(rows.index, view.row_pitch), function.multiply(columns.index, view.pixel_pitch)
                ),
            )
            values = term(rows.index, columns.index, function.load(source, place))  # type: ignore[operator]
            columns.next = [function.fadd(total, value) for total, value in zip(columns.values, values)]
        rows.next = [function.fadd(total, value) for total, value in zip(rows.values, columns.results)]
    return rows.results


def join(function: Function, first: list[str], second: list[str]) -> list[str]:
    """Two states (count, mean, squared deviations) as one; the second must not be empty."""
    count = function.fadd(first[0], second[0])
    difference = function.fsub(second[1], first[1])
    share = function.fdiv(second[0], count)
    mean = function.fma(difference, share, first[1])
    between = function.fmul(function.fmul(difference, difference), function.fmul(first[0], share))
    return [count, mean, function.fadd(function.fadd(first[2], second[2]), between)]


@dataclass(frozen=True)
class CollectMoments(Kernel):
    """Joins the moments of one sample's map to the chunk's: `out` holds counts, means, deviations, a number a channel."""

    view: MapView

    arguments = ("a", "out")

    @property
    def name(self) -> str:
        return f"collect_moments_of_{self.view.rows}x{self.view.columns}x{self.view.channels}_{digest(self)}"

    def write(self, function: Function) -> None:
        padded = function.vectors.round_up(self.view.channels)
        pixels = function.constant(float(self.view.rows * self.view.columns))
        with counted(function, padded, function.vectors.lanes) as channel:
            (total,) = _map_sum(function, self.view, "%a", channel, 1, lambda row, column, x: [x])
            mean = function.fdiv(total, pixels)

            def squared(row: str, column: str, x: str) -> list[str]:
                difference = function.fsub(x, mean)
                return [function.fmul(difference, difference)]

            (deviations,) = _map_sum(function, self.view, "%a", channel, 1, squared)
            places = [function.add(channel, i * padded) for i in range(3)]
            state = join(function, [function.load("%out", place) for place in places], [pixels, mean, deviations])
            for place, value in zip(places, state):
                function.store(value, "%out", place)


def _vectors(function: Function, channels: int) -> Iterator[tuple[Operand, int]]:
    """(first channel, channels used) of each vector: a loop over the whole ones, then the one that is not."""
    lanes = function.vectors.lanes
    whole = channels // lanes * lanes
    if whole:
        with counted(function, whole, lanes) as first:
            yield first, lanes
    if whole < channels:
        yield whole, channels - whole


@dataclass(frozen=True)
class FinishMoments(Kernel):
    """Joins the chunks' moments in their order; writes mean, 1 / deviation, gamma / deviation, beta to `out`, and moves
    the moving mean and variance (Keras: moving · momentum + batch · (1 − momentum), the variance divided by n)."""

    channels: int
    chunk_pitch: int
    has_gamma: bool
    has_beta: bool
    momentum: float
    epsilon: float

    arguments = ("a", "chunks", "gamma", "beta", "moving_mean", "moving_variance", "out")

    @property
    def name(self) -> str:
        return f"finish_moments_of_{self.channels}_{digest(self)}"

    def write(self, function: Function) -> None:
        padded = function.vectors.round_up(self.channels)
        for first, used in _vectors(function, self.channels):
            places = [function.add(first, i * padded) for i in range(3)]
            state = [function.load("%a", place) for place in places]
            with function.loop(1, "%chunks", carried=state) as loop:
                chunk = function.offset("%a", function.multiply(loop.index, self.chunk_pitch))
                loop.next = join(function, loop.values, [function.load(chunk, place) for place in places])
            count, mean, deviations = loop.results
            variance = function.fdiv(deviations, count)
            root = function.intrinsic("sqrt", function.fadd(variance, function.constant(self.epsilon)))
            one = function.constant(1.0)
            inverse = function.fdiv(one, root)
            gamma = function.load_masked(function.offset("%gamma", first), used) if self.has_gamma else one
            beta = function.load_masked(function.offset("%beta", first), used) if self.has_beta else "zeroinitializer"
            for i, value in enumerate((mean, inverse, function.fmul(inverse, gamma), beta)):
                function.store(value, "%out", function.add(first, i * padded))
            for name, value in (("moving_mean", mean), ("moving_variance", variance)):
                address = function.offset(f"%{name}", first)
                kept = function.fmul(function.load_masked(address, used), function.constant(self.momentum))
                moved = function.fma(value, function.constant(1.0 - self.momentum), kept)
                function.store_masked(moved, address, used)


@dataclass(frozen=True)
class CollectSums(Kernel):
    """out[0, c] += Σ dy, out[1, c] += Σ dy · x̂ over one sample; `statistics` holds mean and 1 / deviation."""

    source: MapView
    gradient: MapView

    arguments = ("a", "b", "statistics", "out")

    @property
    def name(self) -> str:
        view = self.source
        return f"collect_normalisation_sums_of_{view.rows}x{view.columns}x{view.channels}_{digest(self)}"

    def write(self, function: Function) -> None:
        padded = function.vectors.round_up(self.source.channels)
        with counted(function, padded, function.vectors.lanes) as channel:
            mean = function.load("%statistics", channel)
            inverse = function.load("%statistics", function.add(channel, padded))

            def terms(row: str, column: str, x: str) -> list[str]:
                place = function.add(
                    function.multiply(row, self.gradient.row_pitch),
                    function.multiply(column, self.gradient.pixel_pitch),
                )
                slope = function.load("%b", function.add(channel, place))
                normalised = function.fmul(function.fsub(x, mean), inverse)
                return [slope, function.fmul(slope, normalised)]

            for i, total in enumerate(_map_sum(function, self.source, "%a", channel, 2, terms)):
                place = function.add(channel, i * padded)
                function.store(function.fadd(function.load("%out", place), total), "%out", place)


@dataclass(frozen=True)
class FinishSums(Kernel):
    """Adds up the chunks' sums: the gradients of beta and gamma (added to what is there where it `adds`), and into `out`
    the means over batch and pixels."""

    channels: int
    pixels: int
    chunk_pitch: int
    has_gamma: bool
    has_beta: bool
    adds: bool = False

    arguments = ("a", "chunks", "batch", "beta_gradient", "gamma_gradient", "out")

    @property
    def name(self) -> str:
        return f"finish_normalisation_sums_of_{self.channels}_{digest(self)}"

    def write(self, function: Function) -> None:
        padded = function.vectors.round_up(self.channels)
        count = function.define(f"sitofp i64 {function.multiply('%batch', self.pixels)} to float")
        divisor = function.splat(count)
        written = (("beta_gradient", self.has_beta), ("gamma_gradient", self.has_gamma))
        for first, used in _vectors(function, self.channels):
            for i, (name, wanted) in enumerate(written):
                place = function.add(first, i * padded)
                with function.loop(1, "%chunks", carried=[function.load("%a", place)]) as loop:
                    chunk = function.offset("%a", function.multiply(loop.index, self.chunk_pitch))
                    loop.next = [function.fadd(loop.values[0], function.load(chunk, place))]
                (total,) = loop.results
                if wanted:
                    address = function.offset(f"%{name}", first)
                    given = function.fadd(function.load_masked(address, used), total) if self.adds else total
                    function.store_masked(given, address, used)
                function.store(function.fdiv(total, divisor), "%out", place)
