"""Cells taken from the places that tables name."""

from depthwise.compiler.kernels.builder import Function, Kernel
from depthwise.compiler.kernels.maps import MapView, counted, digest
from depthwise.dataclass import dataclass

__all__ = ["Warping"]


@dataclass(frozen=True)
class Warping(Kernel):
    """out[p] = Σ of shares[p, t] · a[places[p, t]], added in the order of t."""

    source: MapView
    target: MapView
    taps: int

    arguments = ("a", "places", "shares", "out")

    @property
    def name(self) -> str:
        target = self.target
        return f"warping_{target.rows}x{target.columns}x{target.channels}_of_{self.taps}_{digest(self)}"

    def write(self, function: Function) -> None:
        source, target, vectors = self.source, self.target, function.vectors
        with counted(function, target.rows) as row, counted(function, target.columns) as column:
            cell = function.add(function.multiply(row, target.columns), column)
            first = function.multiply(cell, self.taps)
            starts, shares = [], []
            for tap in range(self.taps):
                at = function.add(first, tap)
                address = function.define(f"getelementptr i32, ptr %places, i64 {at}")
                number = function.define(f"load i32, ptr {address}, align 4")
                place = function.define(f"zext i32 {number} to i64")
                down = function.divide(place, source.columns)
                across = function.subtract(place, function.multiply(down, source.columns))
                offset = function.add(
                    function.multiply(down, source.row_pitch), function.multiply(across, source.pixel_pitch)
                )
                starts.append(function.offset("%a", offset))
                shares.append(function.broadcast("%shares", at))
            out = function.offset(
                "%out",
                function.add(function.multiply(row, target.row_pitch), function.multiply(column, target.pixel_pitch)),
            )
            with counted(function, vectors.round_up(target.channels), vectors.lanes) as channel:
                total = function.fmul(shares[0], function.load(starts[0], channel))
                for start, share in zip(starts[1:], shares[1:]):
                    total = function.fma(share, function.load(start, channel), total)
                function.store(total, out, channel)
