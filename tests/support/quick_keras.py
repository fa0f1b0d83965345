"""Keras on JAX with little compiling: half of the tests' time would go into machine code that runs once."""

import functools
import importlib.abc
import importlib.machinery
import os
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import numpy as np

__all__ = ["install"]

_RANDOM = "keras.src.backend.jax.random"
# The bits of Keras' results are nothing that a test may rely on, and its arrays are small.
_FLAGS = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"


def install() -> None:
    """Before JAX and Keras are imported: JAX does not optimise, and Keras draws its initial weights with NumPy."""
    os.environ["XLA_FLAGS"] = _FLAGS
    sys.meta_path.insert(0, _Finder())


def _uniform(draw: np.random.Generator, shape: Any, minval: float = 0.0, maxval: float = 1.0) -> Any:
    return minval + (maxval - minval) * draw.random(shape, np.float32)


def _normal(draw: np.random.Generator, shape: Any, mean: float = 0.0, stddev: float = 1.0) -> Any:
    return mean + stddev * draw.standard_normal(shape, np.float32)


def _truncated_normal(draw: np.random.Generator, shape: Any, mean: float = 0.0, stddev: float = 1.0) -> Any:
    values = draw.standard_normal(shape, np.float32)
    while (far := np.abs(values) > 2.0).any():
        values = np.where(far, draw.standard_normal(shape, np.float32), values)
    return mean + stddev * values


_DRAWS = {"uniform": _uniform, "normal": _normal, "truncated_normal": _truncated_normal}


def _drawn_by_numpy(theirs: Callable[..., Any], ours: Callable[..., Any]) -> Callable[..., Any]:
    """`theirs` within functions that JAX traces and for other types; otherwise the same distribution without compiling.

    JAX compiles a cipher for every shape, which takes longer than all else that a small layer does.
    """

    @functools.wraps(theirs)
    def draw(shape: Any, *limits: Any, dtype: Any = None, seed: Any = None, **named: Any) -> Any:
        import jax
        from keras.src.backend.config import floatx
        from keras.src.random.seed_generator import draw_seed

        key = seed if isinstance(seed, jax.Array) else draw_seed(seed)
        numbers = all(isinstance(value, (int, float)) for value in (*shape, *limits, *named.values()))
        if isinstance(key, jax.core.Tracer) or (dtype or floatx()) != "float32" or not numbers:
            return theirs(shape, *limits, dtype=dtype, seed=key, **named)
        generator = np.random.default_rng(np.asarray(key).tolist())
        return jax.numpy.asarray(np.asarray(ours(generator, tuple(shape), *limits, **named), np.float32))

    return draw


def _patch(random: ModuleType) -> None:
    for name, ours in _DRAWS.items():
        setattr(random, name, _drawn_by_numpy(getattr(random, name), ours))


class _Loader(importlib.abc.Loader):
    """Keras' own loader of the module, and the patch after it."""

    def __init__(self, own: Any) -> None:
        self._own = own

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> Any:
        return self._own.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._own.exec_module(module)
        _patch(module)


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, fullname: str, path: Sequence[str] | None, target: Any = None) -> Any:
        if fullname != _RANDOM:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path)
        if spec is not None:
            spec.loader = _Loader(spec.loader)
        return spec
