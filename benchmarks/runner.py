"""The run: every rival in a process of its own, rounds interleaved, outputs compared."""

import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine, reference
from benchmarks.keras_networks import KERAS_NETWORKS
from benchmarks.models import NETWORKS, Array, make_images, make_labels, make_weights
from benchmarks.process import ROOT, WorkerError, WorkerProcess
from benchmarks.protocol import batch_sizes, files_of, keras_file_of
from benchmarks.results import Report, Result, RivalReport, Work, WorkReport
from benchmarks.rivals import Rival, missing, version
from benchmarks.worker import CHECKED_STEPS, TRAINING_BATCHES

# Relative. The frameworks differ by 1e-8 to 2e-5 over the first four steps of Adam; a wrong bias correction, ε in the other
# place or a forgotten gradient moves the loss by 1e-3 and more.
LOSS_TOLERANCE = 2e-4
LATER_LOSS_TOLERANCE = 1e-3
"""Of the losses after the first step. SELU's slope jumps at 0: where rounding decides the sign of one value of 800,000 (it did,
at 3e-7), the gradients of all layers before move by 1e-4, and Adam's first step, near lr · sign, turns that into 5e-4 of the
loss. Any order of additions may meet such a value: torch did in one run, Depthwise in another."""


@dataclass(frozen=True)
class Settings:
    """How much to measure. `turn_seconds` is one rival's turn in one round, `try_seconds` one candidate's trial."""

    threads: int = 2
    rounds: int = 5
    turn_seconds: float = 1.0
    try_seconds: float = 0.5
    starts: bool = True
    blocks: bool = False


Observer = Callable[[str], None]


def run(
    rivals: Sequence[Rival],
    works: Sequence[Work],
    settings: Settings,
    observe: Observer = lambda message: None,
) -> Report:
    """Measure every rival at every work and return the report; Ctrl-C ends it with the works that were finished."""
    with tempfile.TemporaryDirectory(prefix="depthwise-benchmark-") as name:
        return _Run(Path(name), settings, observe).run(rivals, works)


