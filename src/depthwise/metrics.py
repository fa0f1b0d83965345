"""`keras.metrics` by name; see `depthwise.training.metrics`."""

from depthwise.training.metrics import *  # noqa: F403
from depthwise.training.metrics import __all__ as __all__
