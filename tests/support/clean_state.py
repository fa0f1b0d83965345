"""What a process keeps between tests, set to the same start for each: no result may depend on which tests ran before."""

import itertools
import os
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from depthwise import registration, seeds

__all__ = ["clean_state", "remember", "reset"]

SEED = 20_240
_ADDED_BY_PYTEST = ("PYTEST_CURRENT_TEST",)
_environment = dict(os.environ)
_folder = os.getcwd()
_registered: list[dict[Any, Any]] = []


def remember() -> None:
    """Takes environment, folder and registered objects as they are now, all test files imported, for the start."""
    global _environment, _folder, _registered
    _environment, _folder = dict(os.environ), os.getcwd()
    _registered = [dict(registry) for registry in _registries()]


def reset() -> None:
    """Seeds, automatic names, registered objects, settings, threads, environment and current folder as at the start."""
    random.seed(SEED)
    np.random.seed(SEED)
    seeds._generator.seed(SEED)
    registration._scopes.__dict__.clear()
    for number, registry in enumerate(_registries()):
        registry.clear()
        if number < len(_registered):  # otherwise Keras was not imported then
            registry.update(_registered[number])
    _reset_environment()
    _reset_threads()
    _reset_counters()
    _reset_keras()


@contextmanager
def clean_state() -> Iterator[None]:
    """A block that starts from there and leaves everything random as it was: for what may run in the middle of a test."""
    put_back = _kept()
    reset()
    try:
        yield
    finally:
        put_back()


def _kept() -> Callable[[], None]:
    python, numpy, own = random.getstate(), np.random.get_state(), seeds._generator.getstate()
    tracker = _keras("backend.common.global_state")
    keras_state = None if tracker is None else (tracker.GLOBAL_STATE_TRACKER, tracker.GLOBAL_SETTINGS_TRACKER)

    def put_back() -> None:
        random.setstate(python)
        np.random.set_state(numpy)
        seeds._generator.setstate(own)
        if tracker is not None and keras_state is not None:
            tracker.GLOBAL_STATE_TRACKER, tracker.GLOBAL_SETTINGS_TRACKER = keras_state

    return put_back


def _reset_environment() -> None:
    for name in set(os.environ) - set(_environment) - set(_ADDED_BY_PYTEST):
        del os.environ[name]
    for name, value in _environment.items():
        if os.environ.get(name) != value and name not in _ADDED_BY_PYTEST:
            os.environ[name] = value
    try:
        here: str | None = os.getcwd()
    except FileNotFoundError:  # it was a temporary one
        here = None
    if here != _folder:
        os.chdir(_folder)


def _reset_threads() -> None:
    threads = sys.modules.get("depthwise.runtime.threads")
    if threads is not None and threads._team is not None:
        threads.set_threads(None)


def _reset_counters() -> None:
    """Messages that are given once in a process, and numbers of files that a process writes."""
    cache = sys.modules.get("depthwise.compiler.native.cache")
    if cache is not None:
        cache._already_said.clear()
    dump = sys.modules.get("depthwise.compiler.dump")
    if dump is not None:
        dump._numbers = itertools.count(1)  # type: ignore[attr-defined]


def _registries() -> list[dict[Any, Any]]:
    """What maps the names in files to the user's own classes and functions."""
    keras = _keras("saving.object_registration")
    return [registration._registered, *([keras.GLOBAL_CUSTOM_OBJECTS, keras.GLOBAL_CUSTOM_NAMES] if keras else [])]


def _keras(name: str) -> Any:
    """A module of Keras, None while Keras is not imported."""
    return sys.modules.get(f"keras.src.{name}") if hasattr(sys.modules.get("keras"), "config") else None


def _reset_keras() -> None:
    state = _keras("backend.common.global_state")
    if state is not None:
        state.clear_session(free_memory=False)  # names, seeds, policies
        config = sys.modules["keras"].config
        config.set_floatx("float32")
        config.set_epsilon(1e-7)
        config.set_image_data_format("channels_last")
