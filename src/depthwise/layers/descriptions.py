"""Every description by its Keras class name: found in the files of this folder, so that a new layer is one file.

`depthwise.layers` has the layers that users make; everything below them reads these values.

>>> from depthwise.layers import descriptions
>>> descriptions.Conv2D(32, 3).kernel_size
(3, 3)
"""

import importlib
import pkgutil
from pathlib import Path
from typing import Any

from depthwise.layers.description import Description

__all__ = ["LAYERS", "Description"]

_OTHER = ("description", "descriptions", "documentation", "layer", "names", "operation", "store", "tensors")
"""Files of this folder that describe no layers."""


def _find() -> dict[str, type[Description]]:
    found: dict[str, type[Description]] = {}
    for item in pkgutil.iter_modules([str(Path(__file__).parent)]):
        if item.name not in _OTHER:
            module = importlib.import_module(f"depthwise.layers.{item.name}")
            found.update((name, getattr(module, name)) for name in module.__all__)
    return found


LAYERS: dict[str, type[Description]] = _find()
"""The allowlist that files are read against."""


def __getattr__(name: str) -> Any:
    if name in LAYERS:
        return LAYERS[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
