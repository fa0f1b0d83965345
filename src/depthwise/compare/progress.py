"""How far a comparison is, on the error stream: a bar that moves on a terminal, and a line for every epoch everywhere."""

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.text import Text

from depthwise.compare.report import Epoch
from depthwise.compare.wording import percent, short_number
from depthwise.explain.text import printable
from depthwise.messages import text
from depthwise.progress import ProgressBar

__all__ = ["ProgressDisplay"]


class ProgressDisplay:
    """An `Observer` that draws. Use it in a `with` statement.

    Args:
        names: the two networks' names.
        epochs: of each training.
        trainings: how many there are: networks × seeds.
    """

    def __init__(self, console: Console, names: Sequence[str], epochs: int, trainings: int, language: str) -> None:
        self._names = [printable(name) for name in names]
        self._epochs = epochs
        self._language = language
        self._finished_epochs = 0
        self._console = console
        self._total = max(1, epochs * trainings)
        self._bar = ProgressBar(self._total, console=console)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.close()

    def say(self, line: str) -> None:
        """A line above the bar."""
        self._console.print(Text(line))

    def training(self, network: int, seed: int, epoch: int, step: int, steps: int) -> None:
        where = self._where(network, seed, epoch) if step == 1 else None
        self._bar.show(self._finished_epochs + step / steps, where)

    def epoch_done(self, network: int, seed: int, epoch: int, result: Epoch) -> None:
        self._finished_epochs += 1
        self.say(
            text(
                "comparison.progress_epoch",
                self._language,
                where=self._where(network, seed, epoch),
                accuracy=percent(result.test_accuracy, self._language),
                seconds=short_number(result.seconds),
            )
        )

    def timing(self) -> None:
        line = text("comparison.progress_timing", self._language)
        self._bar.show(self._total, line)
        self.say(line)

    def _where(self, network: int, seed: int, epoch: int) -> str:
        return text(
            "comparison.progress_train",
            self._language,
            network=self._names[network],
            seed=seed,
            epoch=epoch,
            epochs=self._epochs,
        )
