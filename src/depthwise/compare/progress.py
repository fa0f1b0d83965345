"""How far a comparison is, on the error stream: a bar that moves on a terminal, and a line for every epoch everywhere."""

import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.text import Text

from depthwise.compare.report import Epoch, Report, Settings
from depthwise.compare.wording import percent, short_number
from depthwise.explain.text import printable
from depthwise.messages import text
from depthwise.progress import ProgressBar

__all__ = ["ProgressDisplay"]

_TRAINING_TIMES_PREDICTION = 3.5
"""About how many times as long a training step takes as a prediction, before the first epoch is measured."""


class ProgressDisplay:
    """An `Observer` that draws. Use it in a `with` statement.

    The bar counts seconds: an epoch counts for as long as that network's epochs take, first by the measured time of a
    prediction, then by the epochs that were measured.

    Args:
        names: the two networks' names.
        show_measured: prints what is known before the training.
    """

    def __init__(
        self, console: Console, names: Sequence[str], language: str, show_measured: Callable[[Report], None]
    ) -> None:
        self._names = [printable(name) for name in names]
        self._language = language
        self._show_measured = show_measured
        self._console = console
        self._bar = ProgressBar(None, console=console)
        self._seconds = [1.0, 1.0]
        self._left = [0, 0]
        self._finished = 0.0
        self._settings: Settings | None = None
        # Of each epoch that is running: when its first step was seen, which step that was, and the part of the epoch that is done.
        self._running: dict[tuple[int, int, int], tuple[float, int, float]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.close()

    def say(self, line: str) -> None:
        """A line above the bar."""
        self._console.print(Text(line), soft_wrap=not self._console.is_terminal)

    def timing(self) -> None:
        self.say(text("comparison.progress_timing", self._language, names=" / ".join(self._names)))

    def measured(self, report: Report) -> None:
        settings = report.settings
        if not settings.epochs:
            return
        self._settings = settings
        for index, network in enumerate(report.networks):
            if network.batch is not None:
                image = network.batch.median / network.batch.batch_size
                self._seconds[index] = image * _TRAINING_TIMES_PREDICTION * settings.train_samples
        self._left = [settings.epochs * len(settings.seeds)] * 2
        self._show_measured(report)
        self.say(
            text(
                "comparison.progress_plan",
                self._language,
                epochs=settings.epochs,
                seeds=len(settings.seeds),
                seconds=short_number(self._expected),
            )
        )
        self._bar.total = self._expected
        self._bar.start()

    @property
    def _expected(self) -> float:
        """Seconds of all epochs to come, and of those that are done."""
        return self._finished + sum(seconds * left for seconds, left in zip(self._seconds, self._left))

    def training(self, network: int, seed: int, epoch: int, step: int, steps: int, accuracy: float) -> None:
        now = time.perf_counter()
        key = network, seed, epoch
        start, first, _ = self._running.get(key, (now, step, 0.0))
        self._running[key] = start, first, step / steps
        settings = self._settings
        rate = (step - first) * settings.batch_size / (now - start) if settings and step > first else 0.0
        where = text(
            "comparison.progress_step",
            self._language,
            where=self._where(network, seed, epoch),
            accuracy=percent(accuracy, self._language),
            rate=short_number(rate),
        )
        # On a cluster several epochs run at once.
        parts = sum(self._seconds[each] * part for (each, _, _), (_, _, part) in self._running.items())
        self._bar.show(self._finished + parts, where)

    def epoch_done(self, network: int, seed: int, epoch: int, result: Epoch) -> None:
        self._running.pop((network, seed, epoch), None)
        self._left[network] -= 1
        self._finished += result.seconds
        self._seconds[network] = result.seconds
        self._bar.total = self._expected
        self._bar.show(self._finished)
        self.say(
            text(
                "comparison.progress_epoch",
                self._language,
                where=self._where(network, seed, epoch),
                accuracy=percent(result.test_accuracy, self._language),
                seconds=short_number(result.seconds),
            )
        )

    def _where(self, network: int, seed: int, epoch: int) -> str:
        return text(
            "comparison.progress_train",
            self._language,
            network=self._names[network],
            seed=seed,
            epoch=epoch,
            epochs=0 if self._settings is None else self._settings.epochs,
        )
