"""Depthwise: explain, compare, train and run convolutional networks on the CPU.

The names are Keras 3's: replace `keras` by `depthwise`. Everything is imported when first used, so `import depthwise` is quick.
"""

import importlib
from typing import Any

from depthwise import moved
from depthwise.absent import absent

__version__ = "0.1.0"

_MODULES = (
    "activations",
    "applications",
    "backend",
    "callbacks",
    "config",
    "constraints",
    "data",
    "datasets",
    "errors",
    "explain",
    "initializers",
    "layers",
    "losses",
    "metrics",
    "models",
    "networks",
    "ops",
    "optimizers",
    "preprocessing",
    "random",
    "regularizers",
    "saving",
    "transfer",
    "utils",
)

_NAMES = {
    "DepthwiseError": "errors",
    "Initializer": "initializers",
    "Input": "network.symbolic",
    "Layer": "layers",
    "Loss": "losses",
    "Metric": "metrics",
    "Model": "models",
    "Optimizer": "optimizers",
    "Regularizer": "regularizers",
    "Sequential": "models",
    "from_keras": "models",
    "get_threads": "runtime.threads",
    "load_model": "models",
    "set_threads": "runtime.threads",
    "version": "config",
}

__all__ = ["__version__", *sorted({*_MODULES, *_NAMES})]


moved.install()


def _refuse_sub_interpreters() -> None:
    """What is native is there once in a process, and a second interpreter would share it without its locks."""
    for name in ("_interpreters", "_xxsubinterpreters"):  # from Python 3.13 on, and before
        try:
            interpreters = importlib.import_module(name)
        except ImportError:
            continue
        if interpreters.get_current() != interpreters.get_main():
            raise ImportError(
                "Depthwise does not run in a sub-interpreter, as NumPy does not; use it in the main interpreter, or in a process of "
                "its own (multiprocessing)"
            )
        return


def __getattr__(name: str) -> Any:
    if (name in _MODULES or name in _NAMES) and "_checked" not in globals():
        _refuse_sub_interpreters()
        globals()["_checked"] = True
    if name in _MODULES:
        value: Any = importlib.import_module(f"depthwise.{name}")
    elif name in _NAMES:
        value = getattr(importlib.import_module(f"depthwise.{_NAMES[name]}"), name)
    else:
        raise absent("", name, __all__)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
