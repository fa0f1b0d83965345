"""What every test relies on: Keras on JAX on the CPU, a compile cache of this session's own, shared helpers importable.

The environment is set here, at import, because Keras and JAX read it once, when they are first imported; parallel workers
inherit it from the process that starts them, and so share one cache.
"""

import gc
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

os.environ["KERAS_BACKEND"] = "jax"
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["JAX_ENABLE_X64"] = "0"
os.environ["LC_ALL"] = "C.UTF-8"  # commands speak the system's language

_IS_WORKER = "PYTEST_XDIST_WORKER" in os.environ
_CACHE = "DEPTHWISE_CACHE_DIR"
if not _IS_WORKER:
    os.environ[_CACHE] = tempfile.mkdtemp(prefix="depthwise-tests-")

_TESTS = str(Path(__file__).parent)
if _TESTS not in sys.path:
    sys.path.insert(0, _TESTS)  # for `from support import …`

from support import clean_state, quick_keras, recorded  # noqa: E402 - the path is needed

quick_keras.install()

settings.register_profile("depthwise", deadline=None, derandomize=True)
settings.load_profile("depthwise")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record-reliability", type=Path, metavar="FILE", help="count what the tests of each file tried")


def pytest_configure(config: pytest.Config) -> None:
    record = config.getoption("--record-reliability")
    if record is not None and not _IS_WORKER:
        config.pluginmanager.register(recorded.Recorder(record))
    # Keras' own way of turning its variables into NumPy arrays; nothing that we could fix.
    config.addinivalue_line(
        "filterwarnings", "ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"
    )


def pytest_unconfigure(config: pytest.Config) -> None:
    if not _IS_WORKER:
        shutil.rmtree(os.environ[_CACHE], ignore_errors=True)


def pytest_collectstart(collector: pytest.Collector) -> None:
    """A test file draws the same data when it is imported, whichever files are."""
    clean_state.reset()


def pytest_collection_finish() -> None:
    clean_state.remember()


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[Any]) -> Any:
    """What several tests share is made the same, whichever of them comes first, and changes nothing for that one."""
    if fixturedef.scope == "function":
        return (yield)
    with clean_state.clean_state():
        return (yield)


@pytest.fixture(autouse=True)
def _clean_state() -> None:
    clean_state.reset()


@pytest.fixture
def rng() -> np.random.Generator:
    """Random data of a test's own."""
    return np.random.default_rng(0)


_MUCH = 3 << 30


@pytest.fixture(autouse=True, scope="module")
def _free_memory() -> Iterator[None]:
    """JAX keeps every function that it ever compiled: gigabytes, by the end of a run."""
    yield
    jax = sys.modules.get("jax")
    if jax is not None and _resident_bytes() > _MUCH:
        jax.clear_caches()
        gc.collect()


def _resident_bytes() -> int:
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096
    except OSError:
        return _MUCH + 1  # not Linux: to be on the safe side
