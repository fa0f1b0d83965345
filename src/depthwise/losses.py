"""`keras.losses` by name; see `depthwise.training.losses`."""

from depthwise.training.losses import *  # noqa: F403
from depthwise.training.losses import __all__ as __all__
