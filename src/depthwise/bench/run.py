"""The measurement: in every round the machine's peak, the network with clocks in it, and the network as it is."""

import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from depthwise.bench.costs import bound_of, cost_of
from depthwise.bench.measured import MeasuredExecutable, MeasuredRow
from depthwise.bench.probes import MachineRates, probes
from depthwise.bench.report import BenchReport, BenchRow
from depthwise.classification import class_loss
from depthwise.compare.machine import this_machine
from depthwise.compiler.compile import Plan
from depthwise.compiler.lower import lower
from depthwise.layers.activation import Activation
from depthwise.losses import Loss, MeanSquaredError
from depthwise.network.graph import Graph
from depthwise.optimizers import Adam
from depthwise.runtime.executable import Executable, host_machine
from depthwise.runtime.prediction import Prediction
from depthwise.runtime.threads import get_threads
from depthwise.runtime.training_step import TrainingStep

__all__ = ["Observer", "measure"]

FEWEST_ROUNDS, MOST_ROUNDS = 7, 201
ALONE_BURSTS = 5
TURN_SECONDS = 0.003
"""About how long the plain call is repeated in a round; a round counts their median."""
SEED = 20240607

Observer = Callable[[float], None]
"""Is told what share of the measurement is done."""

Arrays = tuple[np.ndarray[Any, Any], ...]


class _MeasuredPrediction(Prediction):
    """Prediction by the same plans with clocks in them."""

    measured: MeasuredExecutable | None = None

    def _make(self, parts: int, plan: Plan) -> Executable:
        self.measured = MeasuredExecutable(self.program, plan(self.program, host_machine()))
        self._executables[parts] = self.measured
        return self.measured


class _MeasuredStep(TrainingStep):
    """A training step by the same plan with clocks in it."""

    measured: MeasuredExecutable

    def _compiled(self, plan: Plan) -> Executable:
        self.measured = MeasuredExecutable(self.program, plan(self.program, host_machine()))
        return self.measured


class _Work:
    """One call to repeat, plain and with clocks."""

    def __init__(self, graph: Graph, weights: dict[str, np.ndarray[Any, Any]], batch: int, training: bool) -> None:
        rng = np.random.default_rng(SEED)
        self.batch = batch
        self.inputs = tuple(rng.random((batch, *shape), dtype=np.float32) for shape in graph.input_shapes)
        self.plain: Callable[[], object]
        self.clocked: Callable[[], object]
        if training:
            loss, labels = _loss_and_labels(graph, batch, rng)
            program = lower(graph, training=True)
            steps = TrainingStep(program, loss, Adam()), _MeasuredStep(program, loss, Adam())
            for step in steps:
                step.load(weights, {})
            self.plain, self.clocked = (
                lambda step=step: step(self.inputs, labels, learning_rate=1e-6) for step in steps
            )
            self._owner: Any = steps[1]
        else:
            program = lower(graph)
            predictions = Prediction(program), _MeasuredPrediction(program)
            for prediction in predictions:
                prediction.load(weights)
            # The same memory in every round, as a block has inside a larger network: no pages for the system to find.
            outputs = tuple(np.zeros((batch, *shape), np.float32) for shape in graph.output_shapes)
            self.plain, self.clocked = (
                lambda prediction=prediction: prediction(self.inputs, outputs) for prediction in predictions
            )
            self._owner = predictions[1]

    @property
    def executable(self) -> MeasuredExecutable:
        """The one with clocks; there is one once `clocked` has run."""
        executable: MeasuredExecutable = self._owner.measured
        return executable


def _loss_and_labels(graph: Graph, batch: int, rng: np.random.Generator) -> tuple[Loss, np.ndarray[Any, Any]]:
    """Cross-entropy where the network looks like a classifier, else the squared error."""
    shape = graph.output_shapes[0]
    layer = graph.by_name[graph.outputs[0]].layer
    ends_in_softmax = getattr(layer, "activation", None) == "softmax"
    if len(shape) == 1 and shape[0] > 1 and (ends_in_softmax or not isinstance(layer, Activation)):
        return class_loss(graph), rng.integers(0, shape[0], batch).astype(np.int32)
    return MeanSquaredError(), rng.random((batch, *shape), dtype=np.float32)


