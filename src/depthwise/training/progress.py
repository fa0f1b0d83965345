"""The progress bar of `fit` and `evaluate`: Keras' line, drawn at most ten times a second."""

import sys
import time
from typing import Any

import numpy as np

from depthwise.training.callback import Callback, Logs

__all__ = ["ProgbarLogger", "format_metrics", "format_time"]

SECONDS_BETWEEN_DRAWS = 0.1
SECONDS_BETWEEN_LINES = 1.0
"""In a notebook, whose file keeps every line."""
BAR_WIDTH = 20


def in_notebook() -> bool:
    """Whether Jupyter runs this process."""
    return "ipykernel" in sys.modules


def format_metrics(logs: dict[str, Any]) -> str:
    """` - accuracy: 0.9871 - loss: 0.0412`, as Keras prints them.

    >>> format_metrics({"loss": 0.04123, "learning_rate": 0.0005})
    ' - loss: 0.0412 - learning_rate: 5.0000e-04'
    """
    parts = []
    for name, value in logs.items():
        value = float(np.mean(value))  # as Keras: a metric with several values shows their mean
        text = f"{value:.4f}" if abs(value) > 1e-3 else f"{value:.4e}"
        parts.append(f" - {name}: {text}")
    return "".join(parts)


def format_time(seconds: float) -> str:
    """Time of a step.

    >>> format_time(0.0123), format_time(0.00004), format_time(3.2)
    ('12ms/step', '40us/step', '3s/step')
    """
    if seconds >= 1 or seconds == 0:
        return f"{seconds:.0f}s/step"
    return f"{seconds * 1e3:.0f}ms/step" if seconds >= 1e-3 else f"{seconds * 1e6:.0f}us/step"


def _clock(seconds: float) -> str:
    whole = int(seconds)
    if whole > 3600:
        return f"{whole // 3600}:{whole % 3600 // 60:02d}:{whole % 60:02d}"
    return f"{whole // 60}:{whole % 60:02d}" if whole > 60 else f"{whole}s"


class ProgbarLogger(Callback):
    """Shows the steps done, the time and the metrics; `fit` and `evaluate` add it by themselves.

    `verbose`: 0 nothing; 1 a bar that moves; 2 a line an epoch; "auto": 1 on a terminal, else 2.
    """

    def __init__(self) -> None:
        super().__init__()
        self._verbose = 1
        self._in_fit = False
        self._done = 0
        self._start = 0.0
        self._drawn = 0.0
        self._live: Any = None

    def set_params(self, params: dict[str, Any]) -> None:
        super().set_params(params)
        verbose = params.get("verbose", "auto")
        if verbose == "auto":
            verbose = 1 if sys.stdout.isatty() or in_notebook() else 2
        self._verbose = int(verbose)

    @property
    def _target(self) -> int | None:
        steps: int | None = self.params.get("steps")
        return steps

    def on_train_begin(self, logs: Logs = None) -> None:
        self._in_fit = True

    def on_train_end(self, logs: Logs = None) -> None:
        self._in_fit = False

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self._begin()
        if self._verbose and self.params.get("epochs", 1) > 1:
            print(f"Epoch {epoch + 1}/{self.params['epochs']}", flush=True)

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        self._advance(batch, logs)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        self._finish(logs)

    def on_test_begin(self, logs: Logs = None) -> None:
        if not self._in_fit:
            self._begin()

    def on_test_batch_end(self, batch: int, logs: Logs = None) -> None:
        if not self._in_fit:
            self._advance(batch, logs)

    def on_test_end(self, logs: Logs = None) -> None:
        if not self._in_fit:
            self._finish(logs)

    def _begin(self) -> None:
        self._done = 0
        self._start = time.perf_counter()
        self._drawn = 0.0

    def _advance(self, batch: int, logs: Logs) -> None:
        self._done = batch + 1
        if self._verbose != 1:
            return
        now = time.perf_counter()
        if now - self._drawn >= (SECONDS_BETWEEN_LINES if in_notebook() else SECONDS_BETWEEN_DRAWS):
            self._drawn = now
            self._draw(logs or {}, now)

    def _draw(self, logs: dict[str, Any], now: float) -> None:
        if in_notebook():  # Rich would leave a widget behind
            print("\r" + self._line(logs, now, final=False).plain, end="", flush=True)
            return
        if self._live is None:
            from rich.live import Live  # only where something moves

            self._live = Live(auto_refresh=False, transient=True)
            self._live.start()
        self._live.update(self._line(logs, now, final=False), refresh=True)

    def _line(self, logs: dict[str, Any], now: float, final: bool) -> Any:
        from rich.text import Text

        target, elapsed = self._target, now - self._start
        each = elapsed / max(self._done, 1)
        line = Text(no_wrap=True, overflow="ellipsis")
        if target:
            filled = min(int(BAR_WIDTH * self._done / target), BAR_WIDTH)
            line.append(f"{self._done:>{len(str(target))}}/{target} ", "bold")
            line.append("━" * filled, "green").append("━" * (BAR_WIDTH - filled), "bright_black")
        else:
            line.append(f"{self._done}/Unknown", "bold")
        left = each * (target - self._done) if target and not final else elapsed
        line.append(f" {_clock(left)}", "bold")
        return line.append(f" {format_time(each)}{format_metrics(logs)}")

    def close(self) -> None:
        """Clears the moving line: called when a training ends, also by Ctrl-C."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _finish(self, logs: Logs) -> None:
        self.close()
        if not self._verbose:
            return
        now = time.perf_counter()
        if self._verbose == 1:
            from rich.console import Console

            line = self._line(logs or {}, now, final=True)
            line.no_wrap, line.overflow = False, "fold"
            if in_notebook():
                print("\r" + line.plain, flush=True)
            else:
                Console().print(line)
        else:
            elapsed = now - self._start
            each = elapsed / max(self._done, 1)
            steps = f"{self._done}/{self._target or self._done}"
            print(f"{steps} - {elapsed:.0f}s - {format_time(each)}{format_metrics(logs or {})}", flush=True)
