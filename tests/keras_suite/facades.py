"""What Keras' own test files get when they import Keras: Depthwise under Keras' names, and tools for their data."""

import importlib
from types import ModuleType
from typing import Any

import keras
import numpy as np

import depthwise
from keras_suite import case

__all__ = ["Package", "facade", "imported"]


class Facade:
    """`keras.src.losses` and whatever lies below it: all names of one module of ours, whichever file of Keras has them."""

    def __init__(self, name: str, *sources: Any, **more: Any) -> None:
        self._name, self._sources, self._more = name, sources, more

    def __getattr__(self, name: str) -> Any:
        if name in self._more:
            return self._more[name]
        for source in self._sources:
            if hasattr(source, name):
                found = getattr(source, name)
                return self if isinstance(found, ModuleType) else found
        if self._name == "layers" and hasattr(keras.layers, name):
            return _Missing(f"layers.{name}")  # an error when it is used: files name it before their tests do
        raise AttributeError(f"Depthwise has no {self._name}.{name}")


class Variable(np.lib.mixins.NDArrayOperatorsMixin):
    """A named array that code may change: what Keras' tests give a schedule or a regularizer."""

    def __init__(
        self,
        initializer: Any,
        shape: Any = None,
        dtype: Any = "float32",
        trainable: bool = True,
        name: str = "variable",
    ) -> None:
        values = initializer(shape) if callable(initializer) else initializer
        self.value = np.array(values, dtype or "float32")
        self.name = self.path = name

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **keywords: Any) -> Any:
        arrays = [item.value if isinstance(item, Variable) else item for item in inputs]
        return getattr(ufunc, method)(*arrays, **keywords)

    def __float__(self) -> float:
        return float(self.value)

    def __int__(self) -> int:
        return int(self.value)

    def __index__(self) -> int:
        return int(self.value)

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return self.value if dtype is None else self.value.astype(dtype)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "value":
            raise AttributeError(name)
        return getattr(self.value, name)

    def assign(self, value: Any) -> None:
        self.value = np.array(value, self.value.dtype)

    def numpy(self) -> Any:
        return self.value


class SeedGenerator:
    """Keras' object that gives a new seed at each draw."""


def _tensor(shape: Any, dtype: str = "float32", **_: Any) -> Any:
    return depthwise.Input(batch_shape=tuple(shape))


_BACKEND = Facade(
    "backend",
    depthwise.backend,
    Variable=Variable,
    KerasTensor=_tensor,
    backend=lambda: "jax",  # the tests ask for what TensorFlow and PyTorch do otherwise
    convert_to_numpy=np.asarray,
    convert_to_tensor=keras.ops.convert_to_tensor,
    shape=np.shape,
    is_tensor=lambda x: isinstance(x, np.ndarray),
    standardize_dtype=keras.backend.standardize_dtype,
    random=Facade("backend.random", keras.random),
    SUPPORTS_SPARSE_TENSORS=False,
    SUPPORTS_RAGGED_TENSORS=False,
    SUPPORTS_COMPLEX_DTYPES=False,
    config=keras.backend,
)

_FACADES = {
    "activations": Facade("activations", depthwise.activations),
    "backend": _BACKEND,
    "constraints": Facade("constraints", depthwise.constraints),
    "initializers": Facade("initializers", depthwise.initializers),
    "layers": Facade("layers", depthwise.layers),
    "losses": Facade("losses", depthwise.losses),
    "metrics": Facade("metrics", depthwise.metrics),
    "models": Facade("models", depthwise.models),
    "ops": Facade("ops", keras.ops),  # for their data; Depthwise gets arrays
    "optimizers": Facade("optimizers", depthwise.optimizers, depthwise.optimizers.schedules),
    "random": Facade("random", keras.random),
    "regularizers": Facade("regularizers", depthwise.regularizers),
    "saving": Facade("saving", depthwise.saving, depthwise.models),
    "testing": case,
    "tree": Facade("tree", keras.tree),
    "utils": Facade("utils", depthwise.utils),
    "Model": depthwise.Model,
    "Sequential": depthwise.Sequential,
}
_ROOT = Facade("keras", depthwise, **_FACADES)


def facade(name: str) -> Any:
    """What stands for a module of Keras."""
    parts = name.split(".")
    if parts[:2] == ["keras", "src"]:
        parts = parts[2:]
    elif parts[0] == "keras":
        parts = parts[1:]
    return _FACADES.get(parts[0], _ROOT) if parts else _ROOT


def imported(name: str, wanted: tuple[str, ...] | None) -> Any:
    """What `import` gives a test file: for `from keras.src.losses import losses` the facade itself has to be in it."""
    if name == "conftest":
        return Facade("conftest", skip_if_backend=lambda *_, **__: lambda function: function)
    if not wanted:
        return _ROOT
    if name.endswith("_test") or name == "keras.src.backend.common.backend_utils":
        return importlib.import_module(name)  # NumPy's arithmetic, which other tests compare with
    found = facade(name)
    names = {}
    for item in wanted:
        try:
            names[item] = getattr(found, item)
        except AttributeError:
            inner = f"{name}.{item}"
            if _is_module(inner):
                names[item] = facade(inner)
            else:
                names[item] = _Missing(inner)
    return Facade(name, found, **names)


def _is_module(name: str) -> bool:
    try:
        importlib.import_module(name)
    except ImportError:
        return False
    return True


class Package:
    """Another framework that a file imports for some of its tests."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Missing(f"{self._name}.{name}")


class _Missing:
    """A name that Depthwise lacks: an error when it is used, so that the other tests of the file run."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, *_: Any, **__: Any) -> Any:
        raise AttributeError(f"Depthwise has no {self._name}")

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"Depthwise has no {self._name}")

    def __mro_entries__(self, bases: Any) -> Any:
        return (object,)