def measure(
    graph: Graph,
    weights: dict[str, np.ndarray[Any, Any]],
    *,
    batch: int,
    training: bool = False,
    seconds: float = 3.0,
    observe: Observer = lambda share: None,
) -> BenchReport:
    """Where the time of a prediction (or training step, with Adam) goes.

    Args:
        graph, weights: the model. batch: samples of one call.
        seconds: about how long to measure, after compiling; at least 7 rounds are run.
        observe: is told the share done.

    Raises:
        UnsupportedError: the model cannot run natively, or cannot be trained.

    Example:
        >>> from depthwise.networks import network
        >>> model = network("note-cnn")
        >>> report = measure(model.graph, model.weights_by_name, batch=4, seconds=0.1)
        >>> round(report.macs) <= sum(node.facts.macs.value for node in model.graph.calls)
        True
    """
    work = _Work(graph, weights, batch, training)
    work.plain()
    work.clocked()
    threads = get_threads()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    bandwidths = probes().bandwidths()
    alone = statistics.median(probes().fma_burst() for _ in range(ALONE_BURSTS))
    with ThreadPoolExecutor(threads) as pool:
        peaks, totals, ticks, tick_seconds = _rounds(work, pool, threads, seconds, observe)
    rates = MachineRates(statistics.median(peaks), host_machine().vectors.lanes, bandwidths)
    row_seconds = np.array(ticks) * (tick_seconds / batch)
    rows = _rows(work.executable, row_seconds, rates, batch)
    return BenchReport(
        model=graph.name,
        work="training" if training else "predict",
        batch=batch,
        threads=threads,
        processor=this_machine().processor,
        vectors=host_machine().vectors.name,
        rounds=len(totals),
        core_flops=rates.flops,
        alone_flops=alone,
        bandwidths=tuple((None if size == float("inf") else size, rate) for size, rate in bandwidths),
        rows=rows,
        seconds=statistics.median(totals) / batch,
        best_seconds=min(totals) / batch,
        load=load,
    )


def _seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def _rounds(
    work: _Work, pool: ThreadPoolExecutor, threads: int, seconds: float, observe: Observer
) -> tuple[list[float], list[float], list[np.ndarray[Any, Any]], float]:
    """Peaks, seconds of the plain call and ticks of every row, one a round; and how long a tick is."""
    peaks: list[float] = []
    totals: list[float] = []
    ticks: list[np.ndarray[Any, Any]] = []
    clock = probes().clock
    begin, begin_ticks = time.perf_counter(), clock()
    while len(totals) < FEWEST_ROUNDS or (time.perf_counter() - begin < seconds and len(totals) < MOST_ROUNDS):
        peaks.append(probes().fma_peak(pool, threads))
        repeats = max(1, int(TURN_SECONDS / _seconds(work.plain)))  # the first: what the probe left in the caches goes
        totals.append(statistics.median(_seconds(work.plain) for _ in range(repeats)))
        work.executable.clear()
        work.clocked()
        ticks.append(work.executable.ticks())
        observe(min(1.0, max((time.perf_counter() - begin) / seconds, len(totals) / MOST_ROUNDS)))
    passed, passed_ticks = time.perf_counter() - begin, clock() - begin_ticks
    return peaks, totals, ticks, passed / max(passed_ticks, 1)


def _rows(
    executable: MeasuredExecutable,
    seconds: np.ndarray[Any, Any],
    rates: MachineRates,
    batch: int,
) -> tuple[BenchRow, ...]:
    schedule = executable.schedule
    share = executable.samples_per_task
    images = max(1, min(schedule.group, share))
    rows = []
    for i, row in enumerate(executable.rows):
        cost, working_set, strip_set = cost_of(row, schedule, host_machine().vectors, batch, images, -(-batch // share))
        typical, best = float(np.median(seconds[:, i])), float(seconds[:, i].min())
        bound, bound_seconds = bound_of(cost, working_set, strip_set, rates)
        rows.append(
            BenchRow(
                name=_name(row),
                kinds=row.kinds,
                strips=row.strips,
                cost=cost,
                working_set=working_set,
                strip_set=strip_set,
                seconds=typical,
                best_seconds=best,
                bound=bound,
                bound_seconds=bound_seconds,
                share_of_peak=2 * cost.macs / (typical * rates.flops) if typical else 0.0,
            )
        )
    return tuple(rows)


def _name(row: MeasuredRow) -> str:
    return " + ".join(row.layers) if 0 < len(row.layers) <= 3 else f"{len(row.layers)} layers" if row.layers else ""
