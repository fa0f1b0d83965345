"""`keras.optimizers` by name; see `depthwise.training.optimizers`."""

from depthwise.optimizers import schedules as schedules
from depthwise.training.optimizers import *  # noqa: F403
from depthwise.training.optimizers import __all__ as _names

__all__ = [*_names, "schedules"]
