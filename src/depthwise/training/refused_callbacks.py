"""Callbacks of Keras that need a service or a program of their own: refused in a sentence that says what does the work here."""

from typing import Any

from depthwise.errors import UnsupportedError
from depthwise.training.callback import Callback

__all__ = ["OrbaxCheckpoint", "RemoteMonitor", "SwapEMAWeights", "TensorBoard"]


class _Refused(Callback):
    instead = ""

    def __init__(self, *_: Any, **__: Any) -> None:
        raise UnsupportedError(f"{type(self).__name__} is not supported; {self.instead}")


class TensorBoard(_Refused):
    """Refused: its files are TensorFlow's."""

    instead = "use CSVLogger('training.csv'), or plot the history that fit returns"


class RemoteMonitor(_Refused):
    """Refused: training makes no network requests."""

    instead = (
        "training makes no network requests: use LambdaCallback(on_epoch_end=…) with a function that sends the logs"
    )


class SwapEMAWeights(_Refused):
    """Refused: the optimizer itself puts the averages in the weights' place."""

    instead = "give use_ema=True and ema_overwrite_frequency=… to the optimizer"


class OrbaxCheckpoint(_Refused):
    """Refused: its folders are those of JAX."""

    instead = "use ModelCheckpoint('model.keras'), or BackupAndRestore to go on after an interruption"
