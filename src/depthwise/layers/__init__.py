"""Layers with Keras' names, arguments and defaults.

Each file of this folder describes a family; the classes that users make layers of follow from the descriptions.
"""

from typing import Any

from depthwise.arguments import ACTIVATIONS
from depthwise.layers.descriptions import LAYERS
from depthwise.layers.layer import Layer, public
from depthwise.layers.names import ALIASES, UNSUPPORTED, UnsupportedLayerError

__all__ = ["ACTIVATIONS", "LAYERS", "Layer"]
__all__ += [*LAYERS]

globals().update({name: public(description) for name, description in LAYERS.items()})

globals().update({alias: globals()[name] for alias, name in ALIASES.items() if name in LAYERS})
__all__ += [alias for alias, name in ALIASES.items() if name in LAYERS]


def _merged(name: str) -> Any:
    """`layers.add([x, y])` for `layers.Add()([x, y])`, and the others that join inputs."""

    def join(inputs: Any, *args: Any, **kwargs: Any) -> Any:
        return globals()[name](*args, **kwargs)(inputs)

    join.__name__ = join.__qualname__ = name.lower()
    join.__doc__ = (
        f"What a new `{name}` layer makes of `inputs`, a list of symbolic tensors; further arguments are the layer's."
    )
    return join


_MERGES = ("Add", "Average", "Concatenate", "Dot", "Maximum", "Minimum", "Multiply", "Subtract")
globals().update({name.lower(): _merged(name) for name in _MERGES})
__all__ += ["Input", *(name.lower() for name in _MERGES)]


def __dir__() -> list[str]:
    return sorted(__all__)


def __getattr__(name: str) -> Any:
    if name == "Input":  # a function of the level above
        from depthwise.network.symbolic import Input

        return Input
    if name in UNSUPPORTED:
        raise UnsupportedLayerError(f"layers.{name} is not supported: {UNSUPPORTED[name]}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; there are {', '.join(LAYERS)}")
