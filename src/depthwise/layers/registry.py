"""Every description by its Keras class name: found in the files of this folder, so that a new layer is one file."""

import importlib
import pkgutil
from pathlib import Path

from depthwise.layers.description import Description

__all__ = ["LAYERS"]


def _find() -> dict[str, type[Description]]:
    found: dict[str, type[Description]] = {}
    folder = str(Path(__file__).parent)
    for item in pkgutil.iter_modules([folder]):
        module = importlib.import_module(f"depthwise.layers.{item.name}") if item.name not in _OTHER else None
        for name in getattr(module, "__all__", ()):
            found[name] = getattr(module, name)
    return found


_OTHER = ("description", "registry")
"""Files of this folder that describe no layers."""

LAYERS: dict[str, type[Description]] = _find()
"""The allowlist that files are read against."""
