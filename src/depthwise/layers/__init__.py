"""Layers with Keras' names, arguments and defaults.

Each file of this folder describes a family; the classes that users make layers of follow from the descriptions.
"""

from typing import Any

from depthwise.arguments import ACTIVATIONS
from depthwise.layers.descriptions import LAYERS
from depthwise.layers.layer import Layer, public

__all__ = ["ACTIVATIONS", "LAYERS", "Layer"]
__all__ += [*LAYERS, "MaxPool2D"]

globals().update({name: public(description) for name, description in LAYERS.items()})
MaxPool2D = globals()["MaxPooling2D"]


def __getattr__(name: str) -> Any:
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; there are {', '.join(LAYERS)}")