class _Run:
    def __init__(self, folder: Path, settings: Settings, observe: Observer) -> None:
        self.folder = folder
        self.settings = settings
        self.observe = observe
        self.workers: dict[str, WorkerProcess] = {}
        self.reports: dict[str, RivalReport] = {}

    def run(self, rivals: Sequence[Rival], works: Sequence[Work]) -> Report:
        about_machine = machine.describe(self.settings.threads)  # before our own load
        for rival in rivals:
            versions = {name: version(name) for name in rival.distributions}
            report = RivalReport(rival.name, rival.title, versions, missing(rival))
            self.reports[rival.name] = report
        present = self._write_files([r for r in rivals if not self._lost(r)], works)
        with contextlib.ExitStack() as stack:
            for rival in present:
                self._start(rival, stack)
            present = [rival for rival in present if not self._lost(rival)]
            work_reports = []
            try:
                for work in works:
                    work_reports.append(self._work(present, work, about_machine))
            except KeyboardInterrupt:
                self.observe("interrupted: reporting the works that were finished")
                self.settings = replace(self.settings, starts=False)
        first = next((report for report in work_reports if report.work.kind == "predict"), None)
        if self.settings.starts and first:
            for rival in present:
                self._first_predictions(rival, first)
        for rival in present:
            size = machine.installed_size(rival.distributions)
            self._note(rival, installed_size=size)
        return Report(
            machine=about_machine,
            settings=vars(self.settings).copy(),
            first_work=first.work.name if first else None,
            rivals=[self.reports[rival.name] for rival in rivals],
            works=work_reports,
            blocks={work.work.name: self._blocks(work.work) for work in work_reports if self._has_blocks(work.work)},
        )

    def _has_blocks(self, work: Work) -> bool:
        return self.settings.blocks and work.network in KERAS_NETWORKS and "depthwise" in self.workers

    def _blocks(self, work: Work) -> dict[str, Any]:
        self.observe(f"{work.name}: block by block")
        file, threads = keras_file_of(self.folder, work.network), self.settings.threads
        command = [
            sys.executable,
            "-m",
            "depthwise",
            "bench",
            str(file),
            "--batch",
            str(work.batch),
            "--threads",
            str(threads),
            "--json",
        ]
        command += ["--training"] if work.kind == "training" else []
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
        if done.returncode:
            raise WorkerError(f"depthwise bench: {done.stderr.strip()[-300:]}")
        return dict(json.loads(done.stdout))

    def _note(self, rival: Rival, **found: Any) -> None:
        self.reports[rival.name] = replace(self.reports[rival.name], **found)

    def _lost(self, rival: Rival) -> bool:
        return self.reports[rival.name].missing is not None

    def _write_files(self, rivals: list[Rival], works: Sequence[Work]) -> list[Rival]:
        """Write the model files that rivals read; return the rivals that have theirs."""
        saved = [work.name for work in works if work.network in KERAS_NETWORKS]
        if failure := self._artefacts("keras", saved):
            raise WorkerError(f"the .keras files failed: {failure}")
        predicted = {(work.network, work.batch) for work in works if work.kind == "predict"}
        sizes = sorted({(name, size) for name, batch in predicted for size in batch_sizes(batch)})
        orders = [f"{name}:predict:{size}" for name, size in sizes]
        for file_format in sorted({rival.artefact for rival in rivals if rival.artefact}):
            if failure := self._artefacts(file_format, orders):
                for rival in rivals:
                    if rival.artefact == file_format:
                        self._note(rival, missing=f"its .{file_format} files failed: {failure}")
        return [rival for rival in rivals if not self._lost(rival)]

    def _artefacts(self, file_format: str, orders: list[str]) -> str:
        """Write files in a process of their own; return its last words if it failed, else nothing."""
        if not orders:
            return ""
        self.observe(f"writing .{file_format} files")
        log = self.folder / f"{file_format}.log"
        command = [sys.executable, "-m", "benchmarks.artefacts", file_format, *orders, "--folder", str(self.folder)]
        with log.open("w") as log_file:
            code = subprocess.run(command, stdout=log_file, stderr=log_file, cwd=ROOT).returncode
        return "".join(log.read_text(errors="replace").strip().splitlines()[-1:]) or f"exit code {code}" if code else ""

    def _process(self, rival: Rival, cache: Path, log: str) -> WorkerProcess:
        cache.mkdir(exist_ok=True)
        environment = {**rival.environment, **dict.fromkeys(rival.cache_folders, str(cache))}
        return WorkerProcess(rival.module_name, self.settings.threads, environment, self.folder / log)

    def _start(self, rival: Rival, stack: contextlib.ExitStack) -> None:
        self.observe(f"starting {rival.title}")
        cache = self.folder / f"cache_{rival.name}"
        worker = stack.enter_context(self._process(rival, cache, f"{rival.name}.log"))
        try:
            answer = worker.ask("load")
        except WorkerError as error:
            self._note(rival, missing=f"does not start: {error}")
            return
        self.workers[rival.name] = worker
        self._note(rival, import_seconds=answer["import_seconds"])

    def _work(self, rivals: Sequence[Rival], work: Work, about_machine: dict[str, Any]) -> WorkReport:
        """All rounds of one work."""
        results: dict[str, Result] = {}
        outputs: dict[str, Array] = {}
        takers = [rival for rival in rivals if work.kind == "predict" or rival.trains]
        for rival in takers:
            self.observe(f"{work.name}: preparing {rival.title}")
            path = self.folder / f"{rival.name}_outputs.npy"
            with self._failing(rival, results):
                answer = self.workers[rival.name].ask(
                    "prepare",
                    kind=work.kind,
                    network=work.network,
                    batch=work.batch,
                    files=str(self.folder),
                    seconds=self.settings.try_seconds,
                    outputs=str(path),
                )
                results[rival.name] = Result(rival.name, answer["variant"], candidates=answer["candidates"])
                outputs[rival.name] = np.load(path)
        rounds = self._rounds(takers, work, results)
        for rival in takers:
            with self._failing(rival, results):
                if not results[rival.name].failure:
                    self.workers[rival.name].ask("release")
        peak = about_machine["fma_peak_gflops"]
        macs = self._macs(work.network) if peak else None
        for name, times in rounds.items():
            if results[name].failure is None and times:
                results[name] = _timed(results[name], times, work, macs, peak)
        return _judge(work, [results[rival.name] for rival in takers], self._right(work, outputs), outputs)

    def _macs(self, network: str) -> int | None:
        if network in NETWORKS:
            return machine.count_macs(NETWORKS[network])
        return machine.count_macs_of_file(keras_file_of(self.folder, network))

    def _right(self, work: Work, outputs: dict[str, Array]) -> "_Right":
        if work.network in NETWORKS:
            return _right_of_chain(work, outputs)
        with np.load(files_of(self.folder, work.network, work.batch) / f"{work.kind}.npz") as right:
            scale = 1.0 if work.kind == "predict" else np.abs(right["expected"])
            return _Right("Keras in float64", right["expected"], float(right["allowed"]), scale)

    def _rounds(self, takers: Sequence[Rival], work: Work, results: dict[str, Result]) -> dict[str, list[list[int]]]:
        """Round 1: each rival in turn; round 2: each rival in turn; …"""
        times: dict[str, list[list[int]]] = {rival.name: [] for rival in takers}
        for number in range(self.settings.rounds):
            self.observe(f"{work.name}: round {number + 1} of {self.settings.rounds}")
            for rival in takers:
                if results[rival.name].failure:
                    continue
                with self._failing(rival, results):
                    turn = self.settings.turn_seconds
                    answer = self.workers[rival.name].ask("measure", seconds=turn)
                    times[rival.name].append(answer["nanoseconds"])
        return times

    @contextlib.contextmanager
    def _failing(self, rival: Rival, results: dict[str, Result]) -> Iterator[None]:
        """Turn a worker's error into a result that says so; the others go on."""
        try:
            yield
        except WorkerError as error:
            results[rival.name] = Result(rival.name, failure=str(error))

    def _first_predictions(self, rival: Rival, first: WorkReport) -> None:
        """Time from starting a process to its first prediction, with an empty and a filled cache."""
        chosen = next(result for result in first.results if result.rival == rival.name)
        if chosen.failure:
            return
        cache = self.folder / f"first_cache_{rival.name}"
        for state in ("cold", "warm"):
            self.observe(f"{rival.title}: first prediction, {state} cache")
            with self._process(rival, cache, f"{rival.name}_{state}.log") as worker:
                try:
                    worker.ask("load")
                    answer = worker.ask(
                        "first",
                        network=first.work.network,
                        batch=first.work.batch,
                        files=str(self.folder),
                        only=chosen.variant,
                    )
                except WorkerError:
                    return
                seconds = worker.seconds_since_start()
            self._note(
                rival,
                peak_memory=answer["peak_memory"],
                **{f"first_prediction_{state}_seconds": seconds},
            )


