"""`keras.utils` by name; each function is imported when first used."""

import importlib
from typing import Any

_NAMES = {"set_random_seed": "seeds"}

__all__ = sorted(_NAMES)


def __getattr__(name: str) -> Any:
    if name not in _NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; there are {', '.join(__all__)}")
    value = getattr(importlib.import_module(f"depthwise.{_NAMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_NAMES})
