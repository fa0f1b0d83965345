"""`keras.optimizers.schedules` by name; see `depthwise.training.schedules`."""

from depthwise.training.schedules import *  # noqa: F403
from depthwise.training.schedules import __all__ as __all__
