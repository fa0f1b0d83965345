"""`keras.callbacks` by name; see `depthwise.training.callbacks`."""

from depthwise.training.callbacks import *  # noqa: F403
from depthwise.training.callbacks import __all__ as __all__


def __dir__() -> list[str]:
    return sorted(__all__)
