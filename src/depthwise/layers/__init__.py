"""Layers with Keras' names, arguments and defaults."""

from typing import Any

from depthwise.arguments import ACTIVATIONS
from depthwise.layers.description import Description as Layer
from depthwise.layers.registry import LAYERS

__all__ = ["ACTIVATIONS", "LAYERS", "Layer", "MaxPool2D", *LAYERS]

globals().update(LAYERS)
MaxPool2D: Any = LAYERS["MaxPooling2D"]


def __getattr__(name: str) -> Any:
    raise AttributeError(f"module 'depthwise.layers' has no attribute {name!r}")
