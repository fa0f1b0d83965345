"""What a measurement found, as data: rows in the order in which they run, what the machine can do, and totals."""

from dataclasses import asdict
from typing import Any

from depthwise.dataclass import dataclass

__all__ = ["BenchReport", "BenchRow", "Cost"]


@dataclass(frozen=True)
class Cost:
    """What a row asks of the machine for one sample.

    Attributes:
        macs: multiply-adds that the layer's arithmetic counts.
        multiply_adds, other, loads, stores: vector instructions as the generator wrote them.
        bytes: read or written by each call; what several calls touch is counted for each of them.
        distinct_bytes: the same, counted once.
    """

    macs: float = 0.0
    multiply_adds: float = 0.0
    other: float = 0.0
    loads: float = 0.0
    stores: float = 0.0
    bytes: float = 0.0
    distinct_bytes: float = 0.0


@dataclass(frozen=True)
class BenchRow:
    """One call or fused block.

    Attributes:
        name: its layers, or the kernels' kinds where it has none.
        kinds: what runs in it. strips: how often in turn.
        cost: for one sample.
        working_set: bytes that it goes over in one pass; strip_set: in one strip.
        seconds: a sample's time on one core, the median of all rounds.
        best_seconds: the shortest.
        bound: what the machine's limits make of the cost: "multiply-adds", "arithmetic", "loads" or "memory".
        bound_seconds: the time that this limit alone allows.
        share_of_peak: of the multiply-adds that one core can do.
    """

    name: str
    kinds: tuple[str, ...]
    strips: int
    cost: Cost
    working_set: int
    strip_set: int
    seconds: float
    best_seconds: float
    bound: str
    bound_seconds: float
    share_of_peak: float

    @property
    def flops_per_second(self) -> float:
        """The MACs as FLOP (two each), per second, on one core."""
        return 2 * self.cost.macs / self.seconds if self.seconds else 0.0

    @property
    def intensity(self) -> float:
        """FLOP per byte."""
        return 2 * self.cost.macs / self.cost.bytes if self.cost.bytes else 0.0

    @property
    def share_of_bound(self) -> float:
        """How near the time comes to its own limit."""
        return self.bound_seconds / self.seconds if self.seconds else 0.0


@dataclass(frozen=True)
class BenchReport:
    """One model at one work.

    Attributes:
        model: its name. work: "predict" or "training".
        core_flops: FLOP/s of one core with `threads` of them at it, the median of all rounds.
        alone_flops: the same of one core while the others rest; much more than `core_flops` where two threads share a core.
        bandwidths: (bytes that fit, bytes a second) of each cache, one core; the last fits everything (None).
        seconds: a sample's time in the real native call, on the wall: median; best_seconds: the shortest.
        load: processes that wanted a core when it began, where the system says so.
    """

    model: str
    work: str
    batch: int
    threads: int
    processor: str
    vectors: str
    rounds: int
    core_flops: float
    alone_flops: float
    bandwidths: tuple[tuple[float | None, float], ...]
    rows: tuple[BenchRow, ...]
    seconds: float
    best_seconds: float
    load: float | None

    @property
    def macs(self) -> float:
        """Of one sample."""
        return sum(row.cost.macs for row in self.rows)

    @property
    def row_seconds(self) -> float:
        """All rows' time for a sample, on one core."""
        return sum(row.seconds for row in self.rows)

    @property
    def other_seconds(self) -> float:
        """What the call takes beyond its rows, in one core's time: starting, waiting, loops; measuring errors too."""
        return self.seconds * self.threads - self.row_seconds

    @property
    def share_of_peak(self) -> float:
        """Of the multiply-adds that all threads' cores can do, in the real call."""
        return 2 * self.macs / (self.seconds * self.threads * self.core_flops)

    def facts(self) -> dict[str, Any]:
        """Everything as plain data, for JSON."""
        found = asdict(self)
        found["rows"] = [
            {
                **asdict(row),
                "flops_per_second": row.flops_per_second,
                "flops_per_byte": row.intensity,
                "share_of_bound": row.share_of_bound,
            }
            for row in self.rows
        ]
        found |= {
            "macs": self.macs,
            "row_seconds": self.row_seconds,
            "other_seconds": self.other_seconds,
            "share_of_peak": self.share_of_peak,
        }
        return found
