"""The progress bar of everything that takes a while: one look, drawn where somebody watches.

`fit` and `evaluate` draw Keras' own line instead (`training/progress.py`).
"""

from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["ProgressBar"]

_DRAWINGS_A_SECOND = 4
"""Few: drawing takes time from what is measured or computed beside it."""


class ProgressBar:
    """A bar on the error stream that goes away at the end; invisible where the stream is not a terminal.

    Use it in a `with` statement. Rich is imported when it starts.

    Args:
        total: what `completed` counts up to; None where nobody knows.
        description: what is being done; can change.
        show: "share" writes how many percent are done, "counts" how many of how many, "bytes" how much and how fast.
        console: where to draw; the error stream where None.
        stays: it is shown wherever the output goes, and stays there at the end: the user asked for it.
    """

    def __init__(
        self,
        total: float | None,
        description: str = "",
        show: str = "share",
        console: "Console | None" = None,
        stays: bool = False,
    ) -> None:
        self.total = total
        self._description = description
        self._show = show
        self._console = console
        self._stays = stays
        self._bar: Any = None
        self._task: Any = None
        self._done = 0.0

    def start(self) -> None:
        """Draws it."""
        from rich import progress
        from rich.console import Console

        # In a notebook Rich would leave an empty widget behind for each bar.
        console = self._console or Console(stderr=True, force_jupyter=False)
        shares: dict[str, list[progress.ProgressColumn]] = {
            "share": [progress.TaskProgressColumn()],
            "counts": [progress.MofNCompleteColumn()],
            "bytes": [progress.DownloadColumn(), progress.TransferSpeedColumn()],
        }
        self._bar = progress.Progress(
            progress.TextColumn("{task.description}", markup=False),
            progress.BarColumn(),
            *shares[self._show],
            progress.TimeRemainingColumn(),
            console=console,
            transient=not self._stays,
            refresh_per_second=_DRAWINGS_A_SECOND,
            disable=not (self._stays or console.is_terminal),
        )
        self._task = self._bar.add_task(self._description, total=self.total)
        self._bar.update(self._task, completed=self._done)
        self._bar.start()

    def show(self, completed: float, description: str | None = None) -> None:
        """How much is done, and what comes next."""
        self._done = completed
        if description is not None:
            self._description = description
        if self._bar is not None:
            self._bar.update(self._task, completed=completed, total=self.total, description=self._description)

    def close(self) -> None:
        """Clears it."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    # What pooch asks of the bar of a download, beside `total` and `close`.

    def update(self, more: float) -> None:
        """That `more` has been done."""
        self.show(self._done + more)

    def reset(self) -> None:
        """That it begins again."""
        self.show(0)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
