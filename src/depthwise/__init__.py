"""Depthwise: explain, compare, train and run convolutional networks on the CPU.

The names are Keras 3's: replace `keras` by `depthwise`. Everything is imported when first used, so `import depthwise` is quick.
"""

import importlib
from typing import Any

from depthwise import moved

__version__ = "0.1.0"

_MODULES = (
    "activations",
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
    "ops",
    "optimizers",
    "preprocessing",
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
    "Sequential": "models",
    "from_keras": "models",
    "get_threads": "runtime.threads",
    "load_model": "models",
    "set_threads": "runtime.threads",
}

_MISSING = {
    "KerasTensor": "what Input and layers give is depthwise.network.symbolic.SymbolicTensor",
    "Operation": "a network is made of layers",
    "Variable": "weights are NumPy arrays: layer.get_weights(), layer.set_weights([…])",
    "applications": "make the model with Keras and give it to depthwise.from_keras, or open its file with depthwise.load_model",
    "distribution": "one machine's threads work together by themselves, see depthwise.set_threads",
    "dtype_policies": "all arithmetic is float32",
    "export": "model.save('model.keras') writes a file that Keras loads and exports",
    "mixed_precision": "all arithmetic is float32",
    "quantizers": "all arithmetic is float32",
    "tree": "use Python's own lists, tuples and dicts",
    "wrappers": "models can be pickled and copied, so a class of your own with fit and predict is enough",
}
"""Names of Keras that Depthwise has not, and what to do instead."""

__all__ = ["__version__", *sorted({*_MODULES, *_NAMES})]


moved.install()


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        value: Any = importlib.import_module(f"depthwise.{name}")
    elif name in _NAMES:
        value = getattr(importlib.import_module(f"depthwise.{_NAMES[name]}"), name)
    else:
        instead = f": {_MISSING[name]}" if name in _MISSING else ""
        raise AttributeError(f"module 'depthwise' has no attribute {name!r}{instead}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES, *_NAMES})