def _timed(result: Result, times: list[list[int]], work: Work, macs: int | None, peak: float | None) -> Result:
    scale = 1e-3 / work.batch
    rounds = [statistics.median(turn) * scale for turn in times]
    low, _, high = statistics.quantiles([time * scale for turn in times for time in turn], n=4)
    share = None
    if macs and peak and work.kind == "predict":
        share = 2 * macs / (min(rounds) * 1e-6) / (peak * 1e9)
    return replace(
        result,
        microseconds=min(rounds),
        rounds=rounds,
        quartiles=(low, high),
        runs=sum(len(turn) for turn in times),
        share_of_peak=share,
    )


@dataclass(frozen=True)
class _Right:
    """What is right, who says so, and how far from it, divided by `scale`, an output may be."""

    judge: str
    expected: Array
    allowed: float
    scale: Any = 1.0


def _right_of_chain(work: Work, outputs: dict[str, Array]) -> _Right:
    network = NETWORKS[work.network]
    if work.kind == "predict":
        weights, images = make_weights(network), make_images(network, work.batch)
        expected = reference.predict(network, weights, images)
        return _Right("float64 NumPy", expected, reference.tolerance(network, weights, images))
    expected = _expected_losses(work, list(outputs.values()))
    # Later losses count as the first where they are within their own, wider tolerance.
    scale = np.abs(expected) * np.where(np.arange(expected.size) > 0, LATER_LOSS_TOLERANCE / LOSS_TOLERANCE, 1.0)
    return _Right("float64 NumPy's first loss, then the median of all rivals", expected, LOSS_TOLERANCE, scale)


def _judge(work: Work, results: list[Result], right: _Right, outputs: dict[str, Array]) -> WorkReport:
    """Compare the outputs of one work and flag what deviates."""
    judged = []
    for result in results:
        output = outputs.get(result.rival)
        if result.failure is None and output is not None:
            same = output.shape == right.expected.shape
            # NaN compares false with everything, so it must not pass for "not larger than".
            error = float(np.max(np.abs(output - right.expected) / right.scale)) if same else float("inf")
            result = replace(result, error=error, deviates=not error <= right.allowed)
        judged.append(result)
    return WorkReport(work, right.judge, right.allowed, judged)


def _expected_losses(work: Work, losses: list[Array]) -> Array:
    """Return what the losses of the first steps should be."""
    network = NETWORKS[work.network]
    many = work.batch * TRAINING_BATCHES
    images, labels = make_images(network, many)[: work.batch], make_labels(many)[: work.batch]
    probabilities = reference.predict(network, make_weights(network), images)
    steps = [loss for loss in losses if loss.shape == (CHECKED_STEPS,)]
    expected = np.median(steps, axis=0) if steps else np.full(CHECKED_STEPS, np.nan)
    expected[0] = reference.cross_entropy(probabilities, labels)
    return expected
