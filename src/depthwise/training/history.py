"""What `fit` returns: every epoch's logs."""

from typing import Any

import numpy as np

from depthwise.training.callback import Callback

__all__ = ["History"]


class History(Callback):
    """Keeps the logs of every epoch; `fit` returns it.

    Attributes:
        history: lists of values by name: `{"loss": [2.3, 0.4], "val_accuracy": [0.6, 0.9]}`.
        epoch: the numbers of the epochs, from 0.
        params: `{"verbose": …, "epochs": …, "steps": …}`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.history: dict[str, list[Any]] = {}
        self.epoch: list[int] = []

    def __repr__(self) -> str:
        last = ", ".join(
            f"{name if name.isprintable() else ascii(name)}={float(np.mean(values[-1])):.4g}"
            for name, values in self.history.items()
            if values
        )
        return f"<History of {len(self.epoch)} epochs{': ' if last else ''}{last}>"

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self.epoch = []

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.epoch.append(epoch)
        for key, value in (logs or {}).items():
            self.history.setdefault(key, []).append(value)
